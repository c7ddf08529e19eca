"""A fuzzer: inputs made of known ones by small changes, and what a target makes of them.

An input that is refused in words that were not heard before (numbers and quotations left out) is known from then on:
so the search goes deeper without measuring which lines ran.
"""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedlora.errors import FedloraError

__all__ = ["Report", "Target", "fuzz", "mutated"]

MOST_KNOWN, LONGEST = 2000, 64 * 2**10
SLOW_SECONDS = 10.0
TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\n", b"\r\n", b"\0", b"=", b"#", b"'", b'"""', b"\xef\xbb\xbf"),
    *(b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"-0.0", b"9" * 400, b"9" * 5000, b"0x7f"),
    *(b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"\xed\xa0\x80", b"../", b"/", b"[" * 3000, b'{"a":' * 3000),
    *(b"inf", b"nan", b"1979-05-27", b"[[site]]", b"[run]", b"a.b.c = 1", b"\x1b[31m"),
    *(n.to_bytes(8, "little") for n in (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)),
)


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes
    ----------
    name : str
        What it is.
    seeds : tuple of bytes
        Inputs to begin with, right ones among them.
    take : callable
        Takes an input. It may refuse it by one of our errors; whatever else it raises, is a finding.
    """

    name: str
    seeds: tuple[bytes, ...]
    take: Callable[[bytes], object]


@dataclass
class Report:
    """What came of it.

    Attributes
    ----------
    target : str
        What was fuzzed.
    inputs, taken : int
        How many were tried, and how many of them were no error.
    seconds : float
        How long.
    refusals : set of str
        In which words inputs were refused.
    findings : dict
        An input for each kind of failure.
    """

    target: str
    inputs: int = 0
    taken: int = 0
    seconds: float = 0.0
    refusals: set[str] = field(default_factory=set)
    findings: dict[str, bytes] = field(default_factory=dict)


def fuzz(target: Target, *, seconds: float = float("inf"), inputs: float = float("inf"), seed: int = 0) -> Report:
    """Try inputs until either limit is reached; the seeds come first, as they are."""
    draw, known, report = random.Random(seed), list(target.seeds), Report(target.name)
    began = time.monotonic()
    while report.inputs < inputs and report.seconds < seconds:
        first = report.inputs < len(target.seeds)
        data = target.seeds[report.inputs] if first else mutated(draw, known)
        if _try(target, data, report) and len(known) < MOST_KNOWN:
            known.append(data)
        report.inputs += 1
        report.seconds = time.monotonic() - began
    return report


def _try(target: Target, data: bytes, report: Report) -> bool:
    """Give the target an input; return whether it was refused as none before."""
    began = time.monotonic()
    try:
        target.take(data)
        report.taken += 1
    except FedloraError as error:
        if not _writable(str(error)):
            report.findings.setdefault(f"{type(error).__name__} whose text no log can take", data)
        words = re.sub(r"""[0-9]+|'[^']*'|"[^"]*\"""", "*", str(error))[:200]
        fresh = words not in report.refusals and len(report.refusals) < MOST_KNOWN
        if fresh:
            report.refusals.add(words)
        return fresh
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        line = "" if place is None else f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
        report.findings.setdefault(f"{type(error).__name__}{line}: {ascii(str(error))[:200]}", data)
    finally:
        if (took := time.monotonic() - began) > SLOW_SECONDS:
            report.findings.setdefault(f"took {took:.0f} s", data)
    return False


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def mutated(draw: random.Random, known: Sequence[bytes]) -> bytes:
    """Return one of the known inputs after one to eight changes."""
    data = bytearray(draw.choice(known))
    for _ in range(draw.choice((1, 1, 1, 2, 2, 4, 8))):
        draw.choice(CHANGES)(draw, data, known)
    return bytes(data[:LONGEST])


def _place(draw: random.Random, data: bytearray) -> slice:
    start = draw.randint(0, len(data))
    return slice(start, min(len(data), start + draw.choice((0, 1, 1, 2, 4, 8, 16, 64))))


def _flip(draw: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _overwrite(draw: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    place = _place(draw, data)
    data[place] = draw.randbytes(place.stop - place.start)


def _delete(draw: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_place(draw, data)]


def _repeat(draw: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    place = _place(draw, data)
    data[place.start : place.start] = bytes(data[place]) * draw.choice((1, 2, 8, 100))


def _insert(draw: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[_place(draw, data)] = draw.choice(TOKENS)


def _number(draw: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    found = list(re.finditer(rb"-?[0-9]+(?:\.[0-9]+)?", data))
    if found:
        chosen = draw.choice(found)
        replaced = draw.choice((b"0", b"-1", b"1e999", b"1.5", b"true", b'"1"', b"9" * 30, b"9" * 400, b"4294967296"))
        data[chosen.start() : chosen.end()] = replaced


def _text(draw: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    found = list(re.finditer(rb'"[^"\n]*"', data))
    if found:
        chosen = draw.choice(found)
        replaced = draw.choice((b'""', b"7", b"null", b'"\\ud800"', b"[]", b'"' + b"x" * 5000 + b'"', b'"\\n"'))
        data[chosen.start() : chosen.end()] = replaced


def _splice(draw: random.Random, data: bytearray, known: Sequence[bytes]) -> None:
    other = draw.choice(known)
    data[draw.randint(0, len(data)) :] = other[draw.randint(0, len(other)) :]


CHANGES = (_flip, _overwrite, _delete, _repeat, _insert, _number, _text, _splice)
