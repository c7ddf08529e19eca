"""Shard folders: the records in one file, what is known of them in another.

::

    tweets/
        records.jsonl    one record a line
        manifest.json    what is known of them, and the hash of that file

The manifest is written together with the data, and later holds them to it: data that were changed are refused.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedlora.domains import Domain, domain
from fedlora.errors import ShardError
from fedlora.shards.manifest import FIELDS, LAYOUT, LengthCounts, Lengths, Manifest
from fedlora.shards.preparation import Preparation
from fedlora.shards.records import Record, record_line, to_records
from fedlora.shards.rows import iterate_rows, json_lines

__all__ = [
    "DATA",
    "MANIFEST",
    "HashedFile",
    "Shard",
    "is_shard",
    "iterate_records",
    "load_records",
    "open_shard",
    "write_shard",
]

DATA, MANIFEST = "records.jsonl", "manifest.json"


class HashedFile:
    """A file that is read line by line, with size and hash of what has been read."""

    def __init__(self, file: Path) -> None:
        try:
            self._stream = file.open("rb")
        except OSError as error:
            raise ShardError(f"{file}: cannot be read: {error}") from error
        self._file = file
        self._hash = hashlib.sha256()
        self.bytes = 0

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def readline(self, most: int = -1) -> bytes:
        """Return the next line, or the next `most` bytes of it; nothing at the end.

        Raises
        ------
        ShardError
            If it cannot be read.
        """
        try:
            line = self._stream.readline(most)
        except OSError as error:
            raise ShardError(f"{self._file}: cannot be read: {error}") from error
        self._hash.update(line)
        self.bytes += len(line)
        return line

    def finish(self) -> str:
        """Read to the end; return the hash of the whole file."""
        while self.readline(2**20):
            pass
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Shard:
    """A shard folder whose manifest has been read; its data not yet."""

    directory: Path
    manifest: Manifest

    @property
    def domain(self) -> Domain:
        """What the records are about."""
        return domain(self.manifest.domain)

    @property
    def data(self) -> Path:
        """The file of the records."""
        return self.directory / DATA

    def records(self) -> Iterator[Record]:
        """Yield the records; what is hashed and what is read are the same bytes.

        Raises
        ------
        ShardError
            If the data cannot be read; or if they were changed after the manifest was written, which is known at the
            first line that is no record, or at the end.
        """
        with HashedFile(self.data) as file:
            try:
                yield from to_records(json_lines(file, self.data), str(self.data), self.domain)
            except ShardError:
                self._check(file.finish())  # says more than what the change has led to
                raise
            self._check(file.finish())

    def _check(self, found: str) -> None:
        if found != self.manifest.sha256:
            raise ShardError(
                f"{self.data}: was changed after its manifest was written: SHA-256 is {found}, expected "
                f"{self.manifest.sha256}; import the data again, or see: fedlora shard validate {self.directory}"
            )


def open_shard(directory: Path, wanted: Domain | None = None) -> Shard:
    """Open the shard folder `directory`.

    Parameters
    ----------
    directory : Path
        The folder.
    wanted : Domain, optional
        The domain that the shard must be of.

    Raises
    ------
    ShardError
        If it is no shard folder, of a newer layout, or of another domain.
    """
    if not directory.is_dir():
        raise ShardError(f"{directory}: is no folder; a shard folder is made with: fedlora shard import")
    shard = Shard(directory, Manifest.from_file(directory / MANIFEST))
    if wanted is not None and shard.manifest.domain != wanted.name:
        raise ShardError(f"{directory}: is a shard of domain {shard.manifest.domain}, not of {wanted.name}")
    return shard


def iterate_records(source: Path, about: Domain) -> Iterator[Record]:
    """Yield the records of `source`, a shard folder or a plain data file, without holding them in memory.

    Raises
    ------
    ShardError
        As `open_shard`, `Shard.records` and `read_records` do. That the data of a folder are those of its manifest is
        known only at the end: until then nothing irrevocable should be made of them.
    """
    if source.is_dir():
        yield from open_shard(source, about).records()
    else:
        yield from to_records(iterate_rows(source), str(source), about)


def load_records(source: Path, about: Domain) -> list[Record]:
    """Return all that `iterate_records` yields."""
    return list(iterate_records(source, about))


def write_shard(
    records: Iterable[Record],
    directory: Path,
    about: Domain,
    *,
    name: str,
    licence: str = "",
    preparation: Callable[[], tuple[Preparation, ...]] = tuple,
) -> Manifest:
    """Write data and manifest into the folder `directory`, for the owner alone, and return the manifest.

    Parameters
    ----------
    preparation : callable
        Says, when all records have been written, what was done to them before.

    Raises
    ------
    ShardError
        If there are no records, or `name` or `licence` cannot stand in a manifest.
    """
    lengths, digest = LengthCounts(), hashlib.sha256()
    with _new_file(directory / DATA).open("wb") as stream:
        for record in records:
            lengths.add(record)
            line = record_line(record)
            digest.update(line)
            stream.write(line)
        size = stream.tell()
    if not lengths.answers:
        raise ShardError(f"{directory}: gets 0 records; a shard needs at least one")
    try:
        manifest = Manifest(
            layout=LAYOUT,
            name=name,
            domain=about.name,
            licence=licence,
            schema=FIELDS,
            records=lengths.answers.total(),
            prompt_characters=Lengths.of(lengths.prompts),
            answer_characters=Lengths.of(lengths.answers),
            bytes=size,
            sha256=digest.hexdigest(),
            preparation=preparation(),
        )
    except ValueError as error:
        raise ShardError(str(error)) from error
    _new_file(directory / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def is_shard(directory: Path) -> bool:
    """Say whether a folder holds a shard and nothing else, so that replacing it loses nothing else."""
    names = {entry.name for entry in directory.iterdir()}
    return MANIFEST in names and names <= {DATA, MANIFEST}


def _new_file(file: Path) -> Path:
    file.touch(mode=0o600)
    return file
