"""What the three finance tasks share: a text, one of three sentiments, the reference's prompt for them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from evaluator.tasks.item import ChoiceTask, Item
from evaluator.tasks.likelihood_prompts import labelled
from evaluator.tasks.reference import (
    SENTIMENTS,
    sentiment,
    sentiment_instruction,
    sentiment_of,
    sentiment_settled,
)

__all__ = ["sentiment_item", "sentiment_task"]

MOST_TOKENS = 512  # prompt and answer together


def sentiment_item(identity: str, of: str, text: str, gold: str) -> Item:
    """Return an item that asks for the sentiment of a ``tweet`` or of ``news``."""
    return Item(identity, sentiment_instruction(of), text, SENTIMENTS, SENTIMENTS, gold)


def sentiment_task(
    name: str,
    title: str,
    read: Callable[[Path], Sequence[Item]],
    hub: str,
    split: str,
    subset: str = "",
    revision: str = "main",
) -> ChoiceTask:
    """Return a finance task."""
    return ChoiceTask(
        name=name,
        title=title,
        domain="finance",
        hub=hub,
        subset=subset,
        split=split,
        revision=revision,
        read=read,
        prompt=sentiment,
        extract=sentiment_of,
        ask=labelled,
        settled=sentiment_settled,
        most_tokens=MOST_TOKENS,
    )
