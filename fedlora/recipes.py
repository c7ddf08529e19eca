"""Recipes: the training hyper-parameters that all sites of a run share."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated

from fedlora.config import hold_to_rules
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError
from fedlora.rules import Rule, above, at_least, one_of, some

__all__ = ["Recipe"]

# The seven projections of a Llama-family block; `all-linear` adapters reach every matrix product but the head.
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Count = Annotated[int, at_least(1)]
DROPOUT = Rule("a number from 0 to below 1", lambda value: 0 <= value < 1, {"minimum": 0, "exclusiveMaximum": 1})


@dataclass(frozen=True)
class Recipe:
    """How one site trains in one round, and how many rounds there are.

    Every party holds the recipe itself; over the wire goes its name and its hash, so that two parties who mean
    different things by one name find out before the first round.

    Attributes
    ----------
    domain : str
        The domain whose shards are trained on; names the recipe.
    rounds : int
        Rounds of the run.
    steps : int
        Optimiser steps of each site in each round.
    batch : int
        Records a step.
    length : int
        Longest record in tokens; what is longer is cut at the end of the answer.
    learning_rate : float
        The rate in the first round.
    final_learning_rate : float
        The floor that the rate falls towards on a cosine over the rounds; not above the first.
    rank : int
        Rank of the adapter's matrices (LoRA: Hu et al. 2021, arXiv 2106.09685).
    alpha : int
        The adapter's scale is ``alpha / rank``.
    dropout : float
        Share of the adapter's inputs that is left out in training.
    target_modules : tuple of str
        Names of the base model's modules that get an adapter.
    """

    domain: Annotated[str, one_of(DOMAINS)]
    rounds: Count = 3
    steps: Count = 20
    batch: Count = 16
    length: Count = 256
    learning_rate: Annotated[float, above(0.0)] = 1e-3
    final_learning_rate: Annotated[float, above(0.0)] = 1e-4
    rank: Count = 16
    alpha: Count = 32
    dropout: Annotated[float, DROPOUT] = 0.0
    target_modules: Annotated[tuple[str, ...], some()] = ALL_LINEAR

    def __post_init__(self) -> None:
        hold_to_rules(self)
        if self.final_learning_rate > self.learning_rate:
            raise ConfigurationError(
                f"final-learning-rate {self.final_learning_rate} is above learning-rate {self.learning_rate}"
            )

    @property
    def name(self) -> str:
        """The name under which sites list the recipe."""
        return f"{self.domain}/default"

    @property
    def sha256(self) -> str:
        """The hash that names every value of the recipe, in hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def learning_rate_in(self, round_number: int) -> float:
        """Return the constant learning rate of round 1, 2, ..., ``rounds``: a cosine from the first to the floor."""
        span = self.learning_rate - self.final_learning_rate
        passed = (round_number - 1) / self.rounds
        return self.final_learning_rate + 0.5 * span * (1 + math.cos(math.pi * passed))
