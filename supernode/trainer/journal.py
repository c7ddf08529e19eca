"""What the trainer has done, on the disk: so that a round is trained once, whoever is killed in between."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fedlora.errors import PolicyError, TrainerError
from fedlora.folders import check_room, replace_durably

__all__ = ["Carried", "Journal", "Opening", "Turn", "room"]

# Of the optimiser; of what a lossy codec has left out, of bare updates and of noised ones.
Carried = Literal["moments", "residue", "noised-residue"]
MOST_RUN_NAME = 64
RUN_FILE = 32  # characters of the file names of a run


@dataclass(frozen=True)
class Opening:
    """What was agreed on when an epoch of a run was opened."""

    recipe_sha256: str
    upload_codec: str
    broadcast_codec: str


@dataclass(frozen=True)
class Turn:
    """A round of an epoch of a run, with the adapter it was asked for."""

    run: str
    epoch: int
    round: int
    adapter_sha256: str

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and round: what must rise from call to call."""
        return self.epoch, self.round


class Journal:
    """The epochs and rounds of each run that this trainer has served, and its last answer for each.

    Parameters
    ----------
    directory : Path
        Folder that outlives the process.

    Raises
    ------
    TrainerError
        If the disk does not take it, here and in what writes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise TrainerError(f"the state folder {directory} cannot be made: {error}") from error

    def check_room(self, update_bytes: int) -> None:
        """Check that the disk takes the next answer, of `update_bytes`.

        Raises
        ------
        TrainerError
            If it is full.
        """
        check_room(self.directory, room(update_bytes), TrainerError)

    def open_epoch(self, run: str, epoch: int, opening: Opening, *, most_runs: int = 0) -> None:
        """Note that `epoch` of `run` has begun, and with what.

        Raises
        ------
        PolicyError
            If a newer epoch has begun before: its coordinator has been replaced; or if the run is new, and so many
            were opened before as the policy allows in all, where that is not 0.
        """
        known = self._read(run)
        if not known and 0 < most_runs <= (opened := len(list(self.directory.glob(f"{'?' * RUN_FILE}.json")))):
            raise PolicyError(
                f"run {run} would be one more than the {opened} runs that this site has opened; its "
                f"policy's most-runs is {most_runs}"
            )
        if epoch < known.get("epoch", 0):
            raise PolicyError(f"epoch {epoch} of run {run} is over: epoch {known['epoch']} has begun")
        self._write(run, {**known, "epoch": epoch, "opening": asdict(opening)})

    def opening(self, run: str) -> Opening:
        """Return with what the newest epoch of `run` was opened, also before a restart.

        Raises
        ------
        PolicyError
            If none was.
        """
        known = self._read(run)
        if "opening" not in known:
            raise PolicyError(f"run {run} is not open at this trainer; it must be configured first")
        return Opening(**known["opening"])

    def answer_before(self, turn: Turn) -> bytes | None:
        """Return the answer that `turn` was given before, or None if it is a new one.

        Raises
        ------
        PolicyError
            If its epoch was not opened or is over, or if a later round or another adapter had its turn already.
        """
        known = self._read(turn.run)
        if turn.epoch != known.get("epoch"):
            raise PolicyError(f"epoch {turn.epoch} of run {turn.run} is not open; open is {known.get('epoch', 'none')}")
        last = tuple(known.get("last", (0, 0)))
        if turn.place > last:
            return None
        if turn.place == last and turn.adapter_sha256 == known.get("adapter_sha256"):
            return self._answer_file(turn.run).read_bytes()
        raise PolicyError(
            f"round {turn.round} of epoch {turn.epoch} of run {turn.run} had its turn; the last was "
            f"round {last[1]} of epoch {last[0]}"
        )

    def record(self, turn: Turn, answer: bytes) -> None:
        """Keep `answer`; after a crash either all of this happened or nothing did."""
        self._keep(self._answer_file(turn.run), answer)
        fields = {"epoch": turn.epoch, "last": turn.place, "adapter_sha256": turn.adapter_sha256}
        self._write(turn.run, {**self._read(turn.run), **fields})

    def carried(self, what: Carried, run: str, counted: int) -> bytes | None:
        """Return what was to be carried on from round `counted`, the last whose update was aggregated, if anything."""
        file = self._carried_file(what, run, counted)
        return file.read_bytes() if file.exists() else None

    def carry(self, what: Carried, run: str, round_number: int, content: bytes, *, after: int) -> None:
        """Keep what is carried on from a round, and from round `after`, on which it went on; from no others.

        Which of the two the next round goes on with is known when it comes: it says whether this one was aggregated.
        """
        file = self._carried_file(what, run, round_number)
        self._keep(file, content)
        kept = {file, self._carried_file(what, run, after)}
        for old in self.directory.glob(f"{_file_name(run)}.{what}-*"):
            if old not in kept:
                old.unlink(missing_ok=True)

    def _read(self, run: str) -> dict[str, Any]:
        file = self._journal_file(run)
        if not file.exists():
            return {}
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TrainerError(f"the journal of run {run} is damaged: {error}") from error
        return known if isinstance(known, dict) else {}

    def _write(self, run: str, fields: dict[str, Any]) -> None:
        self._keep(self._journal_file(run), json.dumps({"run": run, **fields}).encode())

    def _keep(self, file: Path, content: bytes) -> None:
        try:
            replace_durably(file, content)
        except OSError as error:
            raise TrainerError(
                f"the state folder {self.directory} takes no more: {error.strerror}; make room"
            ) from error

    def _journal_file(self, run: str) -> Path:
        return self.directory / f"{_file_name(run)}.json"

    def _carried_file(self, what: Carried, run: str, round_number: int) -> Path:
        return self.directory / f"{_file_name(run)}.{what}-{round_number}"

    def _answer_file(self, run: str) -> Path:
        return self.directory / f"{_file_name(run)}.answer"


def room(update_bytes: int) -> int:
    """Return how many bytes must be free where answers are kept, with updates of so many bytes in fp32.

    The next answer is written beside the last one. With a lossy codec an answer is half as long at most, and there are
    three residues, of which each is as long as an update in fp32: of two rounds, and the one that is written.
    """
    return 4 * update_bytes + 10**6


def _file_name(run: str) -> str:
    """Return a file name for a run whose name came over the network and is not to be trusted as one."""
    if not run or len(run) > MOST_RUN_NAME:
        raise PolicyError(f"a run's name has 1 to {MOST_RUN_NAME} characters, not {len(run)}")
    return hashlib.sha256(run.encode()).hexdigest()[:RUN_FILE]
