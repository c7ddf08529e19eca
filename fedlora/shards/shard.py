"""Shard folders: the records in one file, what is known of them in another.

::

    tweets/
        records.jsonl    one record a line
        manifest.json    what is known of them, and the hash of that file

The manifest is written together with the data, and later holds them to it: data that were changed are refused.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora.domains import Domain, domain
from fedlora.errors import ShardError
from fedlora.shards.manifest import FIELDS, LAYOUT, Lengths, Manifest, answer_length, prompt_length
from fedlora.shards.records import Record, decode, json_lines, read_records, to_records, write_records

__all__ = ["DATA", "MANIFEST", "Shard", "is_shard", "load_records", "open_shard", "write_shard"]

DATA, MANIFEST = "records.jsonl", "manifest.json"


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

    def content(self) -> bytes:
        """Return the bytes of the data, whether or not the manifest knows them.

        Raises
        ------
        ShardError
            If they cannot be read.
        """
        try:
            return self.data.read_bytes()
        except OSError as error:
            raise ShardError(f"{self.data}: cannot be read: {error}") from error

    def records(self) -> list[Record]:
        """Read the records; what is hashed and what is read are the same bytes.

        Raises
        ------
        ShardError
            If the data were changed after the manifest was written.
        """
        content = self.content()
        found = hashlib.sha256(content).hexdigest()
        if found != self.manifest.sha256:
            raise ShardError(
                f"{self.data}: was changed after its manifest was written: SHA-256 is {found}, expected "
                f"{self.manifest.sha256}; import the data again, or see: fedlora shard validate {self.directory}"
            )
        return to_records(json_lines(decode(content, self.data), self.data), str(self.data), self.domain)


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


def load_records(source: Path, about: Domain) -> list[Record]:
    """Read the records of `source`, a shard folder or a plain data file.

    Raises
    ------
    ShardError
        As `open_shard`, `Shard.records` and `read_records` do.
    """
    return open_shard(source, about).records() if source.is_dir() else read_records(source, about)


def write_shard(records: Sequence[Record], directory: Path, about: Domain, *, name: str, licence: str = "") -> Manifest:
    """Write data and manifest into the folder `directory`, for the owner alone, and return the manifest.

    Raises
    ------
    ShardError
        If `name` or `licence` cannot stand in a manifest.
    """
    write_records(records, directory / DATA)
    with (directory / DATA).open("rb") as stream:
        digest, size = hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
    try:
        manifest = Manifest(
            layout=LAYOUT,
            name=name,
            domain=about.name,
            licence=licence,
            schema=FIELDS,
            records=len(records),
            prompt_characters=Lengths.of([prompt_length(record) for record in records]),
            answer_characters=Lengths.of([answer_length(record) for record in records]),
            bytes=size,
            sha256=digest,
        )
    except ValueError as error:
        raise ShardError(str(error)) from error
    file = directory / MANIFEST
    file.touch(mode=0o600)
    file.write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def is_shard(directory: Path) -> bool:
    """Say whether a folder holds a shard and nothing else, so that replacing it loses nothing else."""
    names = {entry.name for entry in directory.iterdir()}
    return MANIFEST in names and names <= {DATA, MANIFEST}
