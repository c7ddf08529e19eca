"""What is rendered is what Docker Compose takes, and the images are as they should be."""

import json
from pathlib import Path

import pytest
from deployment import docker
from sbom import normalised

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


# Prints what is installed below each folder, as the interpreter there finds it, and Debian's packages.
INVENTORY = """
import importlib.metadata, json, pathlib, subprocess, sys
found = {}
for folder in ("/opt/fedlora", "/opt/base-model"):
    places = [str(place) for place in pathlib.Path(folder).glob("lib/python3*/site-packages")] or [folder]
    named = {(one.metadata["Name"], one.version) for one in importlib.metadata.distributions(path=places)}
    found[folder + "/sbom.cdx.json"] = sorted(named)
shown = subprocess.run(["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package} ${Version}\\n"],
                       capture_output=True, text=True, check=True).stdout
debian = [line.split()[1:] for line in shown.splitlines() if line.startswith("ii")]
found["/usr/share/sbom/debian.cdx.json"] = [*debian, ["python", sys.version.split()[0]]]
documents = {}
for name in found:
    if pathlib.Path(name).exists():
        documents[name] = json.loads(pathlib.Path(name).read_text())
print(json.dumps([found, documents]))
"""


@pytest.mark.parametrize("role", ROLES)
def test_an_images_bill_of_materials_is_what_it_holds(role, engine):
    said = docker(
        "run", "--rm", "--network", "none", "--entrypoint", "python3", f"fedlora-{role}:{VERSION}", "-c", INVENTORY
    )
    found, documents = json.loads(said.stdout)
    for name, packages in found.items():
        listed = documents[name]["components"] if name in documents else []
        named = sorted((normalised(package), version) for package, version in packages)
        assert sorted((normalised(one["name"]), one["version"]) for one in listed) == named, name
    assert len(documents["/usr/share/sbom/debian.cdx.json"]["components"]) > 50
    if role not in FOREIGN:
        listed = documents["/opt/fedlora/sbom.cdx.json"]["components"]
        without = {one["name"] for one in listed if "properties" not in one}
        assert without == {"fedlora"}  # every other one was locked
