"""What a run will send and need, before anything is sent."""

from dataclasses import dataclass

import numpy as np

import fedlora
from fedlora.wire import AdapterSpec, TensorSpec, encode
from superlink.budget import Budget
from superlink.ledger import Spending
from superlink.run_config import RunConfig

__all__ = ["Forecast", "forecast"]

# Bytes a value of the adapter takes at the coordinator while a round is folded in: the sum in fp64, one weighted update
# in fp64, the global adapter in fp32 and its message; and an update in fp32 for each site that answers out of turn.
AT_ONCE, A_SITE = 8 + 8 + 4 + 4, 4


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
    message_bytes : int
        Payload of a broadcast to one site, and of its update.
    round_bytes, run_bytes : int
        Payload, both directions.
    budget_bytes : int
        What the run may use; 0 for no limit.
    memory_bytes : int
        The largest that the adapter's arrays can be at the coordinator, were all updates to arrive in the wrong order.
    """

    sites: int
    rounds: int
    values: int
    tensors: int
    message_bytes: int
    round_bytes: int
    run_bytes: int
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
    spec = AdapterSpec(fedlora.__version__, "", unknown, unknown, "", config.recipe_sha256, 0, tensors)
    vector = np.zeros(spec.size, dtype=np.float32)
    update = encode(vector, spec, kind="update", run=config.run, epoch=1, round_number=config.rounds, examples=10**9)
    sites = len(config.participation.sample(1))
    budget = Budget(update.size, sites, config.budget_bytes, config.budget_rounds, config.budget_seconds)
    if not config.ignore_forecast:
        budget.check_forecast(Spending(), config.rounds)
    round_bytes = 2 * sites * update.size
    return Forecast(
        sites=sites,
        rounds=config.rounds,
        values=spec.size,
        tensors=len(tensors),
        message_bytes=update.size,
        round_bytes=round_bytes,
        run_bytes=config.rounds * round_bytes,
        budget_bytes=config.budget_bytes,
        memory_bytes=spec.size * (AT_ONCE + sites * A_SITE),
    )
