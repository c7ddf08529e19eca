"""Where the records of a new shard come from: a file, a hub, another shard."""

from dataclasses import dataclass
from pathlib import Path

from fedlora.cli.shard.hub import PREFIX, read_hub
from fedlora.domains import Domain, domain
from fedlora.errors import ConfigurationError
from fedlora.shards import Record, open_shard, read_records

__all__ = ["Source", "read_source"]


@dataclass(frozen=True)
class Source:
    """Records, and what is known of all of them."""

    records: list[Record]
    about: Domain
    name: str
    licence: str = ""


def read_source(source: str, wanted: str | None) -> Source:
    """Read the records of `source`.

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
        return Source(shard.records(), shard.domain, shard.manifest.name, shard.manifest.licence)
    if about is None:
        raise ConfigurationError(f"{source} does not say of which domain its records are; give --domain")
    if source.startswith(PREFIX):
        return Source(read_hub(source, about), about, source.removeprefix(PREFIX).partition(":")[0].split("/")[1])
    return Source(read_records(path, about), about, path.name.partition(".")[0])
