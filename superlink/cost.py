"""What a run has cost: bytes, seconds, tokens and energy, by site, by aggregated round, by point of score gained.

From rows of its ledger alone, all attempts and all turns, also those that came to nothing. What nobody has told is
None, never 0.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fedlora.adapters.scores import Scores
from superlink.ledger_rows import AttemptRow, Report, RoundRow, SubmissionRow, TurnRow

__all__ = ["Cost", "RunCost", "run_cost"]

WIRE = "fedlora_wire_bytes_total"
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Cost:
    """What was used. Whole numbers, but for the shares of a round or a point.

    Attributes
    ----------
    payload_bytes_down, payload_bytes_up : float
        As the coordinator has counted them.
    wire_bytes_down, wire_bytes_up : float or None
        TCP streams, as the nodes have counted them; of all sites only if each of them has told.
    train_seconds, turn_seconds : float or None
        In training, and from asking sites to holding their answers; of sites that work side by side, the sum.
    tokens : float or None
        Trained on, without padding.
    tokens_per_second : float or None
        In training.
    padding_ratio : float or None
        Share of padding in what went through the model.
    gpu_seconds, gpu_joules : float or None
        Of the sites that have GPUs and say so.
    """

    payload_bytes_down: float
    payload_bytes_up: float
    wire_bytes_down: float | None
    wire_bytes_up: float | None
    train_seconds: float | None
    turn_seconds: float | None
    tokens: float | None
    tokens_per_second: float | None
    padding_ratio: float | None
    gpu_seconds: float | None
    gpu_joules: float | None

    def each(self, number: float) -> "Cost":
        """Return the share of one of `number`; rates stay what they are."""
        rates = {"tokens_per_second", "padding_ratio"}
        amounts = {name: value for name, value in dataclasses.asdict(self).items() if name not in rates}
        return dataclasses.replace(self, **{name: value and value / number for name, value in amounts.items()})


@dataclass(frozen=True)
class RunCost:
    """What a run has cost.

    Attributes
    ----------
    sites : dict
        By site, in the order of the run.
    all : Cost
        Of all sites.
    rounds : int
        Aggregated ones.
    each_round : Cost or None
        For each of them; None before the first.
    points : float or None
        Points of score (hundredths) that the run's adapter has gained on the base model; None if nobody has scored it.
    each_point : Cost or None
        For each of them; None unless the score has risen.
    payload_bytes, forecast_bytes : int or None
        Used, both directions, and forecast for the whole run.
    flower_bytes_down, flower_bytes_up : int or None
        What Flower itself has counted, all attempts: messages with their envelopes.
    flower_final : bool
        Whether Flower's figures will not change any more.
    """

    sites: dict[str, Cost]
    all: Cost
    rounds: int
    each_round: Cost | None
    points: float | None
    each_point: Cost | None
    payload_bytes: int
    forecast_bytes: int | None
    flower_bytes_down: int | None
    flower_bytes_up: int | None
    flower_final: bool


def run_cost(
    run: str,
    sites: Sequence[str],
    *,
    attempts: Sequence[AttemptRow] = (),
    submissions: Sequence[SubmissionRow] = (),
    rounds: Sequence[RoundRow] = (),
    turns: Sequence[TurnRow] = (),
    reports: Mapping[str, Report] | None = None,
    scores: Scores | None = None,
) -> RunCost:
    """Return what the run called `run` has cost its `sites`, from its ledger's rows and, if there are, its scores."""
    wire = {site: _wire(run, (reports or {}).get(site)) for site in sites}
    everything = _cost(turns, _all_of(list(wire.values())))
    aggregated = sum(row.state == "aggregated" for row in rounds)
    points = None if scores is None else 100 * (scores.adapted.accuracy - scores.base.accuracy)
    return RunCost(
        sites={site: _cost([turn for turn in turns if turn.site == site], wire[site]) for site in sites},
        all=everything,
        rounds=aggregated,
        each_round=everything.each(aggregated) if aggregated else None,
        points=points,
        each_point=everything.each(points) if points is not None and points > 0 else None,
        payload_bytes=sum(turn.bytes_down + turn.bytes_up for turn in turns),
        forecast_bytes=next((row.forecast_bytes for row in reversed(attempts) if row.forecast_bytes is not None), None),
        flower_bytes_down=_sum(row.flower_bytes_down for row in submissions),
        flower_bytes_up=_sum(row.flower_bytes_up for row in submissions),
        flower_final=bool(submissions) and all(row.flower_final for row in submissions),
    )


Wire = tuple[float | None, float | None]


def _wire(run: str, report: Report | None) -> Wire:
    """Return the wire bytes down and up that a node has told of the run."""
    samples = [one for one in report.samples if one.name == WIRE and one.labels["run"] == run] if report else []
    down, up = (_sum(one.value for one in samples if one.labels["direction"] == way) for way in ("down", "up"))
    return down, up


def _all_of(wires: Sequence[Wire]) -> Wire:
    """Return the sums, each unless somebody's part is unknown."""
    down, up = (
        None if None in ways else _sum(ways) for ways in ([wire[0] for wire in wires], [wire[1] for wire in wires])
    )
    return down, up


def _cost(turns: Sequence[TurnRow], wire: Wire) -> Cost:
    timed = [(turn.tokens, turn.train_seconds) for turn in turns if turn.tokens is not None and turn.train_seconds]
    padded = [
        (turn.tokens, turn.figures["padded_tokens"])
        for turn in turns
        if turn.tokens is not None and turn.figures.get("padded_tokens", 0) >= max(turn.tokens, 1)
    ]
    return Cost(
        payload_bytes_down=sum(turn.bytes_down for turn in turns),
        payload_bytes_up=sum(turn.bytes_up for turn in turns),
        wire_bytes_down=wire[0],
        wire_bytes_up=wire[1],
        train_seconds=_sum(turn.train_seconds for turn in turns),
        turn_seconds=_sum(turn.round_trip_seconds for turn in turns),
        tokens=_sum(turn.tokens for turn in turns),
        tokens_per_second=_ratio(timed),
        padding_ratio=None if (dense := _ratio(padded)) is None else 1 - dense,
        gpu_seconds=_sum(turn.figures.get("gpu_seconds") for turn in turns),
        gpu_joules=_sum(turn.figures.get("gpu_joules") for turn in turns),
    )


def _sum(values: Iterable[Number | None]) -> Number | None:
    """Return the sum of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], start=known[0]) if known else None


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    return sum(over for over, _ in pairs) / sum(under for _, under in pairs) if pairs else None
