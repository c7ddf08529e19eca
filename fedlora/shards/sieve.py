"""From the rows of a source to the records of a shard: what is no record, repeats or leaks is counted or left out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from fedlora.domains import Domain
from fedlora.errors import ShardError
from fedlora.log import printable
from fedlora.shards.leaks import LeakCheck
from fedlora.shards.manifest import FIELDS
from fedlora.shards.preparation import LeftOut, Preparation, name_of
from fedlora.shards.records import Fault, Record, make_record
from fedlora.shards.repeats import Repeats
from fedlora.shards.rows import Row

__all__ = ["Sieve"]


class Sieve:
    """Turns rows into records, one after the other, and keeps account of it.

    Parameters
    ----------
    origin : str
        The source of the rows, for errors.
    about : Domain
        See `read_records`.
    skip_bad : bool
        Leave out rows that are no records, rather than end at the first.
    keep_duplicates : bool
        Only count records that repeat an earlier one, rather than leave them out.
    leaks : LeakCheck, optional
        What to compare the records with.
    drop_leaks : bool
        Leave out those that overlap with it.
    id_field : str, optional
        A field of the rows that each of them must have.
    """

    def __init__(
        self,
        origin: str,
        about: Domain,
        *,
        skip_bad: bool = False,
        keep_duplicates: bool = False,
        leaks: LeakCheck | None = None,
        drop_leaks: bool = False,
        id_field: str | None = None,
    ) -> None:
        self.origin, self.about, self.id_field = origin, about, id_field
        self.skip_bad, self.keep_duplicates, self.drop_leaks = skip_bad, keep_duplicates, drop_leaks
        self._leaks = leaks
        self._repeats = Repeats()
        self._rows = 0
        self._left_out = Counter[str]()

    def records(self, rows: Iterable[Row]) -> Iterator[Record]:
        """Yield the records of `rows`; see `identified`."""
        return (record for record, _ in self.identified(rows))

    def identified(self, rows: Iterable[Row]) -> Iterator[tuple[Record, str]]:
        """Yield the records of `rows`, each with what stands in its `id_field`, or nothing if none is asked for.

        Raises
        ------
        ShardError
            At the first row that is no record, unless those are left out; at the end, if there was no record.
        """
        for place, row in rows:
            self._rows += 1
            try:
                found = make_record(row, self.about), self._identity(row)
            except Fault as fault:
                if not self.skip_bad:
                    raise ShardError(f"{self.origin}, {place}: {fault}") from None
                self._left_out[fault.kind] += 1
                continue
            if not self._leave(found[0]):
                yield found
        if self._left_out.total() == self._rows:
            left = f"; all of its {self._rows} rows were left out" if self._rows else ""
            raise ShardError(f"{self.origin}: holds 0 records; a shard needs at least one{left}")

    def preparation(self) -> Preparation:
        """Return the account of what has passed by until now."""
        return Preparation(
            source=name_of(self.origin),
            rows=self._rows,
            left_out=replace(LeftOut(), **self._left_out),
            duplicates=self._repeats.duplicates,
            contradictions=self._repeats.contradictions,
            held_out=self._leaks.overlaps() if self._leaks else (),
        )

    def _leave(self, record: Record) -> bool:
        if self._repeats.add(record) and not self.keep_duplicates:
            self._left_out["duplicate"] += 1
            return True
        if self._leaks and self._leaks.add(record) and self.drop_leaks:
            self._left_out["leak"] += 1
            return True
        return False

    def _identity(self, row: Mapping[str, Any]) -> str:
        if self.id_field is None:
            return ""
        if self.id_field not in row:
            found = printable(", ".join(map(str, row)))
            if set(row) == set(FIELDS):
                found += " (a shard keeps no other; divide the file that it was made from)"
            raise Fault("no_id", f"field {self.id_field!r} is missing; found: {found}")
        value = row[self.id_field]
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise Fault("no_id", f"field {self.id_field!r} is a {type(value).__name__}, and no id")
        if value is None or not str(value).strip():
            raise Fault("no_id", f"field {self.id_field!r} is empty, and no id")
        return str(value).strip()
