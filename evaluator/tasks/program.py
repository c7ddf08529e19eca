"""An item of a benchmark whose answer is a program, and the benchmark that it belongs to.

The rules are those of the reference, the BigCode evaluation harness: a model goes on with a prompt that is code; what
it writes counts up to the first stop string; prompt, text and tests are one program, and the item is solved if that
ends well. The reference draws one sample an item (`SAMPLED`); greedy decoding is ours, to be reported apart.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.sandbox.program import Program
from fedlora.errors import EvaluationError

__all__ = ["SAMPLED", "CodeItem", "CodeTask", "Sampling", "check"]


@dataclass(frozen=True)
class Sampling:
    """How a text is drawn.

    Attributes
    ----------
    temperature : float
        Logits are divided by it; 0 for the likeliest token each time.
    top_p : float
        Share of the probability that is drawn from.
    top_k : int
        How many tokens are drawn from; 0 for all.
    seed : int
        For the draw.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


SAMPLED = Sampling(temperature=0.2, top_p=0.95, top_k=0, seed=0)


@dataclass(frozen=True)
class CodeItem:
    """A program that is to be written.

    Attributes
    ----------
    id : str
        Unique in its task, and the same wherever the item was read from.
    prompt : str
        What the model goes on with, to the letter.
    tests : str
        What stands behind the program on lines of their own.
    entry : str
        Name of the tested function, where tests could be told another one of the same name; see ``Program.entry``.
    """

    id: str
    prompt: str
    tests: str
    entry: str = ""


@dataclass(frozen=True)
class CodeTask:
    """A benchmark of programs.

    Attributes
    ----------
    name, title : str
        Its name on the command line, and its name in the literature.
    hub, revision, subset, split : str
        Where its items stand on the hub; the revision as far as it is known.
    read : callable
        Returns the items of a file in their order. It knows the hub's columns and the layout of the makers' own file,
        which are the same here.
    language : str
        Of the programs; see ``evaluator.sandbox.languages``.
    stops : tuple of str
        What is written counts up to the first of them.
    most_tokens : int
        Prompt and generated text together.
    seconds : float
        What a program may take.
    domain : str
        The domain whose board it belongs to.
    """

    name: str
    title: str
    hub: str
    revision: str
    subset: str
    split: str
    read: Callable[[Path], Sequence[CodeItem]]
    language: str
    stops: tuple[str, ...]
    most_tokens: int = 1024
    seconds: float = 3.0
    domain: str = "code"

    groups: tuple[str, ...] = ()
    converted = False

    @property
    def scorings(self) -> tuple[str, ...]:
        """How it can be scored: a drawn sample, as the reference does, or the likeliest token each time."""
        return ("flowertune", "greedy")

    def prompt(self, item: CodeItem) -> str:
        """Return what the model goes on with."""
        return item.prompt

    def settled(self, _item: CodeItem, text: str) -> bool:
        """Whether nothing that may follow changes what counts of `text`."""
        return any(stop in text for stop in self.stops)

    def completion(self, text: str) -> str:
        """Return as much of what the model has written as counts."""
        return text[: min((text.find(stop) for stop in self.stops if stop in text), default=len(text))]

    def assemble(self, item: CodeItem, completion: str) -> Program:
        """Return the program that is judged: the item's prompt, a completion and the item's tests."""
        return Program(self.language, item.prompt + completion, item.tests, item.entry, self.seconds)


def check(items: Iterable[CodeItem], origin: object) -> list[CodeItem]:
    """Return `items`, if each can be asked and judged.

    Raises
    ------
    EvaluationError
        Names the first item without a prompt or tests, or whose id stands there twice.
    """
    checked: dict[str, CodeItem] = {}
    for item in items:
        for what, text in (("prompt", item.prompt), ("tests", item.tests)):
            if not text.strip():
                raise EvaluationError(f"{origin}: item {item.id!r} has an empty {what}")
        if item.id in checked:
            raise EvaluationError(f"{origin}: the item {item.id!r} stands there twice")
        checked[item.id] = item
    if not checked:
        raise EvaluationError(f"{origin} holds no item")
    return list(checked.values())
