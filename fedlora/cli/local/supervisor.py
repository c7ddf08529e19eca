"""The supervisor: starts a federation's parts on this machine, keeps them alive, and stops them in order."""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedlora.cli.local.board import Board, PartState, Stage, Status
from fedlora.cli.local.federation import LocalFederation
from fedlora.errors import FedloraError, ProcessDiedError
from fedlora.federation import Federation
from fedlora.language_model import obtain
from fedlora.processes import Part, Parts

__all__ = ["Supervisor", "start"]

FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 1.0, 60.0
LIVED_SECONDS = 60.0  # after which a start has helped
LOOK_SECONDS = 0.2
log = logging.getLogger("fedlora.up")


def start(local: LocalFederation, say: Callable[[str], None]) -> None:
    """Start everything, in the order in which parts need each other, and wait until it is ready.

    Parameters
    ----------
    local : LocalFederation
        What to start.
    say : callable
        Is told each step.
    """
    say("keys and certificates")
    if made := local.create_credentials():
        say(f"made anew: {', '.join(made)}")
    if local.sites:
        say("base model")
        base_model = obtain(local.federation.base_model).check(local.federation.base_model_sha256)
    if local.coordinates:
        say("SuperLink")
        local.start_superlink()
        local.start_keeper()
        local.start_exporter()
    if local.sites:
        say(f"{len(local.sites)} site{'s' if len(local.sites) > 1 else ''}: loading the base model")
        for name in local.sites:
            local.start_trainer(name, base_model)
            local.start_supernode(name)
        local.wait_for_sites()


@dataclass
class _Life:
    """What the supervisor remembers of a part."""

    since: float
    restarts: int = 0
    ending: str = ""
    pause: float = 0.0  # before it was started again last
    due: float | None = None  # when it is started again, on the monotonic clock

    def end(self, ending: str) -> None:
        """Note that it has ended, and when it is to be started again."""
        helped = time.time() - self.since > LIVED_SECONDS and self.due is None
        doubled = min(2 * self.pause, MOST_PAUSE_SECONDS)
        self.pause = FIRST_PAUSE_SECONDS if helped else max(doubled, FIRST_PAUSE_SECONDS)
        self.ending, self.due = ending, time.monotonic() + self.pause

    def begin_again(self) -> None:
        """Note that it was started again."""
        self.since, self.restarts, self.due = time.time(), self.restarts + 1, None


@dataclass
class Supervisor:
    """Runs a federation's parts until it is interrupted.

    Attributes
    ----------
    federation : Federation
        What to run.
    only : collection of str
        The parts that run here; without any, all.
    board : Board
        Where it says how they are.
    """

    federation: Federation
    only: Collection[str]
    board: Board
    lives: dict[str, _Life] = field(default_factory=dict)

    def run(self, say: Callable[[str], None]) -> None:
        """Start everything, keep it running, and stop it when KeyboardInterrupt or an error says so.

        Raises
        ------
        FedloraError
            If something is wrong, or a part ends before everything has been ready once.
        """
        supervisor = os.getpid()
        with tempfile.TemporaryDirectory(prefix="fedlora-") as sockets, Parts(self.board.logs) as parts:
            try:
                local = LocalFederation(self.federation, parts, Path(sockets), self.only)
                local.check()

                def step(text: str) -> None:
                    say(text)
                    self._show(parts, Status(Stage.STARTING, supervisor, step=text))

                start(local, step)
                say("ready")
                self._show(parts, Status(Stage.READY, supervisor))
                while True:
                    time.sleep(LOOK_SECONDS)
                    if self._look(parts):
                        self._show(parts, Status(Stage.READY, supervisor))
            except FedloraError as error:
                self._show(parts, Status(Stage.FAILED, supervisor, "", type(error).__name__, str(error)))
                raise
            except KeyboardInterrupt:
                say("stopping")
                self._show(parts, Status(Stage.STOPPING, supervisor))
                raise

    def _look(self, parts: Parts) -> bool:
        """Note which parts have ended and start those again whose pause is over; return whether anything changed."""
        changed = False
        for part in list(parts.started):
            life = self._life(part)
            if not part.alive and life.due is None:
                life.end(part.ending)
                log.error("%s ended %s; it is started again in %.0f s", part.name, part.ending, life.pause)
                changed = True
            elif life.due is not None and time.monotonic() >= life.due:
                try:
                    parts.restart(part)
                    life.begin_again()
                except ProcessDiedError as error:  # no more processes, a full disk: the others run on meanwhile
                    life.end(life.ending)
                    log.error("%s; the next try in %.0f s", error, life.pause)
                changed = True
        return changed

    def _life(self, part: Part) -> _Life:
        return self.lives.setdefault(part.name, _Life(since=time.time()))

    def _show(self, parts: Parts, status: Status) -> None:
        rows = []
        for part in parts.started:
            life = self._life(part)
            pid = part.process.pid if part.alive else 0
            rows.append(PartState(part.name, pid, life.since, life.restarts, life.ending, str(part.log)))
        try:
            self.board.write(replace(status, parts=tuple(rows)))
        except OSError as error:  # a full disk must not stop a federation that runs
            log.error("%s cannot be written, so fedlora status says what was: %s", self.board.file, error)
