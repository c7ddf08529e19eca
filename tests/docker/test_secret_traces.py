"""After a run in containers: its secrets are in their own files, and not in what engine, processes or parts tell."""

import json

import pytest
from deployment import COORDINATOR, SITES, Deployment, docker
from secret_search import forms, found_in, secret_files

EXPECTED = {"ca.key", "server.key", "admin.key", "superexec.secret", "node.key", "worker.secret"}
CREDENTIALS = "/run/fedlora/credentials"
# In a container: prints command line and environment of each process, and each file of the folders that it keeps things
# in, but for the credentials themselves, by what it is; bytes as letters of Latin-1.
SHOW = """
import glob, json, os, sys
found = {}
names = [f"/proc/{one}/{what}" for one in os.listdir("/proc") if one.isdigit() for what in ("cmdline", "environ")]
for top in ("/var/lib/fedlora", "/tmp", "/etc/fedlora"):
    names += [os.path.join(folder, name) for folder, _, files in os.walk(top) for name in files]
for name in names:
    try:
        found[name] = open(name, "rb").read().decode("latin-1")
    except OSError:
        pass
json.dump(found, sys.stdout)
"""
METRICS = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9464/metrics', timeout=10).read().decode())"
EXPORTING = ("superlink", "serverapp", "keeper", "exporter")


@pytest.fixture(scope="module")
def secrets(deployment: Deployment, trained: object) -> dict[str, set[bytes]]:
    """Each secret's forms, by its file."""
    found = {f"{COORDINATOR}/{file.name}": file for file in secret_files(deployment.party(COORDINATOR) / "secrets")}
    contents = {name: file.read_bytes() for name, file in found.items() if file.name != "grafana.password"}
    contents["ca.key"] = (deployment.ca / "ca.key").read_bytes()
    for site in SITES:
        for name in ("node.key", "worker.secret"):
            said = deployment.inside(site, "supernode", "cat", f"{CREDENTIALS}/{name}")
            contents[f"{site}/{name}"] = said.stdout.encode()
    assert {name.rpartition("/")[2] for name in contents} >= EXPECTED
    return {name: forms(content) for name, content in contents.items()}


def test_nothing_that_the_engine_tells_has_a_secret(deployment, secrets):
    """Settings, environments and logs of containers; settings and histories of their images."""
    containers = [deployment.container(*one) for one in deployment.services()]
    assert len(containers) == 5 + 3 * len(SITES)
    told = [("containers", docker("inspect", *containers).stdout)]
    images = sorted({one["Image"] for one in json.loads(told[0][1])})
    told.append(("images", docker("image", "inspect", *images).stdout))
    told += [(f"history of {image}", docker("history", "--no-trunc", image).stdout) for image in images]
    for container in containers:
        logs = docker("logs", container)
        told.append((f"log of {container}", logs.stdout + logs.stderr))
    assert found_in(((name, text.encode()) for name, text in told), secrets) == []


def test_no_process_and_no_file_of_a_container_has_a_secret(deployment, secrets):
    shown: dict[str, bytes] = {}
    for party, service in deployment.services():
        said = deployment.inside(party, service, "python3", "-c", SHOW)
        assert said.returncode == 0, said.stderr
        for name, content in json.loads(said.stdout).items():
            shown[f"{party} {service} {name}"] = content.encode("latin-1")
    for part in (b"flower-superlink", b"superlink.keeper", b"supernode.trainer", b"haproxy"):
        assert any(part in content for name, content in shown.items() if name.endswith("/cmdline")), part
    for file in ("superlink.sqlite", "ledger.sqlite", "supernode.toml", "haproxy.cfg"):
        assert any(name.endswith(file) for name in shown), file
    assert found_in(shown.items(), secrets) == []


def test_no_metrics_have_a_secret(deployment, secrets):
    told = []
    for service in EXPORTING:
        said = deployment.inside(COORDINATOR, service, "python", "-c", METRICS)
        assert "fedlora_" in said.stdout, said.stderr
        told.append((service, said.stdout.encode()))
    assert found_in(told, secrets) == []
