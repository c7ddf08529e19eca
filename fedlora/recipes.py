"""Recipes: the training hyper-parameters that all sites of a run share."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from fedlora.domains import domain

__all__ = ["Recipe"]

# The seven projections of a Llama-family block; `all-linear` adapters reach every matrix product but the head.
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Recipe:
    """How one site trains in one round, and how many rounds there are.

    Every party holds the recipe itself; over the wire goes its name and its hash, so that two parties who mean
    different things by one name find out before the first round.

    Attributes
    ----------
    domain : str
        The domain whose shards are trained on.
    rounds, steps, batch : int
        Rounds of the run, optimiser steps a round, records a step.
    length : int
        Longest record in tokens; what is longer is cut at the end of the answer.
    learning_rate, final_learning_rate : float
        The rate in the first round and the floor that the cosine over the rounds falls towards.
    rank, alpha, dropout, target_modules
        The adapter: LoRA (Hu et al. 2021, arXiv 2106.09685) with scale ``alpha / rank``.
    """

    domain: str
    rounds: int = 3
    steps: int = 20
    batch: int = 16
    length: int = 256
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ALL_LINEAR

    def __post_init__(self) -> None:
        domain(self.domain)
        for name in ("rounds", "steps", "batch", "length", "rank", "alpha"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.final_learning_rate <= self.learning_rate:
            raise ValueError(
                f"final-learning-rate {self.final_learning_rate} is not in (0, learning-rate {self.learning_rate}]"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} is not in [0, 1)")
        if not self.target_modules:
            raise ValueError("target-modules is empty")

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
