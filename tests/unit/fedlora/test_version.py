"""Package, images and charts have one version, and move together (`make version TO=...`)."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import version
import yaml

import fedlora

REPOSITORY = Path(__file__).parents[3]
CHARTS = sorted((REPOSITORY / "helm").glob("*/Chart.yaml"))


def project(repository: Path) -> str:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]


def charts(repository: Path) -> set[str]:
    """Return every version that charts state, as a reader of YAML sees them."""
    found = set()
    for file in sorted((repository / "helm").glob("*/Chart.yaml")):
        chart = yaml.safe_load(file.read_text())
        found |= {chart["version"], chart["appVersion"], *(one["version"] for one in chart.get("dependencies", ()))}
    return found


def written(repository: Path) -> set[str]:
    """Return every tag of the kit's images that Dockerfile, documentation and tests write out."""
    files = [repository / "docker" / "Dockerfile", *(repository / "docs").glob("*.md")]
    return {tag for file in files for tag in re.findall(r"fedlora-[a-z]+:([\w.]+)", file.read_text())}


def test_package_images_and_charts_have_one_version():
    assert version.check() == project(REPOSITORY)
    assert charts(REPOSITORY) <= {project(REPOSITORY)}
    assert written(REPOSITORY) == {project(REPOSITORY)}
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "VERSION := $(shell sed -n 's/^version = \"\\(.*\\)\"/\\1/p' pyproject.toml)" in makefile
    assert fedlora.__version__ == project(REPOSITORY), "installed is another version: make install-dev"


@pytest.fixture
def clone(tmp_path):
    """The files that have a version, and two charts."""
    for name in ("pyproject.toml", "docker/Dockerfile", "docs", "tests/docker"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, tmp_path / name)
    now = project(REPOSITORY)
    for name in ("fedlora-library", "fedlora-superlink"):
        file = tmp_path / "helm" / name / "Chart.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(
            f'apiVersion: v2\nname: {name}\nversion: {now}\nappVersion: {now}\nkubeVersion: ">=1.20.0-0"\n'
            f"dependencies:\n  - name: fedlora-library\n    version: {now}\n    repository: file://../fedlora-library\n"
            "  - name: other\n    version: 7.7.7\n"
        )
    return tmp_path


def test_all_move_together_and_back(clone):
    before = {file: file.read_bytes() for file in clone.rglob("*") if file.is_file()}
    changed = version.move("12.3.4rc1", clone)
    assert {project(clone)} | written(clone) == {"12.3.4rc1"}
    assert charts(clone) == {"12.3.4rc1", "7.7.7"}
    assert 'kubeVersion: ">=1.20.0-0"' in (clone / "helm" / "fedlora-superlink" / "Chart.yaml").read_text()
    assert {file for file, content in before.items() if file.read_bytes() != content} == set(changed)
    version.move(project(REPOSITORY), clone)
    assert {file: file.read_bytes() for file in before} == before


def test_one_that_was_left_behind_is_named_and_nothing_moves(clone):
    file = clone / "helm" / "fedlora-superlink" / "Chart.yaml"
    file.write_text(re.sub(r"appVersion: .*", "appVersion: 0.0.9", file.read_text()))
    with pytest.raises(ValueError, match=r"helm/fedlora-superlink/Chart.yaml has 0\.0\.9: make them equal by hand"):
        version.move("9.9.9", clone)
    assert project(clone) == project(REPOSITORY)


@pytest.mark.parametrize("wrong", ["", "1.2", "v1.2.3", "1.2.3-rc1", "1.2.3 ", "latest"])
def test_what_is_no_version_is_refused(clone, wrong):
    with pytest.raises(ValueError, match="is no version"):
        version.move(wrong, clone)
