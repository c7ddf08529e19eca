"""Which class computes which strategy."""

from collections.abc import Mapping
from typing import Any

from fedlora.errors import ConfigurationError
from fedlora.strategies import STRATEGIES, options_of
from superlink.strategies.fedadagrad import FedAdagrad
from superlink.strategies.fedadam import FedAdam
from superlink.strategies.fedavg import FedAvg
from superlink.strategies.fedavgm import FedAvgM
from superlink.strategies.fedmedian import FedMedian
from superlink.strategies.fedyogi import FedYogi
from superlink.strategies.flexlora import FlexLoRA
from superlink.strategies.krum import Krum
from superlink.strategies.strategy import Strategy
from superlink.strategies.trimmed_mean import TrimmedMean

__all__ = ["REGISTRY", "new_strategy"]

REGISTRY: Mapping[str, type[Strategy[Any]]] = {
    "fedavg": FedAvg,
    "fedprox": FedAvg,  # its term is in the sites' loss
    "fedavgm": FedAvgM,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad,
    "fedmedian": FedMedian,
    "trimmed-mean": TrimmedMean,
    "krum": Krum,
    "multi-krum": Krum,
    "ffa-lora": FedAvg,  # what is averaged is what sites train, and they train B alone
    "rolora": FedAvg,  # or A and B in turn
    "flexlora": FlexLoRA,
}


def new_strategy(name: str, options: Mapping[str, float], adapter: str) -> Strategy[Any]:
    """Return a strategy as it begins.

    Parameters
    ----------
    name : str
        As in ``run.strategy``.
    options : mapping
        Those of its options that are not as it has them by itself.
    adapter : str
        The kind of adapter that sites train.

    Raises
    ------
    ConfigurationError
        If it gives no adapter of that kind.
    ValueError
        If there is no such strategy, or an option is wrong.
    """
    stated = STRATEGIES[name]
    if adapter not in stated.adapters:
        raise ConfigurationError(
            f"strategy {name} gives no {adapter} adapter; it gives: {', '.join(stated.adapters)}. Take another one, "
            f"see fedlora strategy list"
        )
    return REGISTRY[name](name, options_of(stated, options))
