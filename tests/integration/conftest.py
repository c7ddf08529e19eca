"""Real federations on loopback: SuperLink, SuperExec, supernodes and workers are the real programs."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedlora import flower
from fedlora.cli.local_federation import LocalFederation, Ports
from fedlora.cli.settings_file import write_settings
from fedlora.processes import Parts
from superlink.control import Attempt
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

STUB = Path(__file__).with_name("stub_trainer.py")


class Federation(LocalFederation):
    """A federation whose trainers are stubs where the model does not matter."""

    def start_stub(self, name: str, **settings: object) -> None:
        settings = {"delta": 0.5, "examples": 10, "socket": str(self._socket(name)), **settings}
        file = self.site(name) / "stub.json"
        file.write_text(json.dumps(settings))
        self.parts.start(f"{name}-trainer", [sys.executable, str(STUB), str(file)], {})

    def start(self, **stubs: dict[str, object]) -> None:
        """Start everything, with a stub trainer for each site; `stubs` has settings by site, dashes as underscores."""
        self.create_credentials("test")
        self.start_superlink()
        for name in self.sites:
            self.start_stub(name, **stubs.get(name.replace("-", "_"), {}))
            self.start_supernode(name)
        self.wait_for_sites()

    def config(self, **changes: object) -> RunConfig:
        fields = {
            "run": "test",
            "epoch": 1,
            "sites": ",".join(self.sites),
            "domain": "finance",
            "rounds": 3,
            "seed": 7,
            "deadline": 60.0,
            "min_sites": 1,
            "join_timeout": 60.0,
            "recipe_sha256": "r" * 64,
        }
        return RunConfig(**{**fields, **changes})

    def finish(self, config: RunConfig, app: flower.AppBundle | None = None, seconds: float = 120) -> Attempt:
        """Submit a run and wait for its end."""
        with self.control() as control:
            run_id = control.start_run(app or flower.app_bundle(), config.to_flower())
            end = time.monotonic() + seconds
            while not (attempt := control.attempt(run_id)).finished:
                self.parts.check()
                assert time.monotonic() < end, f"the run is {attempt} after {seconds} s"
                time.sleep(0.1)
        return attempt

    def ledger(self, run: str = "test") -> Ledger:
        return Ledger(RunFolder(self.runs, run).ledger, readonly=True)

    def log(self, part: str) -> str:
        return (self.parts.logs / f"{part}.log").read_text(errors="replace")

    def wait_for_log(self, part: str, text: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while text not in (log := self.log(part)):
            assert time.monotonic() < end, f"{text!r} is not in the log of {part}:\n{log[-3000:]}"
            time.sleep(0.1)
        return log

    def status(self, name: str) -> str | None:
        with self.control() as control:
            return control.nodes().get(name)


@contextmanager
def federation(directory: Path, sites: int = 2) -> Iterator[Federation]:
    names = [f"site-{number}" for number in range(1, sites + 1)]
    logs = directory / "logs"
    logs.mkdir(parents=True)
    directory.chmod(0o700)
    with tempfile.TemporaryDirectory(prefix="fedlora-") as sockets, Parts(logs) as parts:
        yield Federation(directory, names, Ports.free(sites), parts, Path(sockets))


@pytest.fixture
def new_federation(tmp_path: Path) -> Iterator[Federation]:
    """A federation of two sites that the test starts itself."""
    with federation(tmp_path / "federation") as made:
        yield made


@pytest.fixture
def kept(new_federation: Federation) -> Federation:
    """A federation with a keeper, whose dead parts are started again as containers would be."""
    new_federation.start(site_1={"delta": 1.0, "examples": 10, "seconds": 1.5}, site_2={"delta": -0.25, "examples": 30})
    settings = {
        "superlink": f"127.0.0.1:{new_federation.ports.http}",
        "ca-certificate": new_federation.ca_certificate,
        "runs": new_federation.runs,
        "silent-seconds": 8.0,
    }
    file = write_settings(settings, new_federation.coordinator / "keeper.toml")
    new_federation.parts.start("keeper", [sys.executable, "-m", "superlink.keeper", str(file)], {})
    return new_federation


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation of two well-behaved sites that run and weigh differently, shared by the tests of a module."""
    with federation(tmp_path_factory.mktemp("running") / "federation") as made:
        made.start(site_1={"delta": 1.0, "examples": 10}, site_2={"delta": -0.25, "examples": 30})
        yield made
