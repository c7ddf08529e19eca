"""What a fault has cost a run, from the rows of its ledger alone: time, rounds, turns and bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from superlink.ledger_rows import AttemptRow, RoundRow, TurnRow

__all__ = ["Recovery", "recovered_at", "recovery"]


@dataclass(frozen=True)
class Recovery:
    """What became of a run in which something happened.

    Attributes
    ----------
    recovery_seconds : float or None
        From the end of the fault to the end of the first aggregated round after it, with an update of the site that it
        struck, if it struck one; None if there was none.
    rounds_lost : int
        Rounds that were begun and not aggregated; those that were begun again are done all the same.
    turns_lost : int
        Turns of sites in aggregated rounds that brought nothing.
    payload_bytes : int
        All that was sent, both directions.
    bytes_wasted : int
        Of it, what no aggregate has: of rounds that were lost, of turns that brought nothing, of adapters that were
        sent once more, and of answers that were dropped.
    attempts : int
        Attempts of the run.
    """

    recovery_seconds: float | None
    rounds_lost: int
    turns_lost: int
    payload_bytes: int
    bytes_wasted: int
    attempts: int


def recovery(
    attempts: Sequence[AttemptRow], rounds: Sequence[RoundRow], turns: Sequence[TurnRow], over_at: float, site: str = ""
) -> Recovery:
    """Return what a run's ledger says of a fault that was over at `over_at`, in seconds since 1970.

    Parameters
    ----------
    attempts, rounds, turns : sequences of rows
        All of the run.
    over_at : float
        When the fault was over; of a blow, when it fell.
    site : str
        The site that it struck; empty where it struck the coordinator, or everybody.
    """
    aggregated = {(row.number, row.epoch) for row in rounds if row.state == "aggregated"}
    counted = [turn for turn in turns if (turn.round, turn.epoch) in aggregated]
    back = recovered_at(rounds, turns, over_at, site)
    payload = sum(turn.bytes_down + turn.bytes_up for turn in turns)
    return Recovery(
        recovery_seconds=None if back is None else back - over_at,
        rounds_lost=len(rounds) - len(aggregated),
        turns_lost=sum(turn.outcome != "answered" for turn in counted),
        payload_bytes=payload,
        bytes_wasted=payload - sum(_needed(turn) for turn in counted),
        attempts=len(attempts),
    )


def recovered_at(rounds: Sequence[RoundRow], turns: Sequence[TurnRow], over_at: float, site: str = "") -> float | None:
    """Return when the first round was aggregated after `over_at`, with an update of `site` if one is named."""
    answered = {(turn.round, turn.epoch) for turn in turns if turn.site == site and turn.outcome == "answered"}
    ends = (
        row.ended_at
        for row in rounds
        if row.state == "aggregated" and row.ended_at is not None and row.ended_at > over_at
        if not site or (row.number, row.epoch) in answered
    )
    return min(ends, default=None)


def _needed(turn: TurnRow) -> int:
    """Return the bytes of a turn that were needed: one adapter and one answer; repeated ones are of the same size."""
    if turn.outcome != "answered":
        return 0
    return turn.bytes_down // max(turn.tries, 1) + turn.bytes_up // (1 + turn.dropped)
