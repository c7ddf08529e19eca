"""What is left to somebody who runs commands in a container, the supernode's above all: what it needs, no more."""

import json
import socket
from collections.abc import Iterator

import pytest
from deployment import COORDINATOR, SITES, Deployment, docker

SITE, OTHER = SITES[:2]
SUPERNODES = tuple((site, "supernode") for site in SITES)
# Prints which of the addresses HOST:PORT it could connect to, in their order; all are tried at once.
REACH = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def reached(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return False
    return True

with ThreadPoolExecutor(32) as pool:
    print(*(one for one, there in zip(sys.argv[1:], pool.map(reached, sys.argv[1:])) if there))
"""
# Prints which files it can read that hold a text, below all folders but the kernel's.
SEARCH = """
import os, sys
wanted, found = sys.argv[1].encode(), []
for folder, below, names in os.walk("/"):
    below[:] = [name for name in below if folder != "/" or name not in ("proc", "sys", "dev")]
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as stream:
                if wanted in stream.read():
                    found.append(os.path.join(folder, name))
        except OSError:
            pass
print(*found)
"""


def reached(deployment: Deployment, party: str, service: str, *addresses: str) -> list[str]:
    """Return those of the addresses that a container can connect to."""
    done = deployment.inside(party, service, "python3", "-c", REACH, *addresses)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def address(deployment: Deployment, party: str, service: str, port: int) -> str:
    """An address of a container on one of its networks."""
    networks = json.loads(docker("inspect", deployment.container(party, service)).stdout)[0]["NetworkSettings"]
    host = next(network["IPAddress"] for network in networks["Networks"].values() if network["IPAddress"])
    return f"{host}:{port}"


def test_no_container_has_a_right_too_many(deployment):
    """No capability, no way to get one, the engine's seccomp filter, nothing to write to but volumes and /tmp."""
    look = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; id -u; touch /opt/file /etc/file"
    for party, service in deployment.services():
        seen = deployment.inside(party, service, "sh", "-c", look)
        assert seen.stdout.split() == [
            *("CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2", "49999")
        ], (party, service)
        assert seen.stderr.count("Read-only file system") == 2, (party, service)


def test_the_trainer_sees_no_interface_but_loopback(deployment):
    for site in SITES:
        seen = deployment.inside(site, "trainer", "python", "-c", "import socket; print(socket.if_nameindex())")
        assert seen.stdout == "[(1, 'lo')]\n"


def test_the_records_are_in_the_trainers_container_alone(deployment, trained, canary):
    search = ("python3", "-c", SEARCH, canary)
    assert deployment.inside(SITE, "trainer", *search).stdout == f"/shard/{SITE}.jsonl\n"
    for service in ("supernode", "relay"):
        assert deployment.inside(SITE, service, *search).stdout == "\n", service


def test_the_supernode_sees_no_model_and_no_file_or_process_of_the_trainer(deployment):
    look = "import os; print(sorted(name for name in ('/shard', '/model') if os.path.exists(name)))"
    for site in SITES:
        assert deployment.inside(site, "supernode", "python", "-c", look).stdout == "[]\n"
        mounts = json.loads(docker("inspect", deployment.container(site, "supernode")).stdout)[0]["Mounts"]
        assert sorted(mount["Destination"] for mount in mounts) == [
            *("/etc/fedlora/ca.crt", "/etc/fedlora/supernode.toml"),
            *("/run/fedlora/credentials", "/run/fedlora/trainer", "/var/lib/fedlora"),
        ]
        assert deployment.inside(site, "supernode", "ls", "/run/fedlora/trainer").stdout == "trainer.sock\n"
        for path in ("/run/fedlora/trainer/file", "/run/fedlora/credentials/node.key"):
            wrote = deployment.inside(site, "supernode", "sh", "-c", f"echo >{path}")
            assert "Read-only file system" in wrote.stderr
        processes = deployment.inside(site, "supernode", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        assert "supernode.node" in processes
        assert "supernode.trainer" not in processes


def test_the_supernode_reaches_the_superlink_alone(deployment):
    others = (
        address(deployment, OTHER, "relay", 9092),
        address(deployment, OTHER, "supernode", 9094),
        address(deployment, OTHER, "supernode", 9465),
        address(deployment, COORDINATOR, "gateway", 8000),
        address(deployment, COORDINATOR, "superlink", 9092),
        *("coordinator.example:9092", "coordinator.example:8000"),  # the relay's way, not its own
        *("superlink:8000", "superlink:8404", "192.0.2.10:443", "1.1.1.1:53"),
    )
    assert reached(deployment, SITE, "supernode", "superlink:9092", *others) == ["superlink:9092"]


def test_what_is_asked_of_the_engines_name_server_leaves_no_machine(deployment):
    """Where there is no way out, names of no container go to a server that is nowhere; a secret could hide in them."""
    for party, service in (
        (COORDINATOR, "superlink"),
        (COORDINATOR, "serverapp"),
        (COORDINATOR, "keeper"),
        *SUPERNODES,
    ):
        described = json.loads(docker("inspect", deployment.container(party, service)).stdout)[0]
        assert described["HostConfig"]["Dns"] == ["192.0.2.1"], (party, service)
    ask = "import socket, sys; socket.getaddrinfo(sys.argv[1], 80)"
    asked = deployment.inside(SITE, "supernode", "python", "-c", ask, "secret.example.org")
    assert "socket.gaierror" in asked.stderr


def test_a_relay_reaches_no_other_site(deployment):
    meant, other = "coordinator.example:9092", address(deployment, OTHER, "relay", 9092)
    assert reached(deployment, SITE, "relay", meant, other) == [meant]


@pytest.fixture
def machine(deployment) -> Iterator[list[str]]:
    """Where a program listens on the machine itself, on each of our networks that has an address of it."""
    names = docker("network", "ls", "--filter", f"name={deployment.name}", "--format", "{{.Name}}").stdout.split()
    described = json.loads(docker("network", "inspect", *names).stdout)
    hosts = [one["IPAM"]["Config"][0]["Gateway"] for one in described if "-link-" not in one["Name"]]
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield [f"{host}:{server.getsockname()[1]}" for host in hosts]


@pytest.mark.parametrize(
    ("party", "service", "some"),
    [
        (COORDINATOR, "gateway", True),  # so that the others fail for the reason that is meant
        *((COORDINATOR, one, False) for one in ("superlink", "serverapp", "keeper")),
        (SITE, "supernode", False),
    ],
)
def test_who_reaches_the_machine_itself(party, service, some, deployment, machine):
    assert bool(reached(deployment, party, service, *machine)) is some
