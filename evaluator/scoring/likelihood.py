"""Log-likelihoods of a few continuations of each prompt."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from evaluator.scoring.batches import batches
from evaluator.scoring.reader import Read, Reader

__all__ = ["Asked", "log_likelihoods"]


class Asked(NamedTuple):
    """A prompt, and the continuations that are compared; all as token ids, none empty."""

    prompt: list[int]
    continuations: list[list[int]]


def log_likelihoods(
    reader: Reader, asked: Sequence[Asked], most_tokens: int = 4096
) -> Iterator[dict[int, list[float]]]:
    """Yield, batch by batch, the log-likelihood in nats of each continuation, by the prompt's place in `asked`.

    A prompt is read once for all its continuations; the first token of each is told by the distribution behind it, so
    that labels of one token take one pass.
    """
    for rows in batches([len(one.prompt) for one in asked], most_tokens):
        read = reader.read([asked[row].prompt for row in rows])
        first = read.logits.log_softmax(-1)
        found: dict[int, list[float]] = {row: [] for row in rows}
        for choice in range(max(len(asked[row].continuations) for row in rows)):
            having = [row for row in rows if choice < len(asked[row].continuations)]
            heads = {row: asked[row].continuations[choice][0] for row in having}
            sums = {row: float(first[place, heads[row]]) for place, row in enumerate(rows) if row in heads}
            tails = [asked[row].continuations[choice] if row in heads else [reader.padding] for row in rows]
            for row, more in zip(rows, _behind(reader, read, tails), strict=True):
                if row in sums:
                    found[row].append(sums[row] + more)
        yield found


def _behind(reader: Reader, read: Read, continuations: list[list[int]]) -> list[float]:
    """Return the log-likelihood of what follows the first token of each continuation; `read` is left as it was."""
    width = max(map(len, continuations)) - 1
    if width == 0:
        return [0.0] * len(continuations)
    mask, logits = read.mask, read.logits
    ids = torch.tensor([line[:-1] + [reader.padding] * (width - len(line) + 1) for line in continuations])
    there = torch.tensor([[1] * (len(line) - 1) + [0] * (width - len(line) + 1) for line in continuations])
    said = reader.go_on(read, ids.to(reader.device), there.to(reader.device)).log_softmax(-1).cpu()
    read.cache.crop(-width)
    read.mask, read.logits = mask, logits
    next_ids = torch.tensor([line[1:] + [reader.padding] * (width - len(line) + 1) for line in continuations])
    return [float(one) for one in (said.gather(-1, next_ids[..., None])[..., 0] * there).sum(1)]
