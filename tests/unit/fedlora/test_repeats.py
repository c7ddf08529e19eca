"""Repeated and contradicting records."""

import random

import pytest

from fedlora.shards.records import Record
from fedlora.shards.repeats import Digests, Repeats, normalise


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("a  b\n\tc ", "a b c"),
        ("Cafe\u0301", "Café"),
        ("a\u00a0b\u2028c", "a b c"),
        ("Case, and marks!", "Case, and marks!"),
        (" \n", ""),
    ],
)
def test_normalise(text, normal):
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("later", "duplicates", "contradictions"),
    [
        (Record("Why?", "a", "b"), 1, 0),
        (Record(" Why? ", "a", "b\n"), 1, 0),
        (Record("Why?", "a", "c"), 0, 1),
        (Record("Why?", "c", "b"), 0, 0),
        (Record("why?", "a", "b"), 0, 0),
        (Record("Why? a", "", "b"), 0, 0),  # the fields are not run together
        (Record("Why?", "", "a b"), 0, 0),
    ],
)
def test_a_record_behind_another(later, duplicates, contradictions):
    repeats = Repeats()
    assert not repeats.add(Record("Why?", "a", "b"))
    assert repeats.add(later) is bool(duplicates)
    assert (repeats.duplicates, repeats.contradictions) == (duplicates, contradictions)


def test_each_further_answer_contradicts_and_its_repetition_does_not():
    repeats = Repeats()
    assert [repeats.add(Record("Why?", "", answer)) for answer in "abacb"] == [False, False, True, False, True]
    assert (repeats.duplicates, repeats.contradictions) == (2, 2)


@pytest.mark.parametrize("width", [8, 16])
def test_digests_are_a_set(width):
    generator = random.Random(width)
    # Few different beginnings, which decide the place: many digests are not where they would be first.
    drawn = [
        generator.randbytes(2) + bytes(5) + generator.randbytes(width - 7) if turn % 2 else generator.randbytes(width)
        for turn in range(12_000)
    ]
    digests, expected = Digests(width), set()
    for digest in drawn + drawn[::3]:
        assert digests.add(digest) is (digest not in expected)
        expected.add(digest)
    assert len(digests) == len(expected)


def test_what_a_digest_takes():
    digests = Digests(16)
    for number in range(20_000):
        digests.add(random.Random(number).randbytes(16))
    assert 1.5 * 16 <= len(digests._table) / len(digests) <= 3 * 16
