"""One federation from one file on a real engine, for all tests here."""

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedlora.language_model import obtain
from fedlora.processes import free_ports

sys.path.insert(0, str(Path(__file__).parent))
from deployment import SITES, Deployment, deployed

REPOSITORY = Path(__file__).parents[2]
LEFT_OUT = "to leave these tests out: make test, or pytest -m 'not docker'"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def engine() -> None:
    """An engine with the kit's images."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.fail(f"no Docker engine answers; start one, or {LEFT_OUT}", pytrace=False)
    built = subprocess.run(["make", "images"], cwd=REPOSITORY, capture_output=True, text=True)
    if built.returncode != 0:
        pytest.fail(f"the images cannot be built:\n{built.stderr[-3000:]}\n{LEFT_OUT}", pytrace=False)


@pytest.fixture(scope="session")
def deployment(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("federation")
    records = {}
    for name in SITES:
        records[name] = folder / f"{name}.jsonl"
        records[name].write_bytes((REPOSITORY / "fedlora" / "samples" / name / "train.jsonl").read_bytes())
        records[name].chmod(0o644)
    fleet, http = free_ports(2)
    made = Deployment(folder, f"test-{secrets.token_hex(3)}", (fleet, http))
    made.render(obtain().directory, records)
    with deployed(made):
        yield made
