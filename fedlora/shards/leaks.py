"""Records that stand in evaluation sets: a score on those would say what was remembered, not what was learned."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from fedlora.errors import ShardError
from fedlora.shards.evaluation_sets import FEWEST_WORDS, items, words
from fedlora.shards.preparation import Overlap, name_of
from fedlora.shards.records import Record

__all__ = ["WORDS", "LeakCheck"]

WORDS = 13  # as Brown et al. 2020
MOST_ITEMS = 10  # what stands in more items of a set is its template


class LeakCheck:
    """Compares records with evaluation sets, as Brown et al. 2020 (arXiv 2005.14165, appendix C) do.

    The sets are read at once and kept as hashes, about 100 bytes for each of their words; the records pass by. A record
    overlaps *exactly* with a set if its question, with or without the instruction, is a text of it; and *partially* if
    any of its texts shares a sequence of `length` words with it, or is shorter and a text of it. Sequences that stand
    in more than ``MOST_ITEMS`` items of a set are its template, and count for nothing.

    Parameters
    ----------
    files : sequence of Path
        The evaluation sets; see `items`.
    length : int
        How many words in a row must be the same.

    Raises
    ------
    ShardError
        If a file cannot be read, has no texts, or is named twice.
    """

    def __init__(self, files: Sequence[Path], length: int = WORDS) -> None:
        self.length = length
        self._files: list[tuple[str, str, int]] = []  # name, hash, number of items
        self._texts: dict[int, int] = {}  # hash of a text's words: the sets that have it, a bit each
        self._sequences: dict[int, int] = {}  # the same for each sequence of `length` words
        self._exact, self._partial = Counter[int](), Counter[int]()
        for file in files:
            self._read(file)

    def add(self, record: Record) -> bool:
        """Compare `record` and count it; say whether it overlaps with any set."""
        fields = [words(text) for text in (record.instruction, record.input, record.output)]
        instruction, about, _ = fields
        exact = self._texts.get(_hash(instruction + about), 0)
        if about:
            exact |= self._texts.get(_hash(about), 0)
        partial = 0
        for field in fields:
            if len(field) < self.length:
                partial |= self._texts.get(_hash(field), 0)
            else:
                for sequence in _sequences(field, self.length):
                    partial |= self._sequences.get(sequence, 0)
        for number in range(len(self._files)):
            if exact >> number & 1:
                self._exact[number] += 1
            elif partial >> number & 1:
                self._partial[number] += 1
        return bool(exact | partial)

    def overlaps(self) -> tuple[Overlap, ...]:
        """Return what was found until now, by file."""
        return tuple(
            Overlap(name, sha256, count, self.length, self._exact[number], self._partial[number])
            for number, (name, sha256, count) in enumerate(self._files)
        )

    def _read(self, file: Path) -> None:
        texts, sequences, count = Counter[int](), Counter[int](), 0
        for item in items(file):
            count += bool(item)
            texts.update({_hash(text) for text in item})
            sequences.update({sequence for text in item for sequence in _sequences(text, self.length)})
        if not texts:
            raise ShardError(f"{file}: has no text of at least {FEWEST_WORDS} words to compare records with")
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if any(sha256 == known for _, known, _ in self._files):
            raise ShardError(f"{file}: is named twice among the evaluation sets, or a copy is; name it once")
        bit = 1 << len(self._files)
        for found, kept in ((texts, self._texts), (sequences, self._sequences)):
            for key, often in found.items():
                if often <= MOST_ITEMS:
                    kept[key] = kept.get(key, 0) | bit
        self._files.append((name_of(str(file)), sha256, count))


def _hash(text: list[str]) -> int:
    return hash(tuple(text))  # 64 bits


def _sequences(text: list[str], length: int) -> Iterator[int]:
    for first in range(len(text) - length + 1):
        yield hash(tuple(text[first : first + length]))
