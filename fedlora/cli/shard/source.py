"""Where the records of a new shard come from: a file, a hub, another shard."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedlora.cli.shard.hub import PREFIX, hub_rows
from fedlora.domains import Domain, domain
from fedlora.errors import ConfigurationError
from fedlora.shards import Record, open_shard
from fedlora.shards.preparation import Preparation
from fedlora.shards.rows import Row, iterate_rows

__all__ = ["Source", "read_source"]


@dataclass(frozen=True)
class Source:
    """Rows, which can be gone through once, and what is known of all of them."""

    rows: Iterator[Row]
    about: Domain
    name: str
    licence: str = ""
    preparation: tuple[Preparation, ...] = ()


def read_source(source: str, wanted: str | None) -> Source:
    """Begin to read the rows of `source`: a file that is not there, or a first row that is none, is found here.

    Parameters
    ----------
    source : str
        A data file, a shard folder, or a data set's name on a hub.
    wanted : str or None
        The domain; a shard folder knows its own.

    Raises
    ------
    ShardError
        If they cannot be read.
    ConfigurationError
        If nothing says of which domain they are.
    """
    about = None if wanted is None else domain(wanted)
    path = Path(source)
    if path.is_dir():
        shard = open_shard(path, about)
        said = shard.manifest
        return Source(_begun(_rows(shard.records())), shard.domain, said.name, said.licence, said.preparation)
    if about is None:
        raise ConfigurationError(f"{source} does not say of which domain its records are; give --domain")
    if source.startswith(PREFIX):
        return Source(_begun(hub_rows(source)), about, source.removeprefix(PREFIX).partition(":")[0].split("/")[1])
    return Source(_begun(iterate_rows(path)), about, path.name.partition(".")[0])


def _rows(records: Iterable[Record]) -> Iterator[Row]:
    return ((f"line {number}", vars(record)) for number, record in enumerate(records, 1))


def _begun(rows: Iterator[Row]) -> Iterator[Row]:
    return itertools.chain(list(itertools.islice(rows, 1)), rows)
