"""An item of a benchmark whose answer is one of a few labels, and the benchmark that it belongs to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora.errors import EvaluationError

__all__ = ["CONVERTED", "LETTERS", "ChoiceTask", "Item", "check"]

LETTERS = ("A", "B", "C", "D")
CONVERTED = (
    "refs/convert/parquet"  # the hub's own conversion of sets that are programs, which `datasets` 4 does not run
)


@dataclass(frozen=True)
class Item:
    """A question with its choices.

    Attributes
    ----------
    id : str
        Unique in its task, and the same wherever the item was read from.
    instruction : str
        What the reference says before the question.
    question : str
        What is asked; with what is read before it, as an abstract.
    labels : tuple of str
        How the choices are named: letters, or words that are the choices themselves.
    choices : tuple of str
        Their texts.
    gold : str
        The label that is right.
    group : str
        Part of the task that is reported for itself, or empty.
    """

    id: str
    instruction: str
    question: str
    labels: tuple[str, ...]
    choices: tuple[str, ...]
    gold: str
    group: str = ""


@dataclass(frozen=True)
class ChoiceTask:
    """A benchmark of items with choices.

    Attributes
    ----------
    name, title, domain : str
        Its name on the command line, its name in the literature, and the domain whose board it belongs to.
    hub, subset, split : str
        Where its items stand on the hub.
    read : callable
        Returns the items of a file in their order. It knows the hub's columns and the layout of the makers' own file.
    prompt : callable
        Returns the reference's prompt for an item, to the letter.
    extract : callable
        Returns the label that the reference reads out of a generated text; empty if that is none of the item's.
    ask : callable
        Returns the prompt behind which the labels' likelihoods are compared.
    settled : callable
        Says of an item and a text whether nothing that may follow changes what is read out of it.
    most_tokens : int
        Prompt and generated text together; 0 where the reference generates as many tokens as the right label has.
    groups : tuple of str
        The groups that make the task's columns on the board; others are reported apart. Empty for all items at once.
    revision : str
        Of the hub's set.
    """

    name: str
    title: str
    domain: str
    hub: str
    subset: str
    split: str
    read: Callable[[Path], Sequence[Item]]
    prompt: Callable[[Item], str]
    extract: Callable[[Item, str], str]
    ask: Callable[[Item], str]
    settled: Callable[[Item, str], bool]
    most_tokens: int = 0
    groups: tuple[str, ...] = ()
    revision: str = "main"

    @property
    def converted(self) -> bool:
        """Whether the revision is the hub's own conversion, in which subsets are folders."""
        return self.revision == CONVERTED

    @property
    def scorings(self) -> tuple[str, ...]:
        """How it can be scored."""
        return ("flowertune", "likelihood")


def check(items: Iterable[Item], origin: object) -> list[Item]:
    """Return `items`, if each can be asked and answered.

    Raises
    ------
    EvaluationError
        Names the first item that lacks a choice, whose answer is not among its choices, or whose id stands there twice.
    """
    checked: list[Item] = []
    seen: set[str] = set()
    for item in items:
        if len(item.choices) != len(item.labels) or not all(text.strip() for text in item.choices):
            raise EvaluationError(f"{origin}: item {item.id!r} lacks a choice: {item.choices}")
        if item.gold not in item.labels:
            raise EvaluationError(f"{origin}: the answer {item.gold!r} of item {item.id!r} is not one of {item.labels}")
        if item.id in seen:
            raise EvaluationError(f"{origin}: the item {item.id!r} stands there twice")
        seen.add(item.id)
        checked.append(item)
    if not checked:
        raise EvaluationError(f"{origin} holds no item")
    return checked
