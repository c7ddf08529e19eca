"""The rows of a run's ledger, as its readers see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedlora.metrics.sample import Sample
from fedlora.phases import Phase

__all__ = ["AttemptRow", "Report", "RoundRow", "Spending", "SubmissionRow", "TurnRow"]


@dataclass(frozen=True)
class AttemptRow:
    """An attempt: ``running``, ``completed``, ``failed`` or ``lost``; times in seconds since 1970.

    `seen_at` is when its ServerApp last said that it lives; `forecast_bytes` is the payload that the whole run takes,
    as forecast before this attempt's first round, None until it is.
    """

    epoch: int
    flower_run: int
    started_at: float
    seen_at: float
    ended_at: float | None
    outcome: str
    reason: str
    forecast_bytes: int | None = None


@dataclass(frozen=True)
class SubmissionRow:
    """An attempt that was asked of Flower.

    Attributes
    ----------
    epoch : int
        Of the attempt.
    submitted_at : float
        In seconds since 1970.
    flower_run : int or None
        Its id at Flower; None until Flower has said it.
    flower_bytes_down, flower_bytes_up : int or None
        What Flower itself has counted for it, to the sites and from them; None until known.
    flower_final : bool
        Whether these will not change any more.
    """

    epoch: int
    submitted_at: float
    flower_run: int | None
    flower_bytes_down: int | None = None
    flower_bytes_up: int | None = None
    flower_final: bool = False


@dataclass(frozen=True)
class RoundRow:
    """A round in an attempt; times in seconds since 1970.

    Its state is ``training``, ``aggregated``, ``failed``, or ``discarded``: aggregated once, and lost with its damaged
    checkpoint. Once it has ended, `phases` says what the coordinator's seconds went into.
    """

    number: int
    epoch: int
    started_at: float
    ended_at: float | None
    state: str
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TurnRow:
    """A site's turn in a round.

    Attributes
    ----------
    outcome : str
        ``asked``, ``answered``, ``refused`` (by the site, or its update by us), ``failed``, ``late`` (it was online
        and did not answer in time) or ``lost`` (it was offline at the end).
    tries : int
        How often the adapter was sent to it.
    dropped : int
        Answers that came twice, or too late to be needed.
    examples : int
        Weight of its update.
    loss : float or None
        Mean over the round, in nats for each answer token.
    round_trip_seconds : float or None
        Time from sending the adapter to holding the update.
    tokens : int or None
        Tokens trained on.
    bytes_down, bytes_up : int
        Payload: headers and blocks, without envelope and TLS.
    phases : mapping
        Seconds of the round trip by phase (`fedlora.phases.Phase`), as the site says; ``transfer`` is the rest.
    figures : mapping
        What else the site says of it: ``first_loss``, ``last_loss``, ``answer_tokens``, ``padded_tokens`` (tokens
        through the model, padding included), ``gpu_seconds``, ``gpu_joules``, ``rank`` of the adapter that it trained,
        ``tokens_at_once`` and ``checkpointing`` (1 if activations were computed again for want of memory); what it
        does not know is not there.
    examined : mapping
        What the coordinator found of its update, as `superlink.screening.Screening.findings` has it.
    """

    round: int
    epoch: int
    site: str
    outcome: str
    reason: str = ""
    tries: int = 0
    dropped: int = 0
    examples: int = 0
    loss: float | None = None
    round_trip_seconds: float | None = None
    tokens: int | None = None
    bytes_down: int = 0
    bytes_up: int = 0
    phases: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    examined: Mapping[str, float] = field(default_factory=dict)

    @property
    def train_seconds(self) -> float | None:
        """Seconds of training, as the site says."""
        return self.phases.get(Phase.TRAIN)


@dataclass(frozen=True)
class Spending:
    """What a run has used so far, in all its attempts: what its budget is held against.

    Attributes
    ----------
    bytes : int
        Payload, both directions.
    rounds : int
        Rounds begun.
    seconds : float
        Wall-clock since the first attempt began.
    round_seconds : float
        Mean of the aggregated rounds; 0 before the first.
    """

    bytes: int = 0
    rounds: int = 0
    seconds: float = 0.0
    round_seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What a site's node told last, in an answer.

    Attributes
    ----------
    site : str
        Whose node.
    at : float
        When its answer came, in seconds since 1970.
    clock_skew : float or None
        Seconds that its clock is ahead of ours; None if it did not say.
    samples : tuple of Sample
        Of the catalogue's metrics, without the label `node`.
    """

    site: str
    at: float
    clock_skew: float | None
    samples: tuple[Sample, ...]
