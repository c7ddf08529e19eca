"""The arms of ``rounds.py``: two federations on this machine that differ in who runs the rounds, and do no work.

Both have TLS, node authentication and a SuperLink with a database. In the one Flower 1.39 is used as its templates use
it (``stock/``); in the other the kit's parts run, and its trainers are stubs that answer at once.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import fedlora.cli.local.federation as local
from fedlora import flower
from fedlora.cli.local.federation import LocalFederation
from fedlora.errors import ControlError
from fedlora.federation import Coordinator, Federation, Paths, Site
from fedlora.processes import Parts, free_ports
from fedlora.recipes import recipe
from fedlora.settings_file import write_settings
from superlink.control import Attempt
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

__all__ = ["Arm", "Kit", "Shape", "Stock", "arm"]

HERE = Path(__file__).parent
STUB = HERE.parent / "integration" / "stub_trainer.py"
PATIENCE_SECONDS = 1800.0
LOOK_SECONDS = 2.0  # each look is work for the SuperLink
DEADLINE = 600.0


@dataclass(frozen=True)
class Shape:
    """What travels: the pairs of matrices of an adapter.

    Attributes
    ----------
    layers, rank, width : int
        Each layer has a matrix of (rank, width) and one of (width, rank).
    """

    layers: int
    rank: int
    width: int

    @property
    def values(self) -> int:
        """How many values it has."""
        return 2 * self.layers * self.rank * self.width


class Arm(LocalFederation, ABC):
    """A federation whose nodes write down the calls they make."""

    name: str
    shape: Shape

    def start(self, shape: Shape, milliseconds: float | None) -> None:
        """Start all parts, whose nodes reach the SuperLink after a round trip of so many milliseconds, or straight."""
        self.shape = shape
        self.create_credentials()
        self.start_superlink()
        road = self.federation.coordinator.fleet_port if milliseconds is None else self._road(milliseconds)
        for name in self.sites:
            self.start_node(name, f"127.0.0.1:{road}")
        with self.control() as control:
            self.parts.wait_until(
                lambda: set(control.nodes().values()) == {"online"}, "the nodes", 120 + 10 * len(self.sites)
            )

    @abstractmethod
    def start_node(self, name: str, superlink: str) -> None:
        """Start a site."""

    @abstractmethod
    def run(self, rounds: int, name: str) -> list[float]:
        """Run so many rounds; return when each began, and when the last ended, in seconds since 1970."""

    def calls(self, name: str) -> list[dict[str, float]]:
        """Return the calls that a site's node has made so far."""
        return [json.loads(line) for line in self._calls_file(name).read_text(encoding="ascii").splitlines()]

    def carried(self) -> int:
        """Return the bytes that have passed on the road so far, both ways."""
        time.sleep(0.5)  # it tells five times a second
        return int((self.federation.paths.state / "toll").read_text(encoding="ascii"))

    def _road(self, milliseconds: float) -> int:
        program = [sys.executable, str(HERE / "slow_road.py"), str(self.federation.coordinator.fleet_port)]
        part = self.parts.start("road", [*program, str(milliseconds), str(self.federation.paths.state / "toll")], {})
        self.parts.wait_until(lambda: part.log.read_text().strip().isdigit(), "the road", 30)
        return int(part.log.read_text())

    def _calls_file(self, name: str) -> Path:
        return self.site(name) / "calls.jsonl"

    def _noting(self, name: str) -> dict[str, str]:
        path = os.pathsep.join([str(HERE / "fleet_calls"), os.environ.get("PYTHONPATH", "")])
        return {"PYTHONPATH": path, "FLEET_CALLS": str(self._calls_file(name))}

    def _finish(self, app: flower.AppBundle, config: dict[str, bool | float | int | str]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        with self.control() as control:
            number = control.start_run(app, config)
            attempt: Attempt | None = None
            while attempt is None or not attempt.finished:
                self.parts.check()
                if time.monotonic() > end:
                    raise SystemExit(f"{self.name}: no end after {PATIENCE_SECONDS:.0f} s")
                time.sleep(LOOK_SECONDS)
                with contextlib.suppress(ControlError):  # a SuperLink's database may be locked while objects come in
                    attempt = control.attempt(number)
        if attempt.outcome != "completed":
            raise SystemExit(f"{self.name}: {attempt}; its logs are in {self.parts.logs}")


class Stock(Arm):
    """Flower as its own templates use it."""

    name = "stock"

    def start_superlink(self) -> None:
        """Start a SuperLink with Flower's defaults, which starts all that it needs itself."""
        own, folder = self.federation.coordinator, self.coordinator
        command = [
            str(flower.PROGRAMS / "flower-superlink"),
            *("--ssl-ca-certfile", str(self.ca_certificate)),
            *("--ssl-certfile", str(folder / "server.crt"), "--ssl-keyfile", str(folder / "server.key")),
            *("--database", str(folder / "superlink.sqlite"), "--fleet-api-address", f"127.0.0.1:{own.fleet_port}"),
            *("--host", "127.0.0.1", "--port", str(own.http_port)),
            *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        ]
        self.parts.start("superlink", command, _flowers_own(folder / "flower"))
        with self.control() as control:
            self.parts.wait_until(control.answers, "the SuperLink", 120)
            self._admit(control)

    def start_node(self, name: str, superlink: str) -> None:
        """Start a SuperNode with Flower's defaults."""
        command = [
            str(flower.PROGRAMS / "flower-supernode"),
            *("--superlink", superlink, "--root-certificates", str(self.ca_certificate)),
            *("--auth-supernode-private-key", str(self.site(name) / "node.key")),
            *("--host", "127.0.0.1", "--port", str(self._site(name).runtime_port)),
        ]
        self.parts.start(name, command, {**_flowers_own(self.site(name) / "flower"), **self._noting(name)})

    def run(self, rounds: int, name: str) -> list[float]:
        """Run FedAvg over an array for each matrix."""
        told = self.federation.paths.state / f"{name}.json"
        stock = HERE / "stock"
        app = flower.bundle({file: (stock / file).read_bytes() for file in ("pyproject.toml", "stock_app.py")})
        size = {"tensors": 2 * self.shape.layers, "values": self.shape.values}
        self._finish(app, {"rounds": rounds, "nodes": len(self.sites), "rounds-file": str(told), **size})
        times: list[float] = json.loads(told.read_text(encoding="utf-8"))
        return times


class Kit(Arm):
    """The kit, with trainers that do no work."""

    name = "kit"

    def start_node(self, name: str, superlink: str) -> None:
        """Start a site: its stub, and the kit's supernode with its worker."""
        site = self._site(name)
        stub = {"socket": str(self._socket(name)), "delta": 0.01, "noise": 1.0, "examples": 10}
        shape = {"layers": self.shape.layers, "rank": self.shape.rank, "width": self.shape.width}
        (self.site(name) / "stub.json").write_text(json.dumps({**stub, **shape}), encoding="utf-8")
        self.parts.start(f"{name}-trainer", [sys.executable, str(STUB), str(self.site(name) / "stub.json")], {})
        self.parts.wait_until(self._socket(name).is_socket, "a trainer", 60)
        settings = local.supernode_settings(self.federation, site, self._places(site), metrics_host="127.0.0.1")
        file = write_settings({**settings, "superlink": superlink}, self.site(name) / "supernode.toml")
        self.parts.start(name, [sys.executable, "-m", "supernode", str(file)], self._noting(name))

    def run(self, rounds: int, name: str, codec: str = "fp32") -> list[float]:
        """Run the kit's rounds, updates and broadcasts in a codec."""
        sites = ",".join(self.sites)
        wanted = RunConfig(
            *(name, 1, sites, "finance", rounds, 7, DEADLINE, len(self.sites), 60.0, "r" * 64),
            upload_codec=codec,
            broadcast_codec=codec,
        )
        self._finish(flower.app_bundle(), wanted.to_flower())
        ledger = Ledger(RunFolder(self.runs, name).ledger, readonly=True)
        try:
            rows = ledger.rounds()
        finally:
            ledger.close()
        return [*(row.started_at for row in rows), rows[-1].ended_at or 0.0]


AnyArm = TypeVar("AnyArm", bound=Arm)


@contextmanager
def arm(
    kind: type[AnyArm], folder: Path, shape: Shape, *, nodes: int, milliseconds: float | None = None
) -> Iterator[AnyArm]:
    """Start an arm; end it, whatever happens."""
    fleet, http, *runtime = free_ports(2 + nodes)
    folder.mkdir(mode=0o700)
    sites = tuple(
        Site(f"site-{number}", "finance", folder / "none", machine="here", runtime_port=port, metrics_port=0)
        for number, port in enumerate(runtime, 1)
    )
    described = Federation(
        name="bench",
        coordinator=Coordinator("127.0.0.1", "here", fleet, http, runs=folder / "runs", metrics_port=0),
        site=sites,
        recipe=(recipe("finance", "quick"),),
        paths=Paths(state=folder),
    )
    (folder / "logs").mkdir()
    with ExitStack() as ending:
        sockets = ending.enter_context(tempfile.TemporaryDirectory(prefix="fedlora-"))
        parts = ending.enter_context(Parts(folder / "logs"))
        started = kind(described, parts, Path(sockets))
        started.start(shape, milliseconds)
        yield started


def _flowers_own(home: Path) -> dict[str, str]:
    """Return what every Flower process gets, with Flower's own pace of looking for work."""
    variables = flower.environment(home)
    del variables["FLWR_SUPEREXEC_TASK_POLL_INTERVAL"]
    return variables
