"""The processes that `fedlora up` has started, as the field of a drill."""

import contextlib
import os
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from fedlora.cli.drill.runs import ProcessRuns, Runs
from fedlora.cli.local.board import Board, PartState, Stage
from fedlora.drills import Checkpoints, Field, LinkControl, Place
from fedlora.drills.road import Road
from fedlora.errors import ConfigurationError, NotReadyError
from fedlora.federation import Federation
from fedlora.settings_file import write_settings
from superlink.runs import RunFolder
from supernode.heartbeat import node_heartbeat

__all__ = ["ProcessField"]

BACK_SECONDS = 90.0  # until a node is online again; its supervisor may wait up to 60 s before it starts it
RULE = ("INPUT", "-i", "lo", "-p", "tcp", "-m", "statistic", "--mode", "random")


class ProcessField(Field):
    """What runs of a federation on this machine.

    Parameters
    ----------
    federation : Federation
        The federation.
    """

    place = Place.PROCESS

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.board = Board(federation.paths.state)

    def runs(self, file: Path, settings: list[str]) -> Runs:
        """Return the runs of the federation in `file`, under settings KEY=VALUE that are other than in it."""
        return ProcessRuns(file, settings)

    def check(self) -> None:
        """Check that everything runs."""
        status = self.board.read()
        if status.stage is not Stage.READY:
            raise NotReadyError(f"{self.federation.name} is {status.stage.value} here; start it with fedlora up")
        if down := [part.name for part in status.parts if not part.pid]:
            raise NotReadyError(f"{', '.join(down)} is down at this moment; see fedlora status")

    def described(self, part: str, site: str) -> str:
        """Return the processes that stand for a part."""
        return ", ".join(f"{one.name} (process {one.pid})" for one in self._parts(part, site)) + {
            "serverapp": ": of its children, the one that writes the run's ledger",
            "worker": ": its child supernode.worker",
        }.get(part, "")

    def kill(self, part: str, site: str, run: str) -> None:
        """Send SIGKILL."""
        parts = self._parts(part, site)
        if part == "serverapp":
            os.kill(self._writer(run), signal.SIGKILL)
        elif part == "worker":
            os.kill(_below(parts[0].pid, "supernode.worker"), signal.SIGKILL)
        elif part in ("site", "everything"):
            for one in parts:
                _to_group(one, signal.SIGKILL)
        else:
            os.kill(parts[0].pid, signal.SIGKILL)

    def pause(self, part: str, site: str) -> None:
        """Send SIGSTOP to all processes of a part."""
        for one in self._parts(part, site):
            _to_group(one, signal.SIGSTOP)

    def resume(self, part: str, site: str) -> None:
        """Send SIGCONT to all processes of a part."""
        for one in self._parts(part, site):
            _to_group(one, signal.SIGCONT)

    def hang(self, site: str) -> None:
        """Send SIGSTOP to the process below a site's trainer."""
        (watchdog,) = self._parts("trainer", site)
        for process in _group(watchdog.pid):
            if process != watchdog.pid:
                os.kill(process, signal.SIGSTOP)

    def link(self, site: str) -> LinkControl:
        """Lead a site's link over a road of ours, for which its supernode is started again."""
        return _ByRoad(self, site)

    def checkpoints(self, run: str) -> Checkpoints:
        """Return the folder of a run's checkpoints."""
        folder = RunFolder(self.federation.coordinator.runs, run).checkpoints.directory
        return Checkpoints(folder, str(folder))

    def server_certificate(self) -> Path:
        """Return the file of the SuperLink's certificate."""
        return self.federation.paths.state / "coordinator" / "server.crt"

    def authority(self) -> Path:
        """Return the folder of the CA, which is the coordinator's own here."""
        return self.server_certificate().parent

    def restart_server(self) -> None:
        """Kill the SuperLink, which its supervisor starts again; one that is down reads its files when it starts."""
        with contextlib.suppress(NotReadyError):
            self.kill("superlink", "", "")

    def restart_node(self, site: str) -> None:
        """Kill a site's supernode and wait until it has reached the SuperLink again.

        Raises
        ------
        NotReadyError
            If it does not.
        """
        (before,) = self._parts("supernode", site)
        _to_group(before, signal.SIGKILL)
        last_call = node_heartbeat(self.federation.paths.state / site / "supernode")
        last_call.forget()

        def back() -> bool:
            with contextlib.suppress(NotReadyError):
                return self._parts("supernode", site)[0].pid != before.pid and last_call.healthy
            return False

        _wait_until(back, f"the supernode of {site} by its other road")

    def _parts(self, part: str, site: str) -> list[PartState]:
        """Return what runs of a part, or of what it belongs to."""
        wanted: Callable[[str], bool] = {
            "serverapp": lambda name: name == "superexec",
            "supernode": lambda name: name == f"{site}-supernode",
            "worker": lambda name: name == f"{site}-supernode",
            "trainer": lambda name: name == f"{site}-trainer",
            "site": lambda name: name in (f"{site}-supernode", f"{site}-trainer"),
            "everything": lambda _name: True,
        }.get(part, lambda name: name == part)
        found = [one for one in self.board.read().parts if wanted(one.name)]
        if not found:
            raise ConfigurationError(
                f"no part {part}{f' of site {site}' if site else ''} runs here; see fedlora status"
            )
        if not all(one.pid for one in found) and part != "everything":
            raise NotReadyError(f"{', '.join(one.name for one in found)} is not there at this moment")
        return [one for one in found if one.pid]

    def _writer(self, run: str) -> int:
        """Return the process that leads a run: it has the ledger open, as the keeper and others that read it have."""
        ledger = str(RunFolder(self.federation.coordinator.runs, run).ledger.resolve())
        readers = {one.pid for one in self.board.read().parts if one.name != "superexec"}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended, or is another user's
                number = int(process.name)
                if number == os.getpid() or os.getpgid(number) in readers:
                    continue
                if any(os.path.realpath(file) == ledger for file in (process / "fd").iterdir()):
                    return number
        raise NotReadyError(f"no ServerApp has {ledger} open: the run is between two attempts")


class _ByRoad(LinkControl):
    """A link that leads over a `Road`."""

    def __init__(self, field: ProcessField, site: str) -> None:
        self.field, self.site = field, site
        self.file = field.federation.paths.state / site / "supernode.toml"
        self.usual = tomllib.loads(self.file.read_text(encoding="utf-8"))
        host, _, port = self.usual["superlink"].rpartition(":")
        self.road = Road(host, int(port))
        self.rule: tuple[str, ...] = ()
        try:
            write_settings({**self.usual, "superlink": f"127.0.0.1:{self.road.port}"}, self.file)
            field.restart_node(site)
        except BaseException:
            write_settings(self.usual, self.file)
            raise

    def cut(self) -> None:
        self.road.cut()

    def slow(self, bits_per_second: float, delay_seconds: float) -> None:
        self.road.slow(bits_per_second, delay_seconds)

    def drop(self, share: float) -> None:
        self.rule = (*RULE, "--probability", f"{share}", "--dport", f"{self.road.port}", "-j", "DROP")
        subprocess.run(["iptables", "--wait", "-I", *self.rule], check=True)

    def mend(self) -> None:
        self.road.open()
        if self.rule:
            subprocess.run(["iptables", "--wait", "-D", *self.rule], check=True)
            self.rule = ()

    def close(self) -> None:
        self.mend()
        write_settings(self.usual, self.file)
        self.field.restart_node(self.site)
        self.road.close()


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + BACK_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise NotReadyError(f"{what}: not within {BACK_SECONDS:.0f} s")
        time.sleep(0.1)


def _to_group(part: PartState, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
        os.killpg(part.pid, number)


def _group(leader: int) -> list[int]:
    """Return the processes of a group: each part leads one of its own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == leader:
                found.append(int(process.name))
    return found


def _below(leader: int, module: str) -> int:
    for process in _group(leader):
        with contextlib.suppress(OSError):
            if module in Path(f"/proc/{process}/cmdline").read_text().split("\0"):
                return process
    raise NotReadyError(f"no {module} runs below process {leader} at this moment")
