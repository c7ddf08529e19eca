"""Which nodes trust which CA, as they said in their last answers: all must trust a new one before it is used."""

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fedlora.errors import CredentialError
from superlink.ledger import Ledger
from superlink.presence import NODES, read_presence
from superlink.runs import run_folders

__all__ = ["Trust", "registered_trust", "take_over_runs"]

FRESH_SECONDS = 60.0  # the keeper notes the nodes every 5 s


@dataclass(frozen=True)
class Trust:
    """What a registered node has said.

    Attributes
    ----------
    site : str
        Its name.
    online : bool
        Whether it is.
    told_at : float or None
        When it said so, in seconds since 1970; None if it never has.
    authorities : tuple of str
        SHA-256 of each CA certificate that it loaded when it was started.
    """

    site: str
    online: bool
    told_at: float | None
    authorities: tuple[str, ...]


def registered_trust(runs: Path) -> list[Trust]:
    """Return what each node that is registered now has said last, in any run.

    Raises
    ------
    CredentialError
        If the keeper has not noted lately which are registered.
    """
    file = runs / NODES
    if not file.exists() or time.time() - file.stat().st_mtime > FRESH_SECONDS:
        raise CredentialError(
            f"{file} is not there, or older than {FRESH_SECONDS:.0f} s: nobody knows which nodes are registered. Start "
            "the keeper, or name the folder of its runs with --runs"
        )
    told: dict[str, tuple[float, tuple[str, ...]]] = {}
    for folder in run_folders(runs):
        if folder.ledger.exists():
            with closing(Ledger(folder.ledger, readonly=True)) as ledger:
                for site, (at, authorities) in ledger.trust().items():
                    told[site] = max(told.get(site, (0.0, ())), (at, authorities))
    return [
        Trust(site, presence.online, *told.get(site, (None, ())))
        for site, presence in sorted(read_presence(runs).items())
    ]


def take_over_runs(runs: Path, old: str, new: str) -> list[str]:
    """Let the runs of the federation whose CA had the key `old` belong to the one with the key `new`; return which."""
    taken = []
    for folder in run_folders(runs):
        if folder.federation == old:
            folder.take_over(new)
            taken.append(folder.name)
    return taken
