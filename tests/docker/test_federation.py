"""A federation in containers: it trains, each part sees what it needs and no more, and it outlives kills."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator

import pytest
from deployment import SITES, Deployment, docker, wait_until

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


@pytest.fixture(scope="module")
def trained(deployment: Deployment) -> dict[str, object]:
    """The first run of the federation, at its end."""
    deployment.submit("first")
    return deployment.end("first")


def services(deployment: Deployment) -> list[tuple[str, str]]:
    return [
        (party, service)
        for party in ("coordinator", *SITES)
        for service in deployment.compose(party, "ps", "--services").split()
    ]


def address(deployment: Deployment, party: str, service: str) -> str:
    """An address of a container on one of its networks."""
    networks = json.loads(docker("inspect", deployment.container(party, service)).stdout)[0]["NetworkSettings"]
    return next(network["IPAddress"] for network in networks["Networks"].values() if network["IPAddress"])


def test_three_rounds_of_three_sites(trained):
    assert trained["state"] == "completed", trained
    assert trained["rounds_done"] == 3
    turns = [(turn["round"], turn["site"], turn["outcome"]) for turn in trained["turns"]]
    assert sorted(turns) == [(number, site, "answered") for number in (1, 2, 3) for site in sorted(SITES)]


def test_every_service_is_healthy(deployment, trained):
    for party, service in services(deployment):
        if service != "credentials":
            assert deployment.health(party, service) == "healthy", (party, service)


def test_the_trainer_sees_no_interface_but_loopback(deployment):
    for site in SITES:
        seen = deployment.inside(site, "trainer", "python", "-c", "import socket; print(socket.if_nameindex())")
        assert seen.stdout == "[(1, 'lo')]\n"


def test_the_supernode_sees_no_record_no_model_and_no_file_of_the_trainer(deployment):
    look = "import os; print(sorted(name for name in ('/shard', '/model') if os.path.exists(name)))"
    for site in SITES:
        assert deployment.inside(site, "supernode", "python", "-c", look).stdout == "[]\n"
        mounts = json.loads(docker("inspect", deployment.container(site, "supernode")).stdout)[0]["Mounts"]
        assert sorted(mount["Destination"] for mount in mounts) == [
            *("/etc/fedlora/ca.crt", "/etc/fedlora/supernode.toml"),
            *("/run/fedlora/credentials", "/run/fedlora/trainer", "/var/lib/fedlora"),
        ]
        wrote = deployment.inside(site, "supernode", "touch", "/run/fedlora/trainer/file")
        assert "Read-only file system" in wrote.stderr


def test_the_supernode_reaches_the_superlink_alone(deployment):
    reached = deployment.inside("finance", "supernode", "python", "-c", CONNECT, "superlink", "9092")
    assert reached.returncode == 0, reached.stderr
    others = [
        (address(deployment, "medical", "relay"), 9092),
        (address(deployment, "medical", "supernode"), 9094),
        (address(deployment, "coordinator", "gateway"), 8000),
        (address(deployment, "coordinator", "superlink"), 9092),
        ("192.0.2.10", 443),
        ("superlink", 8000),
    ]
    for host, port in others:
        tried = deployment.inside("finance", "supernode", "python", "-c", CONNECT, host, str(port))
        assert tried.returncode != 0, (host, port)
        assert "Error" in tried.stderr, (host, port)


def test_a_relay_reaches_no_other_site(deployment):
    look = ("python3", "-c", CONNECT)
    assert deployment.inside("finance", "relay", *look, "coordinator.example", "9092").returncode == 0
    other = address(deployment, "medical", "relay")
    assert deployment.inside("finance", "relay", *look, other, "9092").returncode != 0


@pytest.fixture
def machine(deployment) -> Iterator[tuple[list[str], int]]:
    """A program that listens on the machine itself: the machine's addresses on our networks, and the port."""
    names = docker("network", "ls", "--filter", f"name={deployment.name}", "--format", "{{.Name}}").stdout.split()
    described = json.loads(docker("network", "inspect", *names).stdout)
    with socket.create_server(("0.0.0.0", 0)) as server:
        addresses = [one["IPAM"]["Config"][0]["Gateway"] for one in described if "-link-" not in one["Name"]]
        yield addresses, server.getsockname()[1]


@pytest.mark.parametrize(
    ("party", "service", "some"),
    [
        ("coordinator", "gateway", True),  # so that the others fail for the reason that is meant
        *(("coordinator", one, False) for one in ("superlink", "serverapp", "keeper")),
        ("finance", "supernode", False),
    ],
)
def test_who_reaches_the_machine_itself(party, service, some, deployment, machine):
    addresses, port = machine
    ask = (
        "import socket, sys\n"
        "for host in sys.argv[2:]:\n"
        "    try:\n"
        "        socket.create_connection((host, int(sys.argv[1])), 1)\n"
        "        print(host)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    reached = deployment.inside(party, service, "python3", "-c", ask, str(port), *addresses)
    assert reached.returncode == 0, reached.stderr
    assert bool(reached.stdout.split()) is some


def test_nothing_else_is_published(deployment):
    published = {}
    for party, service in services(deployment):
        ports = json.loads(docker("inspect", deployment.container(party, service)).stdout)[0]["NetworkSettings"]
        for port, bound in ports["Ports"].items():
            if bound:
                published[party, service, port] = sorted({(one["HostIp"], int(one["HostPort"])) for one in bound})
    fleet, http_port = deployment.ports
    fleet_key = ("coordinator", "gateway", "9092/tcp")
    assert set(published) == {fleet_key, ("coordinator", "gateway", "8000/tcp")}
    assert {port for _, port in published[fleet_key]} == {fleet}
    assert published["coordinator", "gateway", "8000/tcp"] == [("127.0.0.1", http_port)]


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        ("admin", "/v1/control/list-nodes", 415),  # of the SuperLink: it has another content type
        ("admin", "/v1/runtime/get-nodes", 403),
        ("admin", "/", 403),
        ("admin", "/v1/control/../runtime/get-nodes", 403),
        ("", "/v1/control/list-nodes", None),
        ("server", "/v1/control/list-nodes", None),
    ],
)
def test_who_reaches_the_apis_without_login(who, path, status, deployment):
    context = ssl.create_default_context(cafile=deployment.folder / "ca" / "ca.crt")
    if who:
        folder = deployment.folder / "admin" if who == "admin" else deployment.party("coordinator") / "secrets"
        context.load_cert_chain(folder / f"{who}.crt", folder / f"{who}.key")
    connection = http.client.HTTPSConnection("localhost", deployment.ports[1], context=context, timeout=10)
    try:
        connection.request("POST", path, body=b"", headers={"Content-Type": "application/x-protobuf"})
        answered: int | None = connection.getresponse().status
    except (ssl.SSLError, ConnectionError):
        answered = None
    assert answered == status


def test_the_serverapps_network_reaches_the_runtime_api_alone(deployment):
    ask = (
        "import http.client, ssl, sys; c = http.client.HTTPSConnection('superlink', 8001, "
        "context=ssl.create_default_context(cafile='/run/secrets/ca.crt')); "
        "c.request('POST', sys.argv[1]); print(c.getresponse().status)"
    )
    tried = deployment.inside("coordinator", "serverapp", "python", "-c", ask, "/v1/control/list-nodes")
    assert tried.stdout == "403\n", tried.stderr
    let_in = deployment.inside("coordinator", "serverapp", "python", "-c", ask, "/v1/runtime/get-nodes")
    assert let_in.stdout.strip() not in ("403", "503"), let_in.stderr  # Flower itself wants its secret


@pytest.mark.parametrize(
    ("party", "service"),
    [
        *(("coordinator", one) for one in ("superlink", "gateway", "serverapp", "keeper")),
        *(("finance", one) for one in ("trainer", "supernode", "relay")),
    ],
)
def test_a_run_ends_well_though_a_part_is_killed(party, service, deployment, trained):
    run = f"killed-{service}"
    deployment.submit(run)
    wait_until(lambda: deployment.run(run)["rounds_done"] > 0, "a round", 240)
    container = deployment.container(party, service)
    docker("kill", container)
    docker("start", container)  # an engine starts nothing again that its user has killed
    ended = deployment.end(run)
    assert (ended["state"], ended["rounds_done"]) == ("completed", 3), ended
