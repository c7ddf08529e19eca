"""Files of evaluation sets, whatever their schema: the texts of each item, to compare records with."""

import re
import unicodedata
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any

from fedlora.shards.rows import json_document, json_lines, kind_of, opened, parquet, table

__all__ = ["ENDINGS", "FEWEST_WORDS", "items", "words"]

ENDINGS = (".jsonl", ".json", ".csv", ".txt", ".parquet")
FEWEST_WORDS = 5  # a text of fewer words is said by chance
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the words of `text` without case: runs of letters, digits and underscores; the rest divides them.

    What is written without blanks, as Chinese is, is a word from mark to mark.
    """
    return _WORD.findall(unicodedata.normalize("NFC", text).casefold())


def items(file: Path) -> Iterator[list[list[str]]]:
    """Yield of each item of an evaluation set its texts of at least ``FEWEST_WORDS`` words, each as its words.

    An item is a line of JSON Lines, an element of a JSON list or a value of a JSON object, a row of CSV or Parquet, or
    a line of text. Its texts are all strings in it, however deep. A line of text that has an ``@`` is a text both with
    and without what stands behind the last one: there the Financial PhraseBank has its label.

    Raises
    ------
    ShardError
        If the file cannot be read.
    """
    suffix = kind_of(file, ENDINGS)
    readers = {".jsonl": json_lines, ".json": _json, ".csv": table, ".txt": _lines, ".parquet": parquet}
    for item in opened(file, readers[suffix]):
        texts = (words(text) for text in _strings(item))
        yield [text for text in texts if len(text) >= FEWEST_WORDS]


def _json(stream: IO[bytes], file: Path | Traversable) -> Iterator[Any]:
    document = json_document(stream, file)
    if isinstance(document, dict):
        yield from document.values()
    else:
        yield from document if isinstance(document, list) else [document]


def _lines(stream: IO[bytes], _: Path | Traversable) -> Iterator[tuple[str, ...]]:
    for line in stream:
        try:
            text = line.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = line.decode("latin-1")  # older sets are
        before, at, _label = text.rpartition("@")
        if text.strip():
            yield (text, before) if at else (text,)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
