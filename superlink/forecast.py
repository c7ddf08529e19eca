"""What a run will send and need, before anything is sent."""

from dataclasses import dataclass

import fedlora
from fedlora.wire import AdapterSpec, TensorSpec, codec_named, largest_message
from superlink.budget import Budget
from superlink.ledger import Spending
from superlink.run_config import RunConfig

__all__ = ["Forecast", "budget_of", "forecast"]

# Bytes a value of the adapter takes at the coordinator while a round is folded in: the sum in fp64, one weighted update
# in fp64, the global adapter in fp32 and its message; and an update in fp32 for each site that answers out of turn.
AT_ONCE, A_SITE = 8 + 8 + 4 + 4, 4
PLANES = 16  # and while an entropy-coded update is decoded: its bytes, its planes, and twice what they are put into


@dataclass(frozen=True)
class Forecast:
    """What a run takes if every site is asked once in each round.

    Attributes
    ----------
    sites : int
        How many are asked in a round.
    rounds : int
        Of the run.
    values, tensors : int
        Of the adapter.
    broadcast_codec, upload_codec : str
        How adapters become bytes.
    broadcast_bytes, update_bytes : int
        Payload of a broadcast to one site, and of its update, the largest of all rounds.
    round_bytes, run_bytes : int
        Payload, both directions.
    bounded : bool
        Whether that is an upper bound, since a codec takes fewer bytes for some values than for others.
    budget_bytes : int
        What the run may use; 0 for no limit.
    memory_bytes : int
        The largest that the adapter's arrays can be at the coordinator, were all updates to arrive in the wrong order.
    """

    sites: int
    rounds: int
    values: int
    tensors: int
    broadcast_codec: str
    upload_codec: str
    broadcast_bytes: int
    update_bytes: int
    round_bytes: int
    run_bytes: int
    bounded: bool
    budget_bytes: int
    memory_bytes: int


def forecast(config: RunConfig, tensors: tuple[TensorSpec, ...]) -> Forecast:
    """Return what the run of `config` takes with an adapter of these tensors.

    Raises
    ------
    BudgetError
        With the arithmetic, if that is beyond the budget and the run does not ignore it.
    """
    unknown = "0" * 64  # hashes of files that only sites have; their length is what counts here
    spec = AdapterSpec(fedlora.__version__, "", unknown, unknown, "", config.recipe_sha256, "lora", 0, tensors)
    budget = budget_of(config, spec)
    if not config.ignore_forecast:
        budget.check_forecast(Spending(), config.rounds)
    return Forecast(
        sites=budget.sites,
        rounds=config.rounds,
        values=spec.size,
        tensors=len(tensors),
        broadcast_codec=config.broadcast_codec,
        upload_codec=config.upload_codec,
        broadcast_bytes=budget.broadcast_bytes,
        update_bytes=budget.largest_update,
        round_bytes=budget.round_bytes,
        run_bytes=budget.forecast_bytes(Spending(), config.rounds),
        bounded=any(codec_named(codec).bounded for codec in (config.broadcast_codec, config.upload_codec)),
        budget_bytes=config.budget_bytes,
        memory_bytes=spec.size * (AT_ONCE + budget.sites * A_SITE + PLANES * codec_named(config.upload_codec).bounded),
    )


def budget_of(config: RunConfig, spec: AdapterSpec) -> Budget:
    """Return what the run of `config` may use, and what a round takes of it with an adapter of `spec`."""

    def largest(part: AdapterSpec, codec: str) -> int:
        return largest_message(part, run=config.run, epoch=config.epoch, rounds=config.rounds, codec=codec)

    return Budget(
        broadcast_bytes=largest(spec, config.broadcast_codec),
        update_bytes=tuple(largest(spec.trained(config.factors, turn), config.upload_codec) for turn in (1, 2)),
        sites=len(config.participation.sample(1)),
        bytes=config.budget_bytes,
        rounds=config.budget_rounds,
        seconds=config.budget_seconds,
    )
