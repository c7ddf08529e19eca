"""A run in a few values, for listings."""

from dataclasses import dataclass

from superlink.ledger import Ledger
from superlink.runs import RunFolder, verdict

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True)
class Summary:
    """Where a run stands.

    Attributes
    ----------
    name, state, reason : str
        Which run, and what became of it.
    domain : str
        What it trains for.
    sites : tuple of str
        Who takes part.
    rounds_done, rounds : int
        Aggregated rounds, and how many there will be.
    epoch : int
        Newest attempt; 0 before the first.
    payload_bytes : int
        Used so far, both directions, all attempts.
    budget_bytes : int
        Allowed; 0 for no limit.
    submitted_at : float
        In seconds since 1970.
    """

    name: str
    state: str
    reason: str
    domain: str
    sites: tuple[str, ...]
    rounds_done: int
    rounds: int
    epoch: int
    payload_bytes: int
    budget_bytes: int
    submitted_at: float


def summarise(folder: RunFolder) -> Summary:
    """Read a run's folder.

    Raises
    ------
    RunError
        If there is no such run.
    """
    config = folder.config(epoch=1)
    done = epoch = used = 0
    if folder.ledger.exists():
        ledger = Ledger(folder.ledger, readonly=True)
        done = sum(row.state == "aggregated" for row in ledger.rounds())
        epoch = max((row.epoch for row in ledger.attempts()), default=0)
        used = ledger.payload_bytes()
        ledger.close()
    said = verdict(folder)
    return Summary(
        name=folder.name,
        state=said.state.value,
        reason=said.reason,
        domain=config.domain,
        sites=config.site_names,
        rounds_done=done,
        rounds=config.rounds,
        epoch=epoch,
        payload_bytes=used,
        budget_bytes=config.budget_bytes,
        submitted_at=folder.submitted_at,
    )
