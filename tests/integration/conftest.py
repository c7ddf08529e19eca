"""Real federations on loopback: SuperLink, SuperExec, supernodes and workers are the real programs."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from fedlora import flower, pki
from fedlora.cli.local.federation import LocalFederation
from fedlora.errors import ControlError
from fedlora.federation import Coordinator, Keeper, Paths, Site
from fedlora.federation import Federation as Description
from fedlora.processes import Part, Parts, free_ports
from fedlora.recipes import Recipe
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from superlink.control import Attempt
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, run_folders, verdict

FINANCE = recipe_of("finance", "quick")
STUB = Path(__file__).with_name("stub_trainer.py")


class Ports(NamedTuple):
    """Where the SuperLink listens on 127.0.0.1."""

    fleet: int
    http: int


class Federation(LocalFederation):
    """A federation whose trainers are stubs where the model does not matter."""

    run = "test"  # name of the run that a test means if it names none

    def start_stub(self, name: str, **settings: object) -> None:
        self.behave(name, **settings)
        file = self.site(name) / "stub.json"
        self.parts.start(f"{name}-trainer", [sys.executable, str(STUB), str(file)], {})

    def behave(self, name: str, **settings: object) -> None:
        """Say how a site's stub behaves from its next call on; what is not said is as in `well_behaved`."""
        settings = {**self.well_behaved(name), **settings, "socket": str(self._socket(name))}
        unfinished = self.site(name) / ".stub.json"
        unfinished.write_text(json.dumps(settings))
        unfinished.replace(self.site(name) / "stub.json")

    def well_behaved(self, name: str) -> dict[str, object]:
        """Two sites that run and weigh differently: each round r adds 0.0625 r to every value."""
        return {"delta": 1.0, "examples": 10} if name == "site-1" else {"delta": -0.25, "examples": 30}

    def start(self) -> None:
        """Start everything, with a well-behaved stub trainer for each site."""
        self.create_credentials()
        self.start_superlink()
        for name in self.sites:
            self.start_stub(name)
            self.start_supernode(name)
        self.wait_for_sites()

    def part(self, name: str) -> Part:
        return next(part for part in self.parts.started if part.name == name)

    def end_part(self, name: str, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Send a signal to a part, forget it, and return its exit code."""
        part = self.part(name)
        part.process.send_signal(number)
        self.parts.started.remove(part)
        return part.process.wait(seconds)

    def config(self, **changes: object) -> RunConfig:
        fields = {
            "run": self.run,
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
                time.sleep(0.3)
        return attempt

    def revive(self) -> None:
        """Start every part that has ended once more."""
        for part in list(self.parts.started):
            if not part.alive:
                self.parts.restart(part)

    @property
    def ports(self) -> "Ports":
        return Ports(self.federation.coordinator.fleet_port, self.federation.coordinator.http_port)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.runs, self.run)

    def ledger(self) -> Ledger:
        return Ledger(self.folder.ledger, readonly=True)

    def log(self, part: str) -> str:
        return (self.parts.logs / f"{part}.log").read_text(errors="replace")

    def wait_for_log(self, part: str, text: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while text not in (log := self.log(part)):
            assert time.monotonic() < end, f"{text!r} is not in the log of {part}:\n{log[-3000:]}"
            time.sleep(0.1)
        return log

    def complete(self) -> bool:
        """Whether every part lives and every site is online."""
        with self.control() as control, contextlib.suppress(ControlError):  # the SuperLink is about to end, or to start
            there = control.nodes()
            return all(part.alive for part in self.parts.started) and all(there.get(s) == "online" for s in self.sites)
        return False

    def status(self, name: str) -> str | None:
        with self.control() as control:
            return control.nodes().get(name)


def write_node_settings(federation: Federation, directory: Path, **changes: object) -> Path:
    """Write the ``supernode.toml`` of a site that is not one of the federation's, with the key in `directory`."""
    if not (directory / "worker.secret").exists():
        pki.create_secret(directory / "worker.secret")
    settings = {
        "site": directory.name,
        "domain": "finance",
        "superlink": f"127.0.0.1:{federation.ports.fleet}",
        "ca-certificate": federation.ca_certificate,
        "node-key": directory / "node.key",
        "runtime-port": free_ports(1)[0],
        "superexec-secret": directory / "worker.secret",
        "trainer": directory / "no.sock",
        "state": directory / "state",
    }
    return write_settings({**settings, **changes}, directory / "supernode.toml")


@contextmanager
def supernode(settings: Path, variables: Mapping[str, str] | None = None) -> Iterator[Part]:
    """A supernode with its settings file; it ends with the block."""
    logs = settings.parent / f"logs-{time.monotonic_ns()}"
    logs.mkdir()
    with Parts(logs) as parts:
        yield parts.start("supernode", [sys.executable, "-m", "supernode", str(settings)], variables or {})


@contextmanager
def federation(
    directory: Path, sites: int = 2, recipe: Recipe = FINANCE, *, exporters: bool = False
) -> Iterator[Federation]:
    names = [f"site-{number}" for number in range(1, sites + 1)]
    fleet, http, exporter, *runtime = free_ports(3 + sites)
    metrics = free_ports(sites) if exporters else [0] * sites
    description = Description(
        name="test",
        coordinator=Coordinator(
            "127.0.0.1",
            machine="here",
            fleet_port=fleet,
            http_port=http,
            runs=directory / "coordinator" / "runs",
            metrics_port=exporter,
        ),
        site=tuple(
            Site(name, "finance", directory / name / "shard.jsonl", machine="here", runtime_port=port, metrics_port=own)
            for name, port, own in zip(names, runtime, metrics, strict=True)
        ),
        recipe=(recipe,),
        keeper=Keeper(silent_seconds=8.0),
        paths=Paths(state=directory),
    )
    logs = directory / "logs"
    logs.mkdir(parents=True)
    directory.chmod(0o700)
    with tempfile.TemporaryDirectory(prefix="fedlora-") as sockets, Parts(logs) as parts:
        yield Federation(description, parts, Path(sockets))


@pytest.fixture
def new_federation(tmp_path: Path) -> Iterator[Federation]:
    """A federation of two sites that the test starts itself."""
    with federation(tmp_path / "federation") as made:
        yield made


def _as_new(made: Federation, name: str, **behaviour: object) -> None:
    """Bring a federation that tests share back to order, under another name for the runs of the next test."""
    made.run = re.sub("[^a-z0-9]+", "-", name.removeprefix("test_"))[:60].strip("-")
    for site in made.sites:
        made.behave(site, **behaviour)
    end = time.monotonic() + 120
    while not made.complete():  # a part that a test has ended may still be about to end
        made.revive()
        assert time.monotonic() < end, f"the shared federation is not whole; its logs are in {made.parts.logs}"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("running") / "federation") as made:
        made.start()
        yield made


@pytest.fixture
def running(_shared: Federation, request: pytest.FixtureRequest) -> Federation:
    """A federation of two well-behaved sites that many tests share."""
    _as_new(_shared, request.node.name)
    return _shared


@pytest.fixture(scope="session")
def _shared_kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("kept") / "federation") as made:
        made.start()
        made.start_keeper()
        yield made


@pytest.fixture
def kept(_shared_kept: Federation, request: pytest.FixtureRequest) -> Iterator[Federation]:
    """A federation with a keeper that tests share; `revive` starts its dead parts again, as containers would be.

    A round takes its sites a second and a half.
    """
    _as_new(_shared_kept, request.node.name, seconds=1.5)
    yield _shared_kept
    for folder in run_folders(_shared_kept.runs):
        if not verdict(folder).state.ended:  # the test has failed; those after it shall not wait for its run
            folder.stop()


@pytest.fixture(scope="session")
def clock_ahead(tmp_path_factory) -> dict[str, str]:
    """Variables that put a process's wall clock 10 s ahead."""
    compiler = shutil.which("cc")
    if compiler is None:
        if "CI" in os.environ:
            pytest.fail("CI has a C compiler, but cc is not there")
        pytest.skip("left out: there is no C compiler (cc) to build the clock with")
    library = tmp_path_factory.mktemp("clock") / "clock_ahead.so"
    source = Path(__file__).with_name("clock_ahead.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": str(library), "CLOCK_AHEAD_SECONDS": "10"}
