"""The reference's prompts and what it reads out of answers, to the letter.

They are constants of the benchmark's protocol: flwrlabs/flower, benchmarks/flowertune-llm/evaluation, the files
``benchmarks.py`` and ``utils.py`` of each domain, as of 2026-04-29. Where it depends on how items were put into
batches, the answer is that of the item alone; docs/evaluation.md lists each such place.
"""

import re

from evaluator.tasks.item import Item

__all__ = [
    "SENTIMENTS",
    "at_once",
    "first_letter",
    "multiple_choice",
    "sentiment",
    "sentiment_instruction",
    "sentiment_of",
    "sentiment_settled",
    "statement",
    "whole_word",
]

SENTIMENTS = ("negative", "neutral", "positive")
ANSWER = "Answer: "
# What the reference takes an answer for after cleaning it; any other is compared as it was written.
KNOWN = ("a", "b", "c", "d", "e", "yes", "no")


def multiple_choice(item: Item) -> str:
    """Return the prompt of a question with lettered options."""
    question = item.question if item.question.endswith(("?", ".")) else f"{item.question}?"
    options = "\n".join(f"{label}. {text}" for label, text in zip(item.labels, item.choices, strict=True))
    return _wrapped(f"{item.instruction}\nQuestion: {question}\n\nOptions:\n{options}\nThe answer is:\n")


def statement(item: Item) -> str:
    """Return the prompt of a question that is answered by yes, no or maybe."""
    return _wrapped(f"{item.instruction}\n{item.question}\nThe answer is:\n")


def _wrapped(text: str) -> str:
    """Put the reference's marks around a prompt, whatever the model's own chat template is."""
    return f"<|im_start|>question\n{text}<|im_end|>\n<|im_start|>answer\n"


def sentiment_instruction(of: str) -> str:
    """Return what is asked of a ``tweet`` or of ``news``."""
    return f"What is the sentiment of this {of}? Please choose an answer from {{negative/neutral/positive}}."


def sentiment(item: Item) -> str:
    """Return the prompt of a question for a sentiment."""
    about = f"Input: {item.question}\n" if item.question else ""
    return f"Instruction: {item.instruction}\n{about}{ANSWER}"


def first_letter(item: Item, text: str) -> str:
    """Return the option whose letter is the first letter or digit of the text."""
    cleaned = _cleaned(text)[:1]
    return _label(item, cleaned if cleaned in KNOWN else text.lower())


def whole_word(item: Item, text: str) -> str:
    """Return yes or no if the cleaned text is just that; anything else must be the label as it was written."""
    cleaned = _cleaned(text)
    for doubled, meant in (("yesyes", "yes"), ("nono", "no"), ("yesno", "yes"), ("noyes", "no")):
        if doubled in cleaned:
            cleaned = cleaned.replace(doubled, meant)
            break
    return _label(item, cleaned if cleaned in KNOWN else text.lower())


def _cleaned(text: str) -> str:
    lowered = text.lower()
    if "\n##" in lowered:
        lowered = lowered.split("\n##")[1].split("\n")[0].strip()
    return re.sub(" +", " ", re.sub(r"[^a-zA-Z0-9]", " ", lowered).strip())


def _label(item: Item, read: str) -> str:
    return next((label for label in item.labels if label.lower() == read), "")


def sentiment_of(item: Item, text: str) -> str:
    """Return the sentiment that is named between the first and the second ``Answer: ``; neutral if none is."""
    parts = (sentiment(item) + text).split(ANSWER)
    said = parts[1]
    for word in ("positive", "negative"):
        if word in said or word.capitalize() in said:
            return word
    return "neutral"


def sentiment_settled(item: Item, text: str) -> bool:
    """Say whether what follows cannot change the sentiment: it is positive, or the answer has ended."""
    return sentiment_of(item, text) == "positive" or (sentiment(item) + text).count(ANSWER) > 1


def at_once(item: Item, text: str) -> bool:  # noqa: ARG001 - the signature of a task's `settled`
    """Say that a text settles nothing before its end."""
    return False
