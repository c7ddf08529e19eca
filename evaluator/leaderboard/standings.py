"""Who stands where: entries that were checked, and published rows beside them, by board and scoring."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.leaderboard.columns import BOARDS, Board, mean, shares
from evaluator.leaderboard.comparison import Solved
from evaluator.leaderboard.files import MANIFEST
from evaluator.leaderboard.manifest import Manifest
from evaluator.leaderboard.published import PublishedRow, published_rows
from evaluator.leaderboard.rules import Outcome, Ruling, rulings
from evaluator.leaderboard.verification import Place, verify
from evaluator.results.score import Share
from fedlora.errors import EntryError

__all__ = ["Entry", "Row", "combined", "front", "open_entries", "standings"]

MEBI = 2**20


@dataclass(frozen=True)
class Entry:
    """An entry that holds: its signature, its files and its scores.

    Attributes
    ----------
    id : str
        First 12 digits of its manifest's SHA-256.
    key_sha256 : str
        Fingerprint of the key that has signed it.
    manifest : Manifest
        What it says.
    solved : mapping
        Which items are right, by model, task and scoring, and by group.
    rulings : tuple of Ruling
        The benchmark's rules.
    """

    id: str
    key_sha256: str
    manifest: Manifest
    solved: Mapping[Place, Mapping[str, Solved]]
    rulings: tuple[Ruling, ...]

    @property
    def page(self) -> str:
        """Name of its page."""
        return f"entry-{self.id}.html"

    @property
    def mib(self) -> float | None:
        """Adapters in both directions, in MiB; None if nobody has told."""
        run = self.manifest.run
        return None if run is None or run.payload_bytes is None else run.payload_bytes / MEBI

    @property
    def memory(self) -> tuple[float, str] | None:
        """Memory of a site's trainer in MiB, and of what; None if nobody has told."""
        run = self.manifest.run
        if run is None or (run.gpu_peak_bytes is None and run.resident_bytes is None):
            return None
        if run.gpu_peak_bytes is not None:
            return run.gpu_peak_bytes / MEBI, "GPU peak"
        return (run.resident_bytes or 0) / MEBI, "resident"

    @property
    def broken(self) -> int:
        """How many of the board's rules it breaks."""
        return sum(one.outcome is Outcome.BROKEN for one in self.rulings)

    def shares(self, board: Board, scoring: str, model: str = "adapted") -> tuple[Share | None, ...]:
        """Return a board's columns."""
        return shares(board, self.manifest.by_task(model, scoring))


@dataclass(frozen=True)
class Row:
    """A line of a board.

    Attributes
    ----------
    entry : Entry or None
        Whose; else `published`.
    published : PublishedRow or None
        What was published elsewhere.
    columns : tuple
        The columns' shares; None where there is none, n = 0 where nobody has told it.
    mean : Share or None
        What ranks; None if a column lacks.
    base : Share or None
        The same of the base model alone.
    rank : int
        Among the entries, from 1, equal where means are; 0 without a mean, and for what was published elsewhere.
    """

    entry: Entry | None
    published: PublishedRow | None
    columns: tuple[Share | None, ...]
    mean: Share | None
    base: Share | None = None
    rank: int = 0

    @property
    def mib(self) -> float | None:
        """Communication in MiB."""
        if self.entry is not None:
            return self.entry.mib
        return self.published.mib if self.published else None


def open_entries(places: Iterable[Path]) -> list[Entry]:
    """Open and check every entry of `places`: entries, or folders of entries.

    Raises
    ------
    EntryError
        If one does not hold, stands there twice, or there is none.
    """
    entries: dict[str, Entry] = {}
    for folder in _folders(places):
        found = verify(folder).check()
        if found.manifest is None or found.id in entries:
            raise EntryError(f"{folder} is an entry that stands there already; name each once")
        one = found.manifest
        entries[found.id] = Entry(found.id, found.key_sha256, one, found.solved, rulings(one))
    return sorted(entries.values(), key=lambda entry: (entry.manifest.created, entry.id))


def _folders(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if (place / MANIFEST).exists():
            yield place
            continue
        below = sorted(entry.parent for entry in place.glob(f"*/{MANIFEST}"))
        if not below:
            raise EntryError(f"{place} is no entry and holds none; name folders that `leaderboard submit` has made")
        yield from below


def standings(board: Board, scoring: str, entries: Iterable[Entry]) -> list[Row]:
    """Return the lines of a board, the best first; those without a mean last, as far as they have a column."""
    rows = []
    for entry in entries:
        columns = entry.shares(board, scoring)
        if any(columns):
            base = mean(entry.shares(board, scoring, "base"))
            rows.append(Row(entry, None, columns, mean(columns), base))
    if scoring == "flowertune":
        rows += [_published(board, one) for one in published_rows() if one.domain == board.domain]
    return _ranked(rows)


def combined(scoring: str, entries: Iterable[Entry]) -> list[Row]:
    """Return the lines of the board of all domains: its columns are the domains' scores."""
    rows = []
    for entry in entries:
        columns, base = (
            tuple(mean(entry.shares(board, scoring, model)) for board in BOARDS.values())
            for model in ("adapted", "base")
        )
        if any(columns):
            rows.append(Row(entry, None, columns, mean(columns), mean(base)))
    return _ranked(rows)


def _published(board: Board, row: PublishedRow) -> Row:
    found = [row.scores.get(column.title) for column in board.columns]
    return Row(None, row, tuple(None if one is None else _point(one) for one in found), _point(row.average))


def _point(percent: float) -> Share:
    return Share(0, percent / 100, percent / 100, percent / 100)


def _ranked(rows: Sequence[Row]) -> list[Row]:
    ordered = sorted(rows, key=lambda row: -row.mean.value if row.mean else 1.0)
    values = [row.mean.value for row in ordered if row.entry and row.mean]
    return [
        dataclasses.replace(row, rank=1 + values.index(row.mean.value)) if row.entry and row.mean else row
        for row in ordered
    ]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return which points, (cost, score), none beats: none costs no more and scores no less, and one of both strictly.

    The Pareto front, by rising cost; of equal points all are on it.
    """
    order = sorted(range(len(points)), key=lambda at: (points[at][0], -points[at][1]))
    kept: list[int] = []
    for at in order:
        if not kept or points[at][1] > points[kept[-1]][1] or points[at] == points[kept[-1]]:
            kept.append(at)
    return kept
