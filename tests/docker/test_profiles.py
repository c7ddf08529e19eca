"""Each combination of profiles is what Docker Compose takes and has the services that it says; Prometheus asks."""

import contextlib
import itertools
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import docker, fedlora, wait_until

from fedlora.federation import Override, read_federation
from fedlora.federation.presets import PRESETS
from fedlora.federation.writing import new_file, preset_text
from fedlora.processes import free_ports
from fedlora.rendering import compose_files, write_rendering
from fedlora.rendering.compose.gateway import FLEET_PORT, INSIDE

ANSWER = (
    f"import socket; one, _ = socket.create_server(('', {FLEET_PORT})).accept(); "
    "one.recv(1000, socket.MSG_WAITALL); one.sendall(b'here'); one.recv(1)"
)
ALWAYS = {
    "coordinator": {"superlink", "gateway", "serverapp", "keeper", "exporter"},
    "site": {"credentials", "relay", "supernode"},
}
ADDS = {
    "coordinator": {
        "monitoring": {"prometheus"},
        "grafana": {"prometheus", "grafana"},
        "evaluator": {"evaluator"},
        "benchmarks": {"benchmarks"},
        "backup": {"backup", "restore"},
    },
    "site": {"cpu": {"trainer"}, "gpu": {"trainer-gpu"}, "model": {"model"}},
}


def compose(folder: Path, profiles: tuple[str, ...], *arguments: str, check: bool = True) -> str:
    """Call compose with these profiles and no others, whatever .env names; it needs no engine to read files."""
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(folder), *arguments],
        env={**os.environ, "COMPOSE_PROFILES": ",".join(profiles)},
        capture_output=True,
        text=True,
    )
    assert not check or done.returncode == 0, f"{folder.name}, {profiles}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_compose_takes_each_combination_of_profiles(preset, tmp_path):
    file = new_file(tmp_path / "federation", preset_text(preset))
    write_rendering(compose_files(read_federation(file).federation), tmp_path / "deploy")
    for folder in sorted(entry for entry in (tmp_path / "deploy").iterdir() if entry.is_dir()):
        kind = folder.name.partition("-")[0]
        adds = ADDS[kind]
        for count in range(len(adds) + 1):
            for profiles in itertools.combinations(adds, count):
                compose(folder, profiles, "config", "--quiet")
                shown = compose(folder, profiles, "config", "--services").split()
                assert set(shown) == ALWAYS[kind].union(*(adds[profile] for profile in profiles))


@pytest.mark.parametrize(("device", "trainer"), [("cpu", "trainer"), ("cuda", "trainer-gpu")])
def test_a_sites_own_settings_choose_its_trainer(device, trainer, tmp_path):
    file = new_file(tmp_path / "federation", preset_text("two-sites"))
    override = Override.from_command_line("site.site-a.resources.device", device)
    write_rendering(compose_files(read_federation(file, [override]).federation), tmp_path / "deploy")
    shown = docker("compose", "--project-directory", str(tmp_path / "deploy" / "site-site-a"), "config", "--services")
    assert set(shown.stdout.split()) == {*ALWAYS["site"], trainer}


@pytest.fixture
def monitored(engine, tmp_path) -> Iterator[tuple[Path, int, int]]:
    """A gateway, something behind it, and Prometheus: their folder, the fleet port and Prometheus' own."""
    behind = "none"
    fleet, http, prometheus = free_ports(3)
    file = tmp_path / "federation.toml"
    file.write_text(
        f'name = "test-{secrets.token_hex(3)}"\n[coordinator]\nhost = "localhost"\nfleet-port = {fleet}\n'
        f'http-port = {http}\n[[site]]\nname = "a"\ndomain = "code"\nshard = "a"\n[[recipe]]\ndomain = "code"\n'
    )
    fedlora("render", "compose", file, "--out", tmp_path / "deploy", "--ca", tmp_path / "ca")
    folder = tmp_path / "deploy" / "coordinator"
    env = folder / ".env"
    env.write_text(env.read_text().replace("PROMETHEUS_PORT=9090", f"PROMETHEUS_PORT={prometheus}"))
    try:
        compose(folder, ("monitoring",), "up", "--detach", "--no-deps", "--wait", "gateway", "prometheus")
        network = f"{read_federation(file).federation.name}-coordinator_inside"
        behind = docker(
            *("run", "--detach", "--network", network, "--network-alias", INSIDE, "--entrypoint", "python3"),
            *("fedlora-gateway:0.1.0", "-c", ANSWER),
        ).stdout.strip()
        yield folder, fleet, prometheus
    finally:
        docker("rm", "--force", behind, check=False)
        compose(folder, ("monitoring",), "down", "--volumes", "--timeout", "3", check=False)


def answered(port: int) -> socket.socket:
    """Return a connection over which both sides have sent; the gateway needs a moment to learn who is behind it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        connection = socket.create_connection(("127.0.0.1", port), 10)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"x" * 1000)
            if connection.recv(4, socket.MSG_WAITALL) == b"here":
                return connection
        connection.close()
        time.sleep(0.5)
    raise AssertionError("nobody answers behind the gateway")


def asked(port: int, question: str) -> dict[str, float]:
    """Ask Prometheus; return the values by their proxy."""
    query = urllib.parse.urlencode({"query": question})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return {one["metric"].get("proxy", ""): float(one["value"][1]) for one in found}


def alerts(port: int) -> set[str]:
    """Return the names of the alerts that Prometheus evaluates."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/rules?type=alert", timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    return {rule["name"] for group in groups for rule in group["rules"]}


def test_prometheus_counts_what_passes_through_the_fleet_port(monitored):
    folder, fleet, port = monitored
    assert {"FedloraNoProgress", "FedloraExporterDown"} <= alerts(port)  # the image has the rules
    wait_until(lambda: asked(port, 'up{job="gateway"}') == {"": 1.0}, "Prometheus' first look at the gateway", 60)
    assert asked(port, "haproxy_frontend_connections_total")["fleet"] == 0
    with answered(fleet):
        for what, least in {"connections": 1, "bytes_in": 1000, "bytes_out": 4}.items():
            question = f"haproxy_frontend_{what}_total"  # counted while the connection stays, as sites' do
            wait_until(lambda q=question, v=least: asked(port, q)["fleet"] >= v, f"{question} of {least}", 60)
    out = "import socket; socket.create_connection(('192.0.2.10', 443), 3)"
    tried = docker("exec", compose(folder, (), "ps", "-q", "prometheus").strip(), "python3", "-c", out, check=False)
    assert "Error" in tried.stderr  # of its two networks neither leads beyond the machine
