"""Which nodes trust which CA, as they said in their last answers: all must trust a new one before it is used."""

import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from fedlora.errors import CredentialError
from superlink.ledger import Ledger
from superlink.presence import NODES, read_presence
from superlink.runs import run_folders

__all__ = ["Trust", "read_trust", "registered_trust", "take_over_runs", "trust_text"]

FRESH_SECONDS = 60.0  # the keeper notes the nodes every 5 s
BROUGHT_SECONDS = 3600.0  # how old may be what is brought to a CA that is elsewhere


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


def trust_text(known: list[Trust]) -> str:
    """Return what nodes trust as JSON, with the time, to be brought to a CA that is elsewhere."""
    return json.dumps({"made_at": time.time(), "sites": [asdict(one) for one in known]}, indent=2)


def read_trust(file: Path) -> list[Trust]:
    """Read what `trust_text` has written.

    Raises
    ------
    CredentialError
        If it is something else, or older than an hour: who has been registered since?
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        made_at = float(found["made_at"])
        known = [Trust(**{**one, "authorities": tuple(one["authorities"])}) for one in found["sites"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CredentialError(f"{file} is not what fedlora pki trust --format json prints: {error}") from error
    age = time.time() - made_at
    if not -FRESH_SECONDS <= age <= BROUGHT_SECONDS:
        raise CredentialError(
            f"{file} was made {age / 60:.0f} min ago; allowed: {BROUGHT_SECONDS / 60:.0f}. Sites may have been "
            "registered since. Have it made anew at the coordinator: fedlora pki trust --format json"
        )
    return known


def take_over_runs(runs: Path, old: str, new: str) -> list[str]:
    """Let the runs of the federation whose CA had the key `old` belong to the one with the key `new`; return which."""
    taken = []
    for folder in run_folders(runs):
        if folder.federation == old:
            folder.take_over(new)
            taken.append(folder.name)
    return taken
