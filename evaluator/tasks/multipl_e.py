"""MultiPL-E: Cassano et al. 2022 (arXiv 2208.08227), HumanEval in JavaScript and in C++."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evaluator.tasks.program import CodeItem, CodeTask, check
from evaluator.tasks.rows import field, read_rows, text
from fedlora.errors import EvaluationError

__all__ = ["MULTIPL_E_CPP", "MULTIPL_E_JS"]

FILE_SEPARATOR = "<file_sep>"  # the reference stops there in every language
JS_STOPS = ("\nfunction ", "\n/*", "\n//", "\nconsole.log")
CPP_STOPS = ("\n}",)


def read(file: Path, language: str, stops: tuple[str, ...]) -> list[CodeItem]:
    """Return the items of a file, whose rows have ``name``, ``language``, ``prompt``, ``tests`` and ``stop_tokens``."""
    return check((_item(row, file, language, stops) for row in read_rows(file)), file)


def _item(row: Mapping[str, Any], file: Path, language: str, stops: tuple[str, ...]) -> CodeItem:
    identity = text(row, file, "name")
    place = f"{file}: item {identity}"
    told, told_stops = text(row, place, "language"), tuple(field(row, place, "stop_tokens"))
    if told != language:
        raise EvaluationError(f"{place} is in {told!r}, not in {language!r}")
    if told_stops != stops:
        raise EvaluationError(f"{place} stops at {told_stops}; this is made for a revision that stops at {stops}")
    return CodeItem(identity, text(row, place, "prompt").strip(), text(row, place, "tests"))


def _task(name: str, title: str, language: str, of: str, stops: tuple[str, ...]) -> CodeTask:
    reader: Callable[[Path], list[CodeItem]] = partial(read, language=of, stops=stops)
    return CodeTask(
        name=name,
        title=title,
        hub="nuprl/MultiPL-E",
        revision="ff5c146d",  # the reference's, of which eight digits are known to us
        subset=f"humaneval-{of}",
        split="test",
        read=reader,
        language=language,
        stops=(*stops, FILE_SEPARATOR),
        seconds=15.0,
    )


MULTIPL_E_JS = _task("multipl-e-js", "MultiPL-E JS", "javascript", "js", JS_STOPS)
MULTIPL_E_CPP = _task("multipl-e-cpp", "MultiPL-E C++", "c++", "cpp", CPP_STOPS)
