"""Aggregation strategies: what each of them states of itself. The computing is the coordinator's own."""

from fedlora.strategies.catalogue import STRATEGIES, Need, Strategy
from fedlora.strategies.options import (
    DEFAULT,
    OPTIONS,
    least_updates,
    not_taken,
    options_from_text,
    options_of,
    options_text,
)

__all__ = [
    "DEFAULT",
    "OPTIONS",
    "STRATEGIES",
    "Need",
    "Strategy",
    "least_updates",
    "not_taken",
    "options_from_text",
    "options_of",
    "options_text",
]
