"""A recipe: the training hyper-parameters that all sites of a run share."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, get_args

from fedlora.config import hold_to_rules
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError
from fedlora.rules import Rule, above, at_least, one_of, some

__all__ = ["ALL_LINEAR", "FAMILY_DEFAULT", "PRESET_NAMES", "Factors", "Recipe", "frozen_factor"]

PRESET_NAMES = ("default", "flowertune", "flowertune-paper", "quick")
# Words for target modules whose names differ between the families of base models.
ALL_LINEAR, FAMILY_DEFAULT = "all-linear", "default"

Count = Annotated[int, at_least(1)]
Schedule = Literal["cosine", "cosine-from-peak", "constant"]
Optimizer = Literal["adamw", "adamw-8bit"]
Adapter = Literal["lora", "rslora", "dora"]
BasePrecision = Literal["fp4", "nf4", "int8", "bf16", "fp32"]
ComputePrecision = Literal["bf16", "fp32"]
Template = Literal["alpaca", "chat", "labelled"]
Factors = Literal["both", "b", "alternating"]
Question = Literal["both", "instruction", "input"]
DROPOUT = Rule("a number from 0 to below 1", lambda value: 0 <= value < 1, {"minimum": 0, "exclusiveMaximum": 1})


@dataclass(frozen=True)
class Recipe:
    """How one site trains in one round, and how many rounds there are.

    Every party holds the recipe itself; over the wire goes its name and its hash, so that two parties who mean
    different things by one name find out before the first round.

    Attributes
    ----------
    domain : str
        The domain whose shards are trained on; names the recipe, together with its preset.
    preset : str
        Gives the values that are not set here: default, flowertune, flowertune-paper, quick; see fedlora recipe list.
    rounds : int
        Rounds of the run.
    steps : int
        Optimiser steps of each site in each round.
    batch : int
        Records a step.
    length : int
        Longest record in tokens; what is longer is cut at the end of the answer.
    learning_rate : float
        The highest rate; within a round it is constant.
    final_learning_rate : float
        The floor that the rate falls towards over the rounds; not above the highest.
    schedule : str
        Over the rounds: cosine, below the highest in round 1 and at the floor in the last one, as the benchmark has it;
        cosine-from-peak, at the highest in round 1 and above the floor in the last one; constant.
    optimizer : str
        adamw, or adamw-8bit, whose moments take a quarter of the memory.
    optimizer_state : str
        Whether the optimiser's moments are reset in each round, as the benchmark has it, or kept at the site.
    weight_decay : float
        Of AdamW, for each step.
    adapter : str
        lora (Hu et al. 2021, arXiv 2106.09685), rslora (Kalajdzievski 2023, arXiv 2312.03732) or dora (Liu et al. 2024,
        arXiv 2402.09353).
    rank : int
        Rank of the adapter's matrices.
    alpha : int
        The adapter's scale is alpha / rank; of rslora alpha / sqrt(rank).
    dropout : float
        Share of the adapter's inputs that is left out in training.
    target_modules : tuple of str
        Names of the base model's modules that get an adapter; "default" are those that PEFT takes for the model's
        family, "all-linear" all matrix products but the head.
    base_precision : str
        What the base model's weights are held in: fp4 or nf4 (4 bits), int8, bf16 or fp32.
    compute_precision : str
        What products are computed in: bf16 or fp32.
    template : str
        The text around question and answer: alpaca, as the benchmark has it; chat, the base model's own; labelled, the
        lines Instruction, Input and Answer.
    question : str
        What of a record is asked: both instruction and input, the instruction alone, or the input alone where it is not
        empty.
    end_of_text : bool
        Whether the end of the text is learned after each answer.
    records : str
        Which a round trains on: the next ones, so that all are seen before any is seen twice, or the same in each
        round.
    weight : str
        What an update weighs by: the records trained on, or the size of the shard.
    proximal : float
        How strongly training is held near the round's adapter: FedProx adds half of it times the squared distance to
        the loss. 0 for not at all.
    factors : str
        Which of the adapter's matrices are trained: both; b alone, while A stays as it began; or alternating, B in odd
        rounds and A in even ones. Only those are sent back. The magnitudes of dora are trained in every round.
    """

    domain: Annotated[str, one_of(DOMAINS)]
    preset: Annotated[str, one_of(PRESET_NAMES)] = "default"
    rounds: Count = 200
    steps: Count = 10
    batch: Count = 16
    length: Count = 512
    learning_rate: Annotated[float, above(0.0)] = 5e-5
    final_learning_rate: Annotated[float, above(0.0)] = 1e-6
    schedule: Annotated[Schedule, one_of(("cosine", "cosine-from-peak", "constant"))] = "cosine"
    optimizer: Annotated[Optimizer, one_of(("adamw", "adamw-8bit"))] = "adamw"
    optimizer_state: Annotated[Literal["reset", "kept"], one_of(("reset", "kept"))] = "reset"
    weight_decay: Annotated[float, at_least(0.0)] = 0.0
    adapter: Annotated[Adapter, one_of(("lora", "rslora", "dora"))] = "lora"
    rank: Count = 32
    alpha: Count = 64
    dropout: Annotated[float, DROPOUT] = 0.075
    target_modules: Annotated[tuple[str, ...], some()] = (FAMILY_DEFAULT,)
    base_precision: Annotated[BasePrecision, one_of(("fp4", "nf4", "int8", "bf16", "fp32"))] = "fp4"
    compute_precision: Annotated[ComputePrecision, one_of(("bf16", "fp32"))] = "bf16"
    template: Annotated[Template, one_of(("alpaca", "chat", "labelled"))] = "alpaca"
    question: Annotated[Question, one_of(("both", "instruction", "input"))] = "both"
    end_of_text: bool = True
    records: Annotated[Literal["next", "same"], one_of(("next", "same"))] = "next"
    weight: Annotated[Literal["trained", "shard"], one_of(("trained", "shard"))] = "trained"
    proximal: Annotated[float, at_least(0.0)] = 0.0
    factors: Annotated[Factors, one_of(get_args(Factors))] = "both"

    def __post_init__(self) -> None:
        hold_to_rules(self)
        if self.final_learning_rate > self.learning_rate:
            raise ConfigurationError(
                f"final-learning-rate {self.final_learning_rate} is above learning-rate {self.learning_rate}"
            )
        words = {ALL_LINEAR, FAMILY_DEFAULT} & set(self.target_modules)
        if words and len(self.target_modules) > 1:
            raise ConfigurationError(f"target-modules: {min(words)!r} stands alone, or not at all")
        if self.factors == "alternating" and self.optimizer_state == "kept":
            raise ConfigurationError(
                "optimizer-state 'kept' does not go with factors 'alternating': the moments that are kept are those of "
                "the other factor; take 'reset'"
            )

    @property
    def name(self) -> str:
        """The name under which sites list the recipe."""
        return f"{self.domain}/{self.preset}"

    @property
    def sha256(self) -> str:
        """The hash that names every value of the recipe, in hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def scale(self) -> float:
        """What the product of the adapter's matrices is multiplied with."""
        return self.alpha / (math.sqrt(self.rank) if self.adapter == "rslora" else self.rank)

    def learning_rate_in(self, round_number: int) -> float:
        """Return the constant learning rate of round 1, 2, ..., ``rounds``."""
        if self.schedule == "constant":
            return self.learning_rate
        span = self.learning_rate - self.final_learning_rate
        passed = (round_number - (self.schedule == "cosine-from-peak")) / self.rounds
        return self.final_learning_rate + 0.5 * span * (1 + math.cos(math.pi * passed))


def frozen_factor(factors: str, round_number: int) -> str:
    """Return which factor a round does not train, "A" or "B"; empty where it trains both.

    Of those in turn, B is first: it begins at zero, and A learns nothing while B is zero.
    """
    if factors == "both":
        return ""
    return "A" if factors == "b" or round_number % 2 else "B"
