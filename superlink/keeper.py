"""The keeper: brings every submitted run to its end, whatever dies meanwhile.

``python -m superlink.keeper keeper.toml``. It watches the attempts of the runs in a folder through the ledger and
Flower's Control API, and submits a new attempt, which goes on from the last checkpoint, when one was lost. It keeps
nothing in memory that matters and may be killed at any moment; a second one waits until the first is gone.
"""

import contextlib
import fcntl
import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fedlora import audit
from fedlora.audit import CA, Audit, Event
from fedlora.config import read_toml
from fedlora.environment import check_rendered_version
from fedlora.errors import AuditError, ControlError, FedloraError, ParticipationError, RunError
from fedlora.federation import Keeper as Described
from fedlora.flower import app_bundle
from fedlora.folders import check_room
from fedlora.heartbeat import Heartbeat
from fedlora.log import report, show
from fedlora.pki.reading import ca_fingerprints
from fedlora.pki.rotation import authority_keys
from fedlora.processes import until_signalled
from superlink.control import Attempt, Control
from superlink.engine import serve_part
from superlink.ledger import Ledger
from superlink.ledger_rows import AttemptRow, SubmissionRow
from superlink.presence import note_presence
from superlink.registrations import Registrations
from superlink.runs import RunFolder, Verdicts, run_folders
from superlink.trust import take_over_runs

__all__ = ["Keeper", "KeeperSettings"]

NODES_SECONDS = 5.0  # between looks at the nodes
ROOM_BYTES = 10 * 10**6  # below which the disk of the runs is called full
HEARTBEAT = "keeper.heartbeat"  # in the folder of runs: it has looked at the runs
log = logging.getLogger("fedlora.keeper")


@dataclass(frozen=True)
class KeeperSettings:
    """The keeper's file.

    Attributes
    ----------
    superlink : str
        ``host:port`` of the SuperLink's HTTP APIs.
    ca_certificate : Path
        The federation's CA certificate.
    runs : Path
        Folder of the runs.
    silent_seconds : float
        An attempt whose ServerApp has said nothing for so long is taken for dead. Flower itself takes 55 s.
    first_pause, most_pause : float
        Seconds before a lost attempt is followed by the next; doubled each time that no round was gained.
    fruitless : int
        Attempts in a row without a new round after which the run is given up.
    admin : Path or None
        Folder with the admin's certificate and key, where a proxy before the SuperLink asks for one.
    listen : str
        ``HOST:PORT`` at which it tells Prometheus what it takes of its machine; empty for nowhere.
    """

    superlink: str
    ca_certificate: Path
    runs: Path
    silent_seconds: float = Described.silent_seconds
    first_pause: float = Described.first_pause
    most_pause: float = Described.most_pause
    fruitless: int = Described.fruitless
    admin: Path | None = None
    listen: str = ""

    @property
    def audit(self) -> Audit:
        """The coordinator's audit log."""
        return Audit(self.runs / audit.FILE, "keeper")

    @property
    def federation(self) -> str:
        """What names the federation: its CA's public key."""
        return self.federations[0]

    @cached_property
    def federations(self) -> tuple[str, ...]:
        """By which names it goes: while its CA is exchanged, those of both, the one that signs first."""
        return authority_keys(self.ca_certificate)

    def take_runs_over(self) -> None:
        """Let what began under the CA that is being left belong to the one that signs now."""
        for other in self.federations[1:]:
            take_over_runs(self.runs, other, self.federation)


@dataclass
class Keeper:
    """Looks after the runs in one folder.

    Attributes
    ----------
    settings : KeeperSettings
        Where, and how patiently.
    waiting : dict
        When a run may be submitted next, on the monotonic clock. Forgetting it costs a pause, no more.
    settled : set
        Runs that have ended, and whose traffic Flower will count no further.
    verdicts : Verdicts
        Where runs stand.
    """

    settings: KeeperSettings
    waiting: dict[str, float] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    verdicts: Verdicts = field(default_factory=Verdicts)
    _registrations: Registrations | None = None
    _nodes_due: float = 0.0  # when to look at the nodes again, on the monotonic clock

    def look(self, control: Control) -> None:
        """Look at every run once: one runs at a time, in the order of submission."""
        for folder in run_folders(self.settings.runs):
            if self.verdicts.of(folder).state.ended:
                self._settle(folder, control)
                continue
            if not self._foreign(folder):
                self._look_at(folder, control)
            return

    def note_nodes(self, control: Control) -> None:
        """Note, every few seconds, which nodes are online, and in the audit log which were admitted or turned away."""
        if time.monotonic() >= self._nodes_due:
            nodes = control.node_list()
            note_presence(self.settings.runs, {node.name: node.status for node in nodes if node.registered})
            if self._registrations is None:
                self._registrations = Registrations(self.settings.audit)
            self._registrations.note(nodes)
            self._nodes_due = time.monotonic() + NODES_SECONDS

    def _settle(self, folder: RunFolder, control: Control) -> None:
        """Note what Flower has counted for a run that has ended, until it has ended there as well."""
        if folder.name in self.settled or not folder.ledger.exists():
            return
        if folder.belong_to(self.settings.federation) not in self.settings.federations:
            self.settled.add(folder.name)
            return
        ledger = Ledger(folder.ledger)
        try:
            noted = [_note_traffic(ledger, row, control) for row in ledger.submissions()]
            if all(noted):
                self.settled.add(folder.name)
        finally:
            ledger.close()

    def _foreign(self, folder: RunFolder) -> bool:
        """Give a run of another federation up; return whether it is one."""
        federation = self.settings.federation
        if (other := folder.belong_to(federation)) in self.settings.federations:
            return False
        folder.give_up(
            f"run {folder.name} belongs to another federation, whose CA has the key {other[:16]}...; this one's has "
            f"{federation[:16]}.... Resume it where it was begun, or submit it here under another name"
        )
        return True

    def _impossible(self, folder: RunFolder, control: Control, epoch: int) -> bool:
        """Give a run up for which too few sites are registered; return whether there are.

        In its first attempt all of its sites must be; later on, as many as its rule of participation asks for.
        """
        known, config = control.nodes(), folder.config(epoch)
        unknown = [name for name in config.site_names if name not in known]
        registered = [name for name in config.site_names if name in known]
        if not unknown or (epoch > 1 and not config.participation.shortage(registered)):
            return False
        folder.give_up(
            f"site(s) {', '.join(unknown)} are not registered at the SuperLink; registered are "
            f"{', '.join(sorted(known)) or 'none'}. Register them and resume the run",
            ParticipationError,
        )
        return True

    def _look_at(self, folder: RunFolder, control: Control) -> None:
        ledger = Ledger(folder.ledger)
        try:
            submissions, attempts = ledger.submissions(), {row.epoch: row for row in ledger.attempts()}
            if not submissions:
                self._submit(folder, ledger, control, 1)
                return
            last = submissions[-1]
            if last.flower_run is None:
                _stop_others(submissions[:-1], control)
                self._find_again(folder, ledger, control, last, attempts.get(last.epoch))
                return
            for row in submissions[:-1]:
                _note_traffic(ledger, row, control)
            attempt, flower = attempts.get(last.epoch), control.attempt(last.flower_run)
            _keep_traffic(ledger, last, flower)
            if _stopped_through_flower(attempt, flower):
                log.info("run %s, epoch %d: somebody has stopped it through Flower", folder.name, last.epoch)
                folder.stop()
                self.settings.audit.note_if_possible(Event.RUN_STOPPED, run=folder.name, through="Flower")
                ledger.end_attempt(last.epoch, "lost", "somebody stopped it through Flower")
                return
            lost = self._why_lost(attempt, flower)
            if lost is None:
                return
            ledger.end_attempt(last.epoch, "lost", lost)  # first, so that our stop is not taken for somebody else's
            self._note_lost(folder, last.epoch, lost, attempt)
            if flower is not None and not flower.finished:
                control.stop_run(last.flower_run)
            self._resubmit(folder, ledger, control, last.epoch, lost)
        finally:
            ledger.close()

    def _note_lost(self, folder: RunFolder, epoch: int, lost: str, attempt: AttemptRow | None) -> None:
        """Note in the audit log that an attempt is lost: once, however often it is looked at until the next begins."""
        if attempt is not None and attempt.outcome == "running":
            self.settings.audit.note_if_possible(
                Event.ATTEMPT_ENDED, run=folder.name, epoch=epoch, outcome=f"lost: {lost}"
            )

    def _why_lost(self, attempt: AttemptRow | None, flower: Attempt | None) -> str | None:
        """Say why the newest attempt will not go on, or None if it does."""
        if attempt is not None and attempt.outcome == "lost":
            return attempt.reason
        if flower is None:
            return "the SuperLink does not know it"
        if flower.finished:
            return f"Flower says it {flower.outcome}: {flower.details or 'no reason'}"
        if attempt is not None and attempt.outcome == "running":
            silent = time.time() - attempt.seen_at
            if silent > self.settings.silent_seconds:
                return f"its ServerApp has been silent for {silent:.0f} s"
        return None

    def _find_again(
        self, folder: RunFolder, ledger: Ledger, control: Control, last: SubmissionRow, attempt: AttemptRow | None
    ) -> None:
        """Finish a submission that a keeper was killed in: Flower has it, or is asked now."""
        known = attempt.flower_run if attempt else control.find(run=folder.name, epoch=last.epoch)
        if known is None:
            known = control.start_run(app_bundle(), folder.config(last.epoch).to_flower())
        ledger.end_submission(last.epoch, known)
        log.info("run %s, epoch %d: found again as %d", folder.name, last.epoch, known)

    def _resubmit(self, folder: RunFolder, ledger: Ledger, control: Control, epoch: int, lost: str) -> None:
        gained = {row.epoch for row in ledger.rounds() if row.state == "aggregated"}
        tried = [row.epoch for row in ledger.submissions() if folder.resumed < row.epoch <= epoch]
        fruitless = next((k for k, one in enumerate(reversed(tried)) if one in gained), len(tried))
        if fruitless >= self.settings.fruitless:
            folder.give_up(f"{fruitless} attempts in a row gained no round; the last was lost: {lost}")
            log.error("run %s is given up: %s", folder.name, lost)
            return
        now = time.monotonic()
        pause = min(self.settings.first_pause * 2**fruitless, self.settings.most_pause)
        if folder.name not in self.waiting:
            log.warning("run %s, epoch %d is lost (%s); the next in %.0f s", folder.name, epoch, lost, pause)
            self.waiting[folder.name] = now + pause
        if now >= self.waiting[folder.name]:
            del self.waiting[folder.name]
            self._submit(folder, ledger, control, epoch + 1)

    def _submit(self, folder: RunFolder, ledger: Ledger, control: Control, epoch: int) -> None:
        if self._impossible(folder, control, epoch):
            return
        ledger.start_submission(epoch)
        flower_run = control.start_run(app_bundle(), folder.config(epoch).to_flower())
        ledger.end_submission(epoch, flower_run)
        log.info("run %s, epoch %d: submitted as %d", folder.name, epoch, flower_run)


def _note_traffic(ledger: Ledger, row: SubmissionRow, control: Control) -> bool:
    """Note what Flower has counted for an attempt; return whether that will not change any more."""
    if row.flower_final or row.flower_run is None:
        return True
    flower = control.attempt(row.flower_run)
    _keep_traffic(ledger, row, flower)
    return flower is None or flower.finished


def _stop_others(earlier: Sequence[SubmissionRow], control: Control) -> None:
    """Stop what Flower takes for running of earlier attempts: after a restore, it knows them as they were."""
    for row in earlier:
        if row.flower_run is not None:
            flower = control.attempt(row.flower_run)
            if flower is not None and not flower.finished:
                control.stop_run(row.flower_run)


def _keep_traffic(ledger: Ledger, row: SubmissionRow, flower: Attempt | None) -> None:
    if flower is not None:
        found = flower.bytes_down, flower.bytes_up, flower.finished
        if found != (row.flower_bytes_down, row.flower_bytes_up, row.flower_final):
            ledger.note_traffic(row.epoch, *found)


def _stopped_through_flower(attempt: AttemptRow | None, flower: Attempt | None) -> bool:
    """Whether somebody stopped the Flower run himself: we note an attempt as lost before we stop it."""
    ours = attempt is not None and attempt.outcome != "running"
    return flower is not None and flower.finished and flower.outcome == "stopped" and not ours


@contextlib.contextmanager
def _alone(runs: Path, stopped: threading.Event) -> Iterator[None]:
    """Wait until no other keeper looks after `runs`, and keep others out."""
    runs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (runs / "keeper.lock").open("a") as lock:
        said = False
        while not stopped.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if not said:
                    log.info("another keeper looks after %s; waiting until it is gone", runs)
                said = True
                stopped.wait(0.5)
        yield


def main(arguments: list[str]) -> int:
    """Look after the runs until SIGTERM or SIGINT; return the exit code."""
    show()
    stopped = until_signalled()
    try:
        check_rendered_version()
        settings = read_toml(KeeperSettings, Path(arguments[0]))
        control = Control(settings.superlink, settings.ca_certificate, admin=settings.admin)
        if settings.listen:
            serve_part("keeper", settings.listen, settings.runs)
        with _alone(settings.runs, stopped), control:
            log.info("looking after the runs in %s", settings.runs)
            settings.take_runs_over()
            settings.audit.note_change(Event.KEY_CHANGED, CA, ", ".join(ca_fingerprints(settings.ca_certificate)))
            _serve(Keeper(settings), control, stopped)
    except (FedloraError, OSError) as error:
        return report(error)
    return 0


def _serve(keeper: Keeper, control: Control, stopped: threading.Event) -> None:
    """Look at the runs until `stopped`; what may pass is logged, once for each reason, and costs the heartbeat."""
    runs, said = keeper.settings.runs, ""
    heartbeat = Heartbeat(runs / HEARTBEAT)
    heartbeat.forget()
    while not stopped.wait(0.5):
        try:
            keeper.look(control)
            check_room(runs, ROOM_BYTES, RunError)
            keeper.note_nodes(control)  # after that: a full disk is named wherever the SuperLink is
            heartbeat.note()
            said = ""
        except (AuditError, ControlError, RunError, OSError) as error:  # the SuperLink is away, or the disk is full
            if str(error) != said:
                log.warning("%s: %s", type(error).__name__, error)
            said = str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
