"""The benchmark's rules as data, and what an entry makes of them. A breach is shown, never hidden."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from evaluator.leaderboard.columns import BOARDS
from evaluator.leaderboard.manifest import Manifest
from fedlora.recipes import CHALLENGES

__all__ = ["COMMUNICATION_MIB", "DOMAIN_RULES", "DomainRules", "Outcome", "Ruling", "rulings"]

# "MB" on the board: its tracker divides bytes by 1024 squared, and adds up adapters in both directions.
COMMUNICATION_MIB = 200_000
MEBI = 2**20
FOUR_BIT = ("fp4", "nf4")


class Outcome(StrEnum):
    """What became of a rule."""

    KEPT = "kept"
    BROKEN = "broken"
    DIFFERS = "differs"  # from what the challenge has by itself, where the board leaves it free
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class DomainRules:
    """What the benchmark asks of a domain's entries.

    Attributes
    ----------
    clients : int
        Parts that the training set is divided into; the board voids entries with another number.
    fraction : float
        Share of them that trains in each round; the challenge's own, which entries may change.
    data : tuple of str
        Names of the one training set that is allowed.
    precisions : tuple of str
        What the base model may be held in while it is scored; empty for anything.
    """

    clients: int
    fraction: float
    data: tuple[str, ...]
    precisions: tuple[str, ...]


# The sets as the hub calls them since 2024, and as their makers do.
EARLIER = {
    "general-nlp": "vicgalle/alpaca-gpt4",
    "finance": "FinGPT/fingpt-sentiment-train",
    "medical": "medalpaca/medical_meadow_medical_flashcards",
    "code": "lucasmccabe-lmi/CodeAlpaca-20k",
}
DOMAIN_RULES = {
    name: DomainRules(one.clients, one.fraction, (one.data, EARLIER[name]), () if name == "code" else FOUR_BIT)
    for name, one in CHALLENGES.items()
}


@dataclass(frozen=True)
class Ruling:
    """A rule as an entry has it.

    Attributes
    ----------
    rule : str
        What it is about.
    outcome : Outcome
        What became of it.
    found, allowed : str
        In the entry, and by the rule.
    """

    rule: str
    outcome: Outcome
    found: str
    allowed: str


def rulings(manifest: Manifest) -> tuple[Ruling, ...]:
    """Hold an entry to the rules of the domain that it was trained for."""
    rules = DOMAIN_RULES[manifest.domain]
    return tuple(rule(manifest, rules) for rule in RULES)


def _communication(manifest: Manifest, _: DomainRules) -> Ruling:
    used = manifest.run.payload_bytes if manifest.run else None
    allowed = f"at most {COMMUNICATION_MIB:,} MiB of adapters, both directions"
    if used is None:
        return Ruling("communication", Outcome.UNKNOWN, "not told", allowed)
    kept = used <= COMMUNICATION_MIB * MEBI
    return Ruling("communication", _kept(kept), f"{used / MEBI:,.2f} MiB", allowed)


def _clients(manifest: Manifest, rules: DomainRules) -> Ruling:
    allowed = f"{rules.clients} clients"
    if manifest.run is None:
        return Ruling("clients", Outcome.UNKNOWN, "not told", allowed)
    return Ruling("clients", _kept(manifest.run.clients == rules.clients), f"{manifest.run.clients} clients", allowed)


def _fraction(manifest: Manifest, rules: DomainRules) -> Ruling:
    allowed = f"{rules.fraction:g} in the challenge; the board leaves it free"
    if manifest.run is None:
        return Ruling("sampled fraction", Outcome.UNKNOWN, "not told", allowed)
    same = abs(manifest.run.fraction - rules.fraction) < 1e-9
    outcome = Outcome.KEPT if same else Outcome.DIFFERS
    return Ruling("sampled fraction", outcome, f"{manifest.run.fraction:g}", allowed)


def _data(manifest: Manifest, rules: DomainRules) -> Ruling:
    allowed = f"{rules.data[0]} alone"
    if not manifest.data:
        return Ruling("training data", Outcome.UNKNOWN, "not told", allowed)
    kept = set(manifest.data) <= set(rules.data)
    return Ruling("training data", _kept(kept), f"{', '.join(manifest.data)}, as the submitter says", allowed)


def _precision(manifest: Manifest, rules: DomainRules) -> Ruling:
    found = manifest.adapted.precision
    if not rules.precisions:
        return Ruling("precision of scoring", Outcome.KEPT, found or "not told", "any for code")
    allowed = f"4 bits ({' or '.join(rules.precisions)})"
    if not found:
        return Ruling("precision of scoring", Outcome.UNKNOWN, "not told", allowed)
    return Ruling("precision of scoring", _kept(found in rules.precisions), found, allowed)


def _columns(manifest: Manifest, _: DomainRules) -> Ruling:
    """Hold it to every score of the domain, by the benchmark's scoring, on whole test sets."""
    board, scores = BOARDS[manifest.domain], manifest.by_task("adapted", "flowertune")
    parts, whole = [], True
    for column in board.columns:
        share = column.share(scores[column.task]) if column.task in scores else None
        n = share.n if share else 0
        whole = whole and n == column.items
        if n != column.items:
            parts.append(f"{column.title} {n:,} of {column.items:,}")
    found = "; ".join(parts) or "all items"
    return Ruling("test sets", _kept(whole), found, f"all items of {', '.join(one.title for one in board.columns)}")


def _kept(kept: bool) -> Outcome:
    return Outcome.KEPT if kept else Outcome.BROKEN


Check = Callable[[Manifest, DomainRules], Ruling]
RULES: tuple[Check, ...] = (_communication, _clients, _fraction, _data, _precision, _columns)
