"""Telling by its loss whether a record was trained on: the loss-threshold attack, and how well it does.

Whoever holds an adapter, and a text, asks how well the model expects the text; records that it was trained on, it
expects better (Yeom et al. 2018, arXiv 1709.01604). Held against the base model's loss of the same text, the attack no
longer takes easy texts for known ones (Watson et al. 2022, arXiv 2111.08440).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlora.errors import EvaluationError

__all__ = ["Attack", "Losses", "attack", "attacks"]

Values = npt.NDArray[np.float64]

FEWEST = 10  # records of each kind; of fewer, the interval says nothing
Z = 1.959964  # of 95 %
RARELY = 0.05  # of the others, whom an attacker takes for members


@dataclass(frozen=True)
class Attack:
    """How well members and others are told apart.

    Attributes
    ----------
    by : str
        ``loss``, or ``loss against base``.
    auc : float
        How often a member looks more like one than another record does; 0.5 is guessing.
    low, high : float
        Its interval of 95 % (DeLong, DeLong and Clarke-Pearson 1988).
    found : float
        Share of the members that are found where one in twenty of the others is taken for one.
    members, others : int
        How many there were.
    """

    by: str
    auc: float
    low: float
    high: float
    found: float
    members: int
    others: int


@dataclass(frozen=True)
class Losses:
    """Mean losses of records, in nats for each answer token.

    Attributes
    ----------
    members, others : array of float
        Of records that were trained on, and of records that were not.
    """

    members: Values
    others: Values


def attack(by: str, members: Values, others: Values) -> Attack:
    """Return how well scores tell members, shape (m,), from others, shape (n,); members are to have the higher ones.

    Raises
    ------
    EvaluationError
        If there are too few of either.
    """
    if min(members.size, others.size) < FEWEST:
        raise EvaluationError(f"{members.size} members and {others.size} others are too few; {FEWEST} of each at least")
    wins = (members[:, None] > others[None, :]) + 0.5 * (members[:, None] == others[None, :])
    auc = float(wins.mean())
    variance = wins.mean(1).var(ddof=1) / members.size + wins.mean(0).var(ddof=1) / others.size
    half = Z * float(np.sqrt(variance))
    threshold = np.sort(others)[::-1][int(RARELY * others.size)]
    found = float((members > threshold).mean())
    return Attack(by, auc, max(0.0, auc - half), min(1.0, auc + half), found, members.size, others.size)


def attacks(base: Losses, adapted: Losses | None) -> list[Attack]:
    """Return the attacks on an adapter, or on the base model alone: what that tells, no adapter has told it."""
    if adapted is None:
        return [attack("loss", -base.members, -base.others)]
    return [
        attack("loss", -adapted.members, -adapted.others),
        attack("loss against base", base.members - adapted.members, base.others - adapted.others),
    ]
