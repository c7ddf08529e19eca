"""Every aggregation strategy, as data: what it promises, takes and asks for. Made once, for checks, commands and docs.

Sites send what their training has changed of the round's adapter, A and B of each module. With weights w_i that add up
to one, their mean product is the sum of w_i B_i A_i; averaging A and B by themselves gives another one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["STRATEGIES", "Need", "Strategy"]

WHOLE, B_ALONE, IN_TURN = "A and B", "B", "B in odd rounds, A in even ones"


@dataclass(frozen=True)
class Need:
    """What a strategy asks of the recipe, or of an option of its own, beside the rule that holds for all.

    Attributes
    ----------
    holds : callable
        Whether a value satisfies it.
    advice : str
        What to do where it does not, and why.
    """

    holds: Callable[[Any], bool]
    advice: str


@dataclass(frozen=True)
class Strategy:
    """What a strategy states of itself.

    Attributes
    ----------
    name : str
        As in ``run.strategy``.
    summary : str
        What it does.
    paper : str
        Where it comes from.
    product : str
        How far the product of the new factors is the sites' mean product: "exact" but for rounding, "best of its rank",
        "another one" (of factors that are averaged by themselves), or "not a mean".
    memory : str
        Updates that the coordinator holds at once: "O(1)" or "O(N)". Where it is O(1), each is folded in as it arrives.
    up, down : str
        What of the adapter travels from a site, and to it.
    weighted : bool
        Whether an update weighs by its records; else all weigh the same.
    mixed_ranks : bool
        Whether sites may train less than the recipe's rank.
    adapters : tuple of str
        Kinds of adapters of which it gives one of the recipe's rank that PEFT loads.
    options : mapping
        Its keys in the table ``run``, with what they are where the file does not say it.
    needs : mapping
        What it asks of the recipe's keys and of its own options.
    new_basis : bool
        Whether each round's factors stand in a basis of their own, so that nothing of one round can be added to the
        next: updates must travel without loss.
    recipe : mapping
        What to write into the recipe for that, where the recipe's own defaults do not do.
    notes : tuple of str
        What else there is to know.
    """

    name: str
    summary: str
    paper: str
    product: str = "another one"
    memory: str = "O(1)"
    up: str = WHOLE
    down: str = WHOLE
    weighted: bool = True
    mixed_ranks: bool = True
    adapters: tuple[str, ...] = ("lora", "rslora", "dora")
    options: Mapping[str, float] = field(default_factory=dict)
    needs: Mapping[str, Need] = field(default_factory=dict)
    new_basis: bool = False
    recipe: Mapping[str, float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def streaming(self) -> bool:
        """Whether updates are folded in as they arrive."""
        return self.memory == "O(1)"


def _factors(*allowed: str) -> Need:
    listed = " or ".join(f'"{value}"' for value in allowed)
    return Need(lambda value: value in allowed, f"set factors = {listed} in the recipe, or take another strategy")


ANY_FACTORS = {"factors": _factors("both", "b")}
NO_PROXIMAL = Need(lambda value: value == 0, 'with the proximal term it is FedProx: set strategy = "fedprox"')
# Of the size of what AdamW does in ten steps at 5e-5. Nobody has tuned them for your federation.
ADAPTIVE = {"server-learning-rate": 1e-3, "server-momentum": 0.9, "server-beta-2": 0.99, "server-adaptivity": 1e-3}
REDDI = "Reddi et al. 2021, arXiv 2003.00295, algorithm 2"
BLANCHARD = "Blanchard et al. 2017, NeurIPS, Machine Learning with Adversaries"
PSEUDO = "The mean update is the pseudo-gradient; the optimiser's moments are in each checkpoint."
ADAPTIVE_NOTES = (
    PSEUDO,
    "As in the paper, moments begin at 0 and at the square of server-adaptivity, and none is corrected for that.",
    "Steps hardly depend on the size of updates, so that server-learning-rate decides: try 1e-4 to 1e-2.",
)
ROBUST_NOTE = "Weighs all updates alike, as the paper does: who claims many records gains nothing."


STRATEGIES: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "fedavg",
            "The mean of the factors, weighted by records: the reference.",
            "McMahan et al. 2017, arXiv 1602.05629, algorithm 1",
            needs={"factors": _factors("both"), "proximal": NO_PROXIMAL},
        ),
        Strategy(
            "fedprox",
            "FedAvg, whose sites are held near the round's adapter by a term in their loss.",
            "Li et al. 2020, arXiv 1812.06127, algorithm 2",
            needs={
                **ANY_FACTORS,
                "proximal": Need(
                    lambda value: value > 0,
                    "FedProx without its term is FedAvg: set proximal in the recipe, such as 0.01, "
                    'or strategy = "fedavg"',
                ),
            },
            recipe={"proximal": 0.01},
            notes=("Sites add proximal / 2 times the squared distance to the round's adapter to their loss.",),
        ),
        Strategy(
            "fedavgm",
            "FedAvg with momentum at the coordinator.",
            "Hsu et al. 2019, arXiv 1909.06335",
            options={"server-learning-rate": 1.0, "server-momentum": 0.9},
            needs={
                **ANY_FACTORS,
                "server-momentum": Need(
                    lambda value: value > 0,
                    'FedAvgM without momentum is FedAvg: set it above 0, or strategy = "fedavg"',
                ),
            },
            notes=(PSEUDO, "With momentum 0.9, updates that agree add up to ten times their size: lower the rates."),
        ),
        Strategy(
            "fedadam",
            "Adam at the coordinator.",
            REDDI,
            options=ADAPTIVE,
            needs=ANY_FACTORS,
            notes=ADAPTIVE_NOTES,
        ),
        Strategy(
            "fedyogi",
            "Yogi at the coordinator: Adam whose second moment changes by bounded steps.",
            REDDI,
            options=ADAPTIVE,
            needs=ANY_FACTORS,
            notes=ADAPTIVE_NOTES,
        ),
        Strategy(
            "fedadagrad",
            "Adagrad at the coordinator: steps that only become shorter.",
            REDDI,
            options={**{key: value for key, value in ADAPTIVE.items() if key != "server-beta-2"}, "server-momentum": 0},
            needs=ANY_FACTORS,
            notes=ADAPTIVE_NOTES,
        ),
        Strategy(
            "fedmedian",
            "The median of each value.",
            "Yin et al. 2018, arXiv 1803.01498, option I",
            product="not a mean",
            memory="O(N)",
            weighted=False,
            mixed_ranks=False,
            needs=ANY_FACTORS,
            notes=(ROBUST_NOTE,),
        ),
        Strategy(
            "trimmed-mean",
            "The mean of each value without the highest and the lowest.",
            "Yin et al. 2018, arXiv 1803.01498, option II",
            product="not a mean",
            memory="O(N)",
            weighted=False,
            mixed_ranks=False,
            options={"trim": 0.2},
            needs=ANY_FACTORS,
            notes=(ROBUST_NOTE, "Of n updates, trim times n are left out at each end, rounded down, and at least one."),
        ),
        Strategy(
            "krum",
            "The one update that is nearest to most others.",
            BLANCHARD,
            product="not a mean",
            memory="O(N)",
            weighted=False,
            mixed_ranks=False,
            options={"byzantine": 1},
            needs=ANY_FACTORS,
            notes=(ROBUST_NOTE, "The adapter is then that of the chosen site."),
        ),
        Strategy(
            "multi-krum",
            "The mean of the few updates that are nearest to most others.",
            BLANCHARD,
            memory="O(N)",
            weighted=False,
            mixed_ranks=False,
            options={"byzantine": 1, "selected": 0},
            needs=ANY_FACTORS,
            notes=(ROBUST_NOTE, "selected = 0 takes as many as there are, less byzantine and two."),
        ),
        Strategy(
            "ffa-lora",
            "FedAvg of B; A stays as it began, at all sites the same.",
            "Sun et al. 2024, arXiv 2403.12313",
            product="exact",
            up=B_ALONE,
            needs={"factors": _factors("b")},
            recipe={"factors": "b"},
        ),
        Strategy(
            "rolora",
            "FedAvg of B and of A in turn, the other one frozen at all sites.",
            "Chen et al. 2024, arXiv 2409.02346",
            product="exact",
            up=IN_TURN,
            needs={"factors": _factors("alternating")},
            recipe={"factors": "alternating"},
            notes=(
                "Round 1 trains B: A would learn nothing while B is zero. A round trains B if its number is odd, "
                "A if it is even.",
            ),
        ),
        Strategy(
            "flexlora",
            "The sites' mean product, brought back to the recipe's rank by a singular value decomposition.",
            "Bai et al. 2024, arXiv 2402.11505",
            product="best of its rank",
            memory="O(N)",
            new_basis=True,
            adapters=("lora", "rslora"),
            needs={
                "factors": _factors("both"),
                "optimizer-state": Need(
                    lambda value: value == "reset",
                    "each round's factors stand in a basis of their own, in which older moments mean nothing: set "
                    'optimizer-state = "reset" in the recipe',
                ),
            },
            notes=(
                "A gets the right singular vectors, B the left ones times the singular values: directions that the "
                "mean does not use have a row of A to learn with.",
                'Updates travel without loss, upload-codec = "fp32" or "fp32z": the rest that a lossy codec leaves for '
                "the next update would stand in another basis.",
                "Largest singular values first, so that a site of a lower rank trains the best part; what it does not "
                "train stays in its product as it came.",
                "Not for DoRA: the mean of such sites' weights is no DoRA adapter of this rank, and it takes the base "
                "model's weights to compute.",
            ),
        ),
    )
}
