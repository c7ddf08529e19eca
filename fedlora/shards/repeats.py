"""Repeated records, found while they pass by."""

import hashlib
import unicodedata

from fedlora.shards.records import Record

__all__ = ["Digests", "Repeats", "normalise"]


def normalise(text: str) -> str:
    """Return `text` in Unicode's composed form (NFC), each run of white space as one blank, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


class Digests:
    """A set of digests of `width` bytes, 8 or more, each of which takes 1.5 to 3 times its width in memory.

    (In a set of Python's own, one of 16 bytes takes 90 to 120.) It is an open-addressing hash table with linear
    probing, at most two thirds full, which doubles; while it does, both tables are there.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._free = bytes(width)  # what stands in a slot that is not taken; no digest is all zeros
        self._slots = 1024
        self._table = bytearray(self._slots * width)
        self._taken = 0

    def __len__(self) -> int:
        return self._taken

    def add(self, digest: bytes) -> bool:
        """Put in a digest; say whether it was new."""
        start = self._find(digest)
        if self._table[start : start + self._width] == digest:
            return False
        self._table[start : start + self._width] = digest
        self._taken += 1
        if 3 * self._taken > 2 * self._slots:
            self._grow()
        return True

    def _find(self, digest: bytes) -> int:
        """Return where the slot of `digest` begins, or the free one that it would take."""
        slot = int.from_bytes(digest[:8], "little") & (self._slots - 1)
        while True:
            start = slot * self._width
            found = self._table[start : start + self._width]
            if found in (digest, self._free):
                return start
            slot = (slot + 1) & (self._slots - 1)

    def _grow(self) -> None:
        before = self._table
        self._slots *= 2
        self._table = bytearray(self._slots * self._width)
        for first in range(0, len(before), self._width):
            digest = before[first : first + self._width]
            if digest != self._free:
                start = self._find(bytes(digest))
                self._table[start : start + self._width] = digest


class Repeats:
    """Finds records that repeat earlier ones, and those that contradict them.

    Texts are compared after `normalise`. Memory: 36 to 72 bytes for each record, up to 108 while a table doubles.

    Attributes
    ----------
    duplicates : int
        Records whose instruction, input and answer were there before.
    contradictions : int
        Records whose instruction and input were there before, and whose answer was not.
    """

    def __init__(self) -> None:
        self._examples = Digests(16)
        self._questions = Digests(8)  # shorter: what is found in here is only counted
        self.duplicates = 0
        self.contradictions = 0

    def add(self, record: Record) -> bool:
        """Note `record`; say whether it is a duplicate."""
        question = f"{normalise(record.instruction)}\n{normalise(record.input)}".encode()  # no line end is within
        asked = hashlib.blake2b(question, digest_size=16)
        new_question = self._questions.add(asked.digest()[:8])
        asked.update(b"\n" + normalise(record.output).encode())
        if not self._examples.add(asked.digest()):
            self.duplicates += 1
            return True
        self.contradictions += not new_question
        return False
