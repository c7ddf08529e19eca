"""The aggregation strategies: how a round's updates become the next adapter. What each states: `fedlora.strategies`."""

from superlink.strategies.registry import REGISTRY, new_strategy
from superlink.strategies.stack import Stack
from superlink.strategies.strategy import Strategy, Updates
from superlink.strategies.weighted_mean import WeightedMean

__all__ = ["REGISTRY", "Stack", "Strategy", "Updates", "WeightedMean", "new_strategy"]
