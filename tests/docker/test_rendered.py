"""What is rendered is what Docker Compose takes, and the images are as they should be."""

import json
from pathlib import Path

import pytest
from deployment import docker

import fedlora
from fedlora.federation import read_federation
from fedlora.federation.presets import PRESETS
from fedlora.federation.writing import new_file, preset_text
from fedlora.rendering import compose_files, write_rendering

ROLES = ("superlink", "serverapp", "supernode", "trainer", "evaluator", "model", "gateway", "prometheus")
FOREIGN = {"gateway": ("-v", "HAProxy version 2"), "prometheus": ("--version", "prometheus, version ")}
VERSION = fedlora.__version__
MEGABYTE = 10**6


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_compose_takes_every_rendering(preset, engine, tmp_path):
    file = new_file(tmp_path / "federation", preset_text(preset))
    federation = read_federation(file).federation
    write_rendering(compose_files(federation), tmp_path / "deploy")
    parties = sorted(entry for entry in (tmp_path / "deploy").iterdir() if entry.is_dir())
    assert len(parties) == 1 + len(federation.site)
    for party in parties:
        docker("compose", "--project-directory", str(party), "config", "--quiet")


@pytest.mark.parametrize("role", ROLES)
def test_an_image_answers_whoever_asks(role, engine):
    asked, answer = FOREIGN.get(role, ("--version", f"{VERSION}\n"))
    image = f"fedlora-{role}:{VERSION}"
    said = docker("run", "--rm", "--read-only", "--network", "none", "--user", "12345", image, asked).stdout
    assert said.startswith(answer)


@pytest.mark.parametrize("role", ROLES)
def test_an_image_has_what_it_needs_and_no_more(role, engine):
    image = json.loads(docker("image", "inspect", f"fedlora-{role}:{VERSION}").stdout)[0]
    labels = image["Config"]["Labels"]
    assert image["Config"]["User"] == "49999:49999"
    assert labels["org.opencontainers.image.title"] == f"fedlora {role}"
    assert labels["org.opencontainers.image.version"] == VERSION
    packages = "true" if role in FOREIGN else "ls /opt/fedlora/lib/python3*/site-packages"
    look = f"for one in cc gcc g++ make pip uv; do command -v $one; done; {packages}"
    found = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image["Id"], "-c", look).stdout.split()
    assert not {Path(one).name for one in found if one.startswith("/")}
    if role in ("superlink", "serverapp", "supernode"):
        assert "torch" not in found
        assert "flwr" in found
        assert image["Size"] <= 450 * MEGABYTE
