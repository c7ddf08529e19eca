"""What images are built from, and how they list it; tests/docker has the images themselves."""

import json
import re
import subprocess
import sys
import uuid
from importlib.metadata import distributions
from pathlib import Path

import pytest
import sbom
from lock_files import LOCKS, REPOSITORY, requirements

PIN = re.compile(r"(?m)^([a-z0-9.-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$")
PINNED = dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text()))
CONSTRAINED = {sbom.normalised(name): version for name, version in PINNED.items()}


def locked(name: str) -> dict[str, str]:
    """Return the versions of a lock file."""
    return {package: version for package, version, _ in PIN.findall((LOCKS / f"{name}.txt").read_text())}


@pytest.mark.parametrize("name", requirements())
def test_a_lock_holds_nothing_but_pins_with_hashes(name):
    text = (LOCKS / f"{name}.txt").read_text()
    assert re.fullmatch(r"\s*", PIN.sub("", text.partition("\n")[2]))
    assert locked(name)


@pytest.mark.parametrize("name", requirements())
def test_a_lock_has_the_versions_that_were_tested(name):
    for package, version in locked(name).items():
        if package in CONSTRAINED:
            assert version.partition("+")[0] == CONSTRAINED[package], package
        else:  # what builds, and what torch brings
            assert name in ("build", "train-cuda", "model") or package == "setuptools", package


@pytest.mark.parametrize("name", requirements())
def test_a_lock_has_whatever_is_asked_for(name):
    wanted = {sbom.normalised(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in requirements()[name]}
    assert wanted <= locked(name).keys()


def test_a_cpu_image_gets_a_torch_for_cpus_and_nothing_for_gpus():
    cpu, cuda = locked("train-cpu"), locked("train-cuda")
    assert cpu["torch"].endswith("+cpu")
    assert not [package for package in cpu if package.startswith("nvidia-cu")]
    assert [package for package in cuda if package.startswith("nvidia-cu")]
    assert set(cpu) < set(cuda)


def test_the_dockerfile_installs_nothing_that_is_not_locked():
    text = (REPOSITORY / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    calls = re.findall(r"pip (?:--python \S+ )?(?:install|wheel|download) [^&\n]*", text)
    assert len(calls) == 9
    for call in calls:
        own = "/kit" in call and "--no-deps" in call  # the kit itself, built in here
        assert own or "--require-hashes" in call, call


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """This environment's bill of materials, as a build writes it."""
    folder = Path(sys.prefix)
    command = [sys.executable, sbom.__file__, "python", str(folder), str(LOCKS / "train-cpu.txt")]
    done = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert done[0] == done[1]  # the same contents, the same bytes
    return json.loads(done[0])


def test_a_bill_of_materials_has_every_package_once(listed):
    places = [str(place) for place in Path(sys.prefix).glob("lib/python3*/site-packages")]
    there = sorted((sbom.normalised(one.metadata["Name"]), one.version) for one in distributions(path=places))
    assert sorted((one["name"], one["version"]) for one in listed["components"]) == there
    assert len(there) > 50


def test_a_bill_of_materials_is_in_the_form_of_cyclonedx(listed):
    assert (listed["bomFormat"], listed["specVersion"], listed["version"]) == ("CycloneDX", "1.6", 1)
    assert uuid.UUID(listed["serialNumber"].removeprefix("urn:uuid:")).version == 5
    references = [one["bom-ref"] for one in listed["components"]]
    assert len(references) == len(set(references))
    for one in listed["components"]:
        assert one["type"] == "library"
        assert re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[A-Za-z0-9.%]+", one["purl"]), one
        for choice in one.get("licenses", []):
            assert set(choice) == {"expression"} or set(choice["license"]) == {"name"}
        for said in one.get("properties", []):
            assert re.fullmatch("[0-9a-f]{64}", said["value"])
    numpy = next(one for one in listed["components"] if one["name"] == "numpy")
    assert len(numpy["properties"]) > 10


def test_another_package_is_another_document():
    components = [sbom._component("pypi", name, "1") for name in ("a", "b")]
    serials = {sbom.document("x", some)["serialNumber"] for some in (components, components[:1], components[::-1])}
    assert len(serials) == 2  # the order says nothing
