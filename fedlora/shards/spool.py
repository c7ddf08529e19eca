"""Records that wait in a file until it is known where each of them goes."""

import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from fedlora.shards.division import check_labels
from fedlora.shards.records import Record, record_line

__all__ = ["Ids", "Labels", "Spool"]


class Spool:
    """A file of records, each of which can be read again by its number; in memory are 8 bytes for each.

    Used as a context, it removes its file at the end.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream = file.open("x+b")
        self._ends = array("Q", [0])

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._file.unlink()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, record: Record) -> None:
        """Write `record` behind the others."""
        line = record_line(record)
        self._stream.write(line)
        self._ends.append(self._ends[-1] + len(line))

    def read(self, numbers: Iterable[int]) -> Iterator[Record]:
        """Yield the records of those numbers, counted from 0."""
        for number in numbers:
            first, end = self._ends[number], self._ends[number + 1]
            self._stream.seek(first)
            yield Record(**json.loads(self._stream.read(end - first)))


class Ids:
    """What each record bears, as its number among all that are different: 4 bytes for each record.

    Attributes
    ----------
    codes : array of int
        The number of each record's id, in the order of the records.
    """

    def __init__(self) -> None:
        self.codes = array("I")
        self._known: dict[str, int] = {}

    def add(self, one: str) -> None:
        """Note the id of the next record."""
        self.codes.append(self._known.setdefault(one, len(self._known)))


class Labels(Ids):
    """The same for labels, of which only few may be different.

    Raises
    ------
    ShardError
        At the first that is too many.
    """

    def add(self, one: str) -> None:
        """Note the label of the next record."""
        super().add(one)
        if len(self._known) > 1:
            check_labels(len(self._known))
