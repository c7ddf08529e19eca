"""One federation on a real engine, for all tests here."""

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import SITES, Deployment, remove_abandoned, sample_records
from link_capture import LinkCapture

from fedlora.language_model import obtain
from fedlora.processes import free_ports

CANARY = "canary-5b1e"
REPOSITORY = Path(__file__).parents[2]
LEFT_OUT = "To leave these tests out: make test-local, or make test-fast for the unit tests alone."
# A run of three rounds for what a run does, and one long enough for every container to be killed in it once or twice.
RECIPES = """\
[[recipe]]
domain = "finance"
preset = "quick"
rounds = 3
steps = 2
batch = 4
length = 64
rank = 4

[[recipe]]
domain = "medical"
preset = "quick"
rounds = 22
steps = 1
batch = 8
length = 32
rank = 2
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(1200))  # the first builds the images


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> None:
    """An engine with the kit's images. Without one, everything ends here: no test below could say anything else."""
    if hindrance := _hindrance():
        request.session.shouldfail = "no test in tests/docker can run"
        pytest.fail(f"{hindrance}\n{LEFT_OUT}", pytrace=False)
    remove_abandoned("test|drilled")


def _hindrance() -> str:
    """Say why there are no images on an engine; empty if there are."""
    if shutil.which("docker") is None:
        return "There is no docker on this machine. Install Docker Engine with the plugins compose and buildx."
    for asked, advice in (
        (("docker", "ps"), "No Docker engine answers. Start it, and let this user call it (group docker)."),
        (("docker", "compose", "version"), "docker compose is missing. Install its plugin, version 2.20 or newer."),
    ):
        done = subprocess.run(asked, capture_output=True, text=True)
        if done.returncode != 0:
            return f"{advice} It said: {done.stderr.strip()[-300:]}"
    built = subprocess.run(["make", "images"], cwd=REPOSITORY, capture_output=True, text=True)
    return f"The images cannot be built. make images said:\n{built.stderr[-2000:]}" if built.returncode != 0 else ""


@pytest.fixture(scope="session")
def capture() -> Iterator[LinkCapture]:
    """What passes the link between the first site and the coordinator, once it is started."""
    with LinkCapture() as capture:
        yield capture


@pytest.fixture(scope="session")
def deployment(
    engine: None, capture: LinkCapture, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Deployment]:
    """The federation, every part healthy; if it does not start, everything ends here."""
    folder = tmp_path_factory.mktemp("federation")
    made = Deployment(folder / "deploy", f"test-{secrets.token_hex(3)}")
    fleet, http = free_ports(2)
    records = sample_records(folder / "records")
    with records[SITES[0]].open("a") as stream:
        stream.write(json.dumps({"instruction": CANARY, "output": "neutral"}) + "\n")
    made.render(obtain().directory, records, RECIPES, (fleet, http))
    try:
        try:
            made.start_coordinator()
            made.connect()
            capture.start(made.link(SITES[0]))
            made.start_sites()
        except Exception:
            request.session.shouldfail = "the federation of tests/docker did not start"
            print(made.condition())
            raise
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def canary() -> str:
    """What stands in a record of the first site and nowhere else."""
    return CANARY


@pytest.fixture(scope="session")
def trained(deployment: Deployment, capture: LinkCapture) -> dict[str, object]:
    """The first run of the federation, at its end."""
    deployment.submit("first")
    ended = deployment.end("first")
    capture.stop()
    return ended
