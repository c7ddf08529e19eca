"""The answer to one item, as it is kept: enough to score it again without the model."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fedlora.config import from_mapping, keyed
from fedlora.errors import ConfigurationError, EvaluationError

__all__ = ["Answer", "append_answers", "read_answers"]


@dataclass(frozen=True)
class Answer:
    """What came of one item.

    Attributes
    ----------
    id : str
        The item's, unique in its task.
    sample : int
        Which of several generations for the same item, from 0.
    group : str
        Part of the task that is reported for itself, as MMLU's ``stem``; empty where there are none.
    gold : str
        The label that is right; empty where a program decides.
    text : str
        What the model wrote, before anything is cut off; empty where likelihoods decide.
    likelihoods : Mapping[str, float]
        Log-likelihood of each label's text in nats, with the answer as context; empty where text was written.
    tokens : Mapping[str, int]
        Tokens of each label's text, for whoever wants to divide by them.
    chosen : str
        The label that was read out of the text, or is likeliest; for programs ``passed``, or how they ended otherwise.
        Empty if nothing could be read.
    correct : bool
        Whether the item counts as solved.
    prompt_tokens : int
        Length of the prompt as the model saw it.
    cut : int
        Tokens that were cut off at the beginning of the prompt because it did not fit the model's context.
    """

    id: str
    sample: int = 0
    group: str = ""
    gold: str = ""
    text: str = ""
    likelihoods: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    chosen: str = ""
    correct: bool = False
    prompt_tokens: int = 0
    cut: int = 0


def append_answers(answers: Iterable[Answer], file: Path) -> None:
    """Add `answers` to `file`, a line of JSON each."""
    with file.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(keyed(asdict(one)), ensure_ascii=False) + "\n" for one in answers)


def read_answers(file: Path) -> Iterator[Answer]:
    """Yield what stands in `file`, in its order; a last line that a kill cut in two is left out.

    Raises
    ------
    EvaluationError
        If a line is no answer, or an item stands there twice.
    """
    seen: set[tuple[str, int]] = set()
    for number, line in enumerate(file.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            return
        try:
            answer = from_mapping(Answer, json.loads(line), origin=f"{file}, line {number}")
        except (ValueError, ConfigurationError) as error:
            raise EvaluationError(f"{file}, line {number}, is no answer to an item: {error}") from error
        if (answer.id, answer.sample) in seen:
            raise EvaluationError(
                f"{file}, line {number}: item {answer.id!r}, sample {answer.sample}, stands there twice"
            )
        seen.add((answer.id, answer.sample))
        yield answer
