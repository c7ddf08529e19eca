"""A bundle for machines without a network: whole or not at all, every file by its hash, nothing outside it."""

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlora.air_gap import ROLES, Contents, Part, find_images, make, verify
from fedlora.air_gap.manifest import MANIFEST, SUMS, BundledFile
from fedlora.cli.main import application
from fedlora.errors import BundleError
from fedlora.language_model.bundle import bundled_manifest

REPOSITORY = Path(__file__).parents[3]
# A kit that pip builds without asking anybody: its build is in its own folder, and it needs nothing.
BACKEND = """
import zipfile
def build_wheel(folder, *_):
    name = "fedlora-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for file, text in {
            "METADATA": "Metadata-Version: 2.1\\nName: fedlora\\nVersion: 9.9.9\\nProvides-Extra: train\\n",
            "WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"fedlora-9.9.9.dist-info/{file}", text)
    return name
"""


@pytest.fixture
def source(tmp_path):
    """A clone with a chart and a kit that needs nothing."""
    folder = tmp_path / "clone"
    chart = folder / "helm" / "fedlora-superlink"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: fedlora-superlink\nversion: 9.9.9\n")
    (chart / "templates" / "service.yaml").write_text("kind: Service\n")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints.txt").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "fedlora"\nversion = "9.9.9"\n'
    )
    return folder


@pytest.fixture
def bundle(source, tiny_model, tmp_path):
    """A bundle of all but images."""
    parts = (Part.CHARTS, Part.WHEELS, Part.MODEL)
    contents = Contents(source, parts, base_model=str(tiny_model), extras=("train",))
    make(contents, tmp_path / "carried", lambda _: None)
    return tmp_path / "carried"


def test_what_was_packed_is_there_and_whole(bundle, tiny_model):
    manifest = verify(bundle)
    files = {str(file.relative_to(bundle)) for file in bundle.rglob("*") if file.is_file()} - {MANIFEST, SUMS}
    assert set(manifest.files) == files
    model = f"model/{tiny_model.name}.tar"
    assert files == {
        "charts/fedlora-superlink/Chart.yaml",
        "charts/fedlora-superlink/templates/service.yaml",
        "wheels/fedlora-9.9.9-py3-none-any.whl",
        model,
    }
    assert zipfile.ZipFile(bundle / "wheels" / "fedlora-9.9.9-py3-none-any.whl").testzip() is None
    assert bundled_manifest(bundle / model).sha256 == manifest.base_model_sha256
    for name, file in manifest.files.items():
        content = (bundle / name).read_bytes()
        assert file == BundledFile(len(content), hashlib.sha256(content).hexdigest())


def test_where_nothing_is_installed_sha256sum_says_the_same(bundle):
    def sums():
        return subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=bundle, capture_output=True, text=True)

    assert sums().returncode == 0
    assert sums().stdout.count(": OK\n") == len(verify(bundle).files) + 1  # the manifest, too
    with (bundle / MANIFEST).open("a") as stream:
        stream.write(" ")
    assert f"{MANIFEST}: FAILED" in sums().stdout


def test_every_change_is_named(bundle):
    chart = bundle / "charts" / "fedlora-superlink"
    (chart / "Chart.yaml").write_text("name: fedlora-superlinK\nversion: 9.9.9\n")
    (chart / "templates" / "service.yaml").unlink()
    (bundle / "wheels" / "more.whl").write_text("more")
    (bundle / "wheels" / "out").symlink_to("/etc/passwd")
    with pytest.raises(BundleError) as raised:
        verify(bundle)
    assert re.sub("[0-9a-f]{64}", "HASH", str(raised.value)) == (
        f"{bundle} has 4 problem(s); carry it again:\n"
        "  - charts/fedlora-superlink/templates/service.yaml is missing\n"
        "  - wheels/more.whl is not listed\n"
        "  - charts/fedlora-superlink/Chart.yaml is not what was bundled: SHA-256 HASH\n"
        "  - wheels/out is a link, and a bundle has none"
    )


def test_another_bundle_is_not_the_one_that_was_meant(bundle):
    sha256 = hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    verify(bundle, sha256)
    verify(bundle, sha256.upper())
    with pytest.raises(BundleError, match="it is not the bundle meant"):
        verify(bundle, "0" * 64)


@pytest.mark.parametrize(
    "path", ["../clone/constraints.txt", "/etc/passwd", "charts/../../clone/pyproject.toml", "./x"]
)
def test_a_manifest_leads_nowhere_else(bundle, path):
    about = json.loads((bundle / MANIFEST).read_text())
    about["files"][path] = {"bytes": 0, "sha256": "0" * 64}
    (bundle / MANIFEST).write_text(json.dumps(about))
    with pytest.raises(BundleError, match="is no path of a file in a bundle"):
        verify(bundle)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"layout": 2}', "\xff"])
def test_what_is_no_bundle_is_refused(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(BundleError, match="is no bundle"):
        verify(tmp_path)


def test_what_cannot_be_packed_leaves_nothing_behind(source, tmp_path, monkeypatch):
    def refused(*parts: Part) -> str:
        with pytest.raises(BundleError) as raised:
            make(Contents(source, parts), tmp_path / "carried", lambda _: None)
        assert not (tmp_path / "carried").exists()
        assert not list(tmp_path.glob(".fedlora-*"))
        return str(raised.value)

    (source / "backend.py").write_text("def build_wheel(*_):\n    raise RuntimeError('no wheel today')\n")
    assert "pip cannot bring the wheels: " in refused(Part.CHARTS, Part.WHEELS)
    (source / "constraints.txt").unlink()
    assert "has no pyproject.toml and constraints.txt" in refused(Part.WHEELS)
    shutil.rmtree(source / "helm")
    assert "has no charts; name a clone" in refused(Part.CHARTS)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "docker cannot be started" in refused(Part.IMAGES)
    monkeypatch.undo()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    if shutil.which("docker"):
        assert "docker version: " in refused(Part.IMAGES)
        with pytest.raises(BundleError, match="start an engine"):
            find_images("fedlora-", "")


def test_the_roles_are_those_that_make_builds():
    makefile = (REPOSITORY / "Makefile").read_text()
    assert " ".join(ROLES) == re.search(r"^ROLES := (.*)$", makefile, re.MULTILINE)[1]


def test_the_commands(source, tiny_model, tmp_path):
    def call(*words):
        return CliRunner().invoke(application, ["bundle", *map(str, words)])

    there = tmp_path / "carried"
    left = ("--without", "images", "--without", "wheels")
    done = call("make", there, "--source", source, *left, "--base-model", tiny_model)
    assert done.exit_code == 0, done.exception
    sha256 = hashlib.sha256((there / MANIFEST).read_bytes()).hexdigest()
    assert done.stdout.splitlines()[0].startswith(f"{there} holds charts, model: 3 files, ")
    assert done.stdout.splitlines()[-1] == f"SHA-256 of {MANIFEST}: {sha256}"
    assert call("make", there, "--source", source, *left).exception is not None  # nothing is overwritten
    held = call("verify", there, "--sha256", sha256)
    assert held.exit_code == 0, held.exception
    assert held.stdout.startswith(f"{there} is whole: fedlora ")
