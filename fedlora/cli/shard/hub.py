"""Reading data sets from a hub, with the library `datasets`, which only this needs."""

import os
from collections.abc import Iterator
from typing import Any

from fedlora.errors import ShardError
from fedlora.shards.rows import Row

__all__ = ["PREFIX", "data_set_rows", "hub_rows"]

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
    yield from data_set_rows(source, "/".join(parts[:2]), "".join(parts[2:]) or None, split or "train")


def data_set_rows(
    source: str,
    name: str,
    configuration: str | None,
    split: str,
    revision: str = "",
    converted: bool = False,
    otherwise: str = ELSEWHERE,
) -> Iterator[Row]:
    """Yield the rows of a data set.

    Parameters
    ----------
    source : str
        What errors call it.
    name, configuration, split : str
        Which rows; the configuration may be None.
    revision : str
        Branch, tag or commit; empty for the newest.
    converted : bool
        Whether the revision is the hub's own conversion, in which configurations are folders.
    otherwise : str
        What can be done instead, for errors.

    Raises
    ------
    ShardError
        If `datasets` is not installed, or the hub cannot be reached or does not have it.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    try:
        import datasets
    except ImportError as error:
        raise ShardError(
            f"{source}: needs the package datasets; run: pip install 'fedlora[hub]', {otherwise}"
        ) from error
    more: dict[str, Any] = {"revision": revision} if revision else {}
    if converted:
        configuration, more["data_files"] = None, {split: f"{configuration}/{split}/*.parquet"}
    try:
        found = datasets.load_dataset(name, configuration, split=split, **more)
    except ConnectionError as error:
        raise ShardError(f"{source}: the hub cannot be reached: {error}; try again later, {otherwise}") from error
    except Exception as error:  # what a hub's client raises for a wrong name, a wrong split or odd files is its own
        raise ShardError(f"{source}: cannot be read: {type(error).__name__}: {error}") from error
    for number, row in enumerate(found, 1):
        yield f"row {number}", row
