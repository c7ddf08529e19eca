"""An item of a benchmark whose answer is one of a few labels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora.errors import EvaluationError

__all__ = ["ChoiceTask", "Item", "check"]


@dataclass(frozen=True)
class Item:
    """A question with its choices.

    Attributes
    ----------
    id : str
        Unique in its task, and the same wherever the item was read from.
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
    hub, revision, subset, split : str
        Where its items stand on the hub; a revision, since a name alone says nothing about content.
    read : callable
        Returns the items of a file, in its order. It knows the hub's columns and the layout of the makers' own file.
    prompt : callable
        Returns the reference's prompt for an item, to the letter.
    extract : callable
        Returns the label that the reference reads out of a generated text, or nothing.
    groups : tuple of str
        The groups that make the task's accuracy; the rest is reported apart. Empty for all.
    """

    name: str
    title: str
    domain: str
    hub: str
    revision: str
    subset: str
    split: str
    read: Callable[[Path], Sequence[Item]]
    prompt: Callable[[Item], str]
    extract: Callable[[Item, str], str]
    groups: tuple[str, ...] = ()


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
