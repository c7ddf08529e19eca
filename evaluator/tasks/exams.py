"""What the medical examinations share: lettered options, and what the reference says before them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from evaluator.tasks.item import LETTERS, ChoiceTask, Item
from evaluator.tasks.likelihood_prompts import lettered
from evaluator.tasks.reference import at_once, first_letter, multiple_choice

__all__ = ["ENTRANCE", "LICENSING", "exam_item", "exam_task"]

# The reference says of all three what Meditron's evaluation says (github.com/epfLLM/meditron).
_KNOWLEDGE = (
    "basic and clinical science, medical knowledge, and mechanisms underlying health, disease, patient care, and modes "
    "of therapy"
)
_GUIDELINES = "Base your answer on the current and standard practices referenced in medical guidelines."
ENTRANCE = (
    "You are a medical doctor answering realworld medical entrance exam questions. "  # noqa: S608 - prose
    f"Based on your understanding of {_KNOWLEDGE}, answer the following multiple-choice question. Select one correct "
    f"answer from A to D. {_GUIDELINES}"
)
LICENSING = (
    "You are a medical doctor taking the US Medical Licensing Examination. "  # noqa: S608 - prose
    f"You need to demonstrate your understanding of {_KNOWLEDGE}. Show your ability to apply the knowledge essential "
    "for medical practice. For the following multiple-choice question, select one correct answer from A to E. "
    f"{_GUIDELINES}"
)


def exam_item(identity: object, instruction: str, question: object, choices: Sequence[object], gold: object) -> Item:
    """Return a question with four lettered options."""
    return Item(str(identity), instruction, str(question), LETTERS, tuple(map(str, choices)), str(gold))


def exam_task(
    name: str,
    title: str,
    read: Callable[[Path], Sequence[Item]],
    hub: str,
    split: str,
    subset: str = "",
    revision: str = "main",
) -> ChoiceTask:
    """Return a task of lettered options."""
    return ChoiceTask(
        name=name,
        title=title,
        domain="medical",
        hub=hub,
        subset=subset,
        split=split,
        revision=revision,
        read=read,
        prompt=multiple_choice,
        extract=first_letter,
        ask=lettered,
        settled=at_once,
    )
