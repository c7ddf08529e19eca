"""A federation in containers: it trains, and nobody reaches more of the coordinator than is meant."""

import http.client
import json
import ssl
from contextlib import closing, suppress
from pathlib import Path

import pytest
from deployment import COORDINATOR, SITES, Deployment, docker, fedlora, remove_abandoned

from fedlora.pki.certificates import create_authority, issue_admin_certificate, issue_evaluator_certificate
from fedlora.pki.reading import load_authority


def test_three_rounds_of_three_sites(trained):
    assert trained["state"] == "completed", trained
    assert trained["rounds_done"] == 3
    turns = [(turn["round"], turn["site"], turn["outcome"]) for turn in trained["turns"]]
    assert sorted(turns) == [(number, site, "answered") for number in (1, 2, 3) for site in sorted(SITES)]


def test_every_service_is_healthy(deployment, trained):
    for party, service in deployment.services():
        assert deployment.health(party, service) == "healthy", (party, service)


def test_what_a_killed_program_left_behind_is_removed_and_what_is_in_use_stays(deployment, trained):
    used = _networks()
    docker("network", "create", "--internal", "test-0a1b2c-coordinator_inside")
    docker("volume", "create", "test-0a1b2c-coordinator_runs")
    remove_abandoned("test")
    assert _networks() == used
    assert deployment.link(SITES[0]) in used
    assert "test-0a1b2c-coordinator_runs" not in docker("volume", "ls", "--format", "{{.Name}}").stdout.split()


def _networks() -> set[str]:
    return set(docker("network", "ls", "--format", "{{.Name}}").stdout.split())


def test_nothing_else_is_published(deployment):
    published = {}
    for party, service in deployment.services():
        ports = json.loads(docker("inspect", deployment.container(party, service)).stdout)[0]["NetworkSettings"]
        for port, bound in ports["Ports"].items():
            if bound:
                published[party, service, port] = sorted({(one["HostIp"], int(one["HostPort"])) for one in bound})
    fleet, http_port = deployment.ports
    fleet_key = (COORDINATOR, "gateway", "9092/tcp")
    assert set(published) == {fleet_key, (COORDINATOR, "gateway", "8000/tcp")}
    assert {port for _, port in published[fleet_key]} == {fleet}
    assert published[COORDINATOR, "gateway", "8000/tcp"] == [("127.0.0.1", http_port)]


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("admin", "/v1/control/list-nodes", 415),  # of the SuperLink: it has another content type
        ("admin", "/v1/runtime/get-nodes", 403),
        ("admin", "/", 403),
        ("admin", "/v1/control/../runtime/get-nodes", 403),
        ("evaluator", "/v1/control/list-nodes", 403),
        ("admin", "/v1/control/%2e%2e/runtime/get-nodes", 403),
        ("admin", "/v1/control/..%2fruntime/get-nodes", 403),
        ("admin", "/v1/control%2f..%2fruntime/get-nodes", 403),
        ("admin", "/v1/control/%252e%252e/runtime/get-nodes", 403),
        ("admin", "//v1/control/list-nodes", 403),
        ("admin", "/v1/control//../runtime/get-nodes", 403),
        ("admin", "/V1/control/list-nodes", 403),
        ("admin", "/v1/control", 403),
        ("admin", "/v1/controller/list-nodes", 403),
        ("admin", "/v1/runtime/get-nodes?/v1/control/", 403),
        ("admin", "http://localhost/v1/runtime/get-nodes", 403),
        ("admin", "*", 403),
        ("", "/v1/control/list-nodes", None),
        ("server", "/v1/control/list-nodes", None),
        ("site", "/v1/control/list-nodes", None),
        ("expired", "/v1/control/list-nodes", None),
        ("own", "/v1/control/list-nodes", None),
    ],
)
def test_who_reaches_the_apis_without_login(who, path, status, deployment, tmp_path):
    context = ssl.create_default_context(cafile=deployment.ca / "ca.crt")
    if who:
        context.load_cert_chain(*certificate_of(who, deployment, tmp_path))
    answered: int | None = None
    connection = http.client.HTTPSConnection("localhost", deployment.ports[1], context=context, timeout=10)
    with closing(connection), suppress(ssl.SSLError, ConnectionError):
        connection.request("POST", path, body=b"", headers={"Content-Type": "application/x-protobuf"})
        with closing(connection.getresponse()) as response:
            answered = response.status
    assert answered == status


def test_an_admin_reaches_the_superlink_from_outside_the_containers(deployment):
    there = ("--superlink", f"localhost:{deployment.ports[1]}", "--ca-certificate", deployment.ca / "ca.crt")
    nodes = json.loads(fedlora("node", "list", *there, "--admin", deployment.admin, "--format", "json"))
    assert {node["name"]: node["status"] for node in nodes} == dict.fromkeys(SITES, "online")


def certificate_of(who: str, deployment: Deployment, folder: Path) -> tuple[Path, Path]:
    """Return a certificate and its key.

    An admin's, an evaluator's, one that has expired, the SuperLink's own, the best that a site can make of keys, or one
    that somebody has signed himself in the name of the federation's CA.
    """
    if who == "admin":
        return deployment.admin / "admin.crt", deployment.admin / "admin.key"
    if who == "evaluator":
        return issue_evaluator_certificate(load_authority(deployment.ca), folder, name="elsewhere", days=1)
    if who == "expired":
        authority = load_authority(deployment.ca)
        return issue_admin_certificate(authority, folder, name="admin", days=0)
    if who in ("site", "own"):
        federation = deployment.name if who == "own" else "site"
        authority = create_authority(folder, federation=federation, days=1)
        return issue_admin_certificate(authority, folder, name="admin", days=1)
    for name in ("server.crt", "server.key"):  # which only the containers' user may read
        (folder / name).write_text(deployment.inside(COORDINATOR, "gateway", "cat", f"/run/secrets/{name}").stdout)
    return folder / "server.crt", folder / "server.key"


def test_the_serverapps_network_reaches_the_runtime_api_alone(deployment):
    ask = (
        "import http.client, ssl, sys; c = http.client.HTTPSConnection('superlink', 8001, "
        "context=ssl.create_default_context(cafile='/run/secrets/ca.crt')); "
        "c.request('POST', sys.argv[1]); print(c.getresponse().status)"
    )
    tried = deployment.inside(COORDINATOR, "serverapp", "python", "-c", ask, "/v1/control/list-nodes")
    assert tried.stdout == "403\n", tried.stderr
    let_in = deployment.inside(COORDINATOR, "serverapp", "python", "-c", ask, "/v1/runtime/get-nodes")
    assert let_in.stdout.strip() not in ("403", "503"), let_in.stderr  # Flower itself wants its secret
