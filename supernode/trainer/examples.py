"""Examples and batches: what is fed to the model, and which tokens the loss is taken on."""

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Batch", "Example", "batches", "chunks", "collate", "rows_of_round"]

Ids = Sequence[int] | npt.NDArray[np.int64]
NOT_SCORED = -100  # the label that torch's cross entropy leaves out


@dataclass(frozen=True)
class Example:
    """One record as token ids; the last `answer_length` of them are the answer, with the end of the text if taught."""

    ids: Ids
    answer_length: int


@dataclass(frozen=True)
class Batch:
    """Examples side by side, padded on the left so that all answers end in the last column.

    Attributes
    ----------
    ids, mask, positions : torch.Tensor
        Of shape (examples, longest example), int64.
    labels : torch.Tensor
        Of shape (examples, longest answer), int64: the tokens of the answers, ``NOT_SCORED`` before shorter ones.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor


def collate(examples: Sequence[Example], padding: int) -> Batch:
    """Put `examples` side by side, with the token id `padding` on the left of shorter ones."""
    width = max(len(example.ids) for example in examples)
    answer_width = max(example.answer_length for example in examples)
    ids = torch.full((len(examples), width), padding)
    mask = torch.zeros((len(examples), width), dtype=torch.long)
    labels = torch.full((len(examples), answer_width), NOT_SCORED)
    for row, example in enumerate(examples):
        ids[row, width - len(example.ids) :] = torch.tensor(example.ids)
        mask[row, width - len(example.ids) :] = 1
        labels[row, answer_width - example.answer_length :] = torch.tensor(example.ids[-example.answer_length :])
    return Batch(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), labels)


def rows_of_round(rows: int, wanted: int, *, round_number: int, seed: int) -> list[int]:
    """Return which of `rows` examples are trained on in a round, in order.

    A site walks through its shard in shuffled passes and goes on in each round where the last one ended, so that every
    example is seen once before any is seen twice (the reference draws the same examples in every round).
    """
    first = (round_number - 1) * wanted
    return [_pass(rows, position // rows, seed)[position % rows] for position in range(first, first + wanted)]


_cached: dict[tuple[int, int, int], Sequence[int]] = {}


def _pass(rows: int, number: int, seed: int) -> Sequence[int]:
    key = (rows, number, seed)
    if key not in _cached:
        _cached.clear()
        order = array("I", range(rows))  # a list would take nine times the memory
        random.Random(f"{seed}/{number}").shuffle(order)  # noqa: S311 - reproducible, not secret
        _cached[key] = order
    return _cached[key]


def chunks(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Cut `rows` into runs of `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def batches(examples: Sequence[Example], tokens: int) -> Iterator[list[Example]]:
    """Divide `examples` into batches of like length, each of at most `tokens` tokens with its padding.

    One that is longer than that is a batch of its own.
    """
    batch: list[Example] = []
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if batch and (len(batch) + 1) * len(example.ids) > tokens:
            yield batch
            batch = []
        batch.append(example)
    if batch:
        yield batch
