"""Reading data sets from a hub, with the library `datasets`, which only this needs."""

import os
from collections.abc import Iterator

from fedlora.errors import ShardError
from fedlora.shards.rows import Row

__all__ = ["PREFIX", "hub_rows"]

PREFIX = "hub:"
ELSEWHERE = "or download a file of it elsewhere and import that"


def hub_rows(source: str) -> Iterator[Row]:
    """Yield the rows of the data set that `source` names; the library reads them from the disk one after the other.

    Parameters
    ----------
    source : str
        ``hub:OWNER/NAME``, then perhaps ``/CONFIGURATION``, then perhaps ``:SPLIT``, else the split ``train``.

    Raises
    ------
    ShardError
        If the name is none, `datasets` is not installed, or the hub cannot be reached or does not have it.
    """
    name, _, split = source.removeprefix(PREFIX).partition(":")
    parts = name.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ShardError(f"{source!r} names no data set; allowed: hub:OWNER/NAME, hub:OWNER/NAME/CONFIGURATION:SPLIT")
    yield from _rows(source, "/".join(parts[:2]), "".join(parts[2:]) or None, split or "train")


def _rows(source: str, name: str, configuration: str | None, split: str) -> Iterator[Row]:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    try:
        import datasets
    except ImportError as error:
        raise ShardError(
            f"{source}: needs the package datasets; run: pip install 'fedlora[hub]', {ELSEWHERE}"
        ) from error
    try:
        found = datasets.load_dataset(name, configuration, split=split)
    except ConnectionError as error:
        raise ShardError(f"{source}: the hub cannot be reached: {error}; try again later, {ELSEWHERE}") from error
    except Exception as error:  # what a hub's client raises for a wrong name, a wrong split or odd files is its own
        raise ShardError(f"{source}: cannot be read: {type(error).__name__}: {error}") from error
    for number, row in enumerate(found, 1):
        yield f"row {number}", row
