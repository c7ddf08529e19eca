"""Generating texts, many at a time, each the same as if it were generated alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from evaluator.scoring.batches import batches
from evaluator.scoring.reader import Reader

__all__ = ["Choose", "Generator", "Wanted", "likeliest", "sampled"]

LOOK = 4  # tokens between two looks at whether a text is settled
Choose = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]


@dataclass(frozen=True)
class Wanted:
    """A text that is wanted.

    Attributes
    ----------
    prompt : list of int
        Token ids.
    most : int
        New tokens; with 0 there is nothing to generate.
    """

    prompt: list[int]
    most: int


def likeliest(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:  # noqa: ARG001 - see Choose
    """Choose the likeliest token of each row."""
    return logits.argmax(-1)


def sampled(seeds: Sequence[int], temperature: float, top_p: float) -> Choose:
    """Return a choice at random that is the same whatever batch a row is in: each row has a generator of its own.

    Parameters
    ----------
    seeds : sequence of int
        Of each text that is wanted.
    temperature : float
        Logits are divided by it.
    top_p : float
        Of all tokens, the fewest whose probability reaches this are drawn from (Holtzman et al. 2020, arXiv
        1904.09751).
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def choose(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        probabilities, order = (logits / temperature).softmax(-1).cpu().sort(-1, descending=True)
        probabilities[probabilities.cumsum(-1) - probabilities >= top_p] = 0.0
        drawn = [
            int(torch.multinomial(line, 1, generator=generators[row]))
            for line, row in zip(probabilities, rows, strict=True)
        ]
        return order[torch.arange(len(drawn)), torch.tensor(drawn)].to(logits.device)

    return choose


class Generator:
    """Generates texts.

    Parameters
    ----------
    reader : Reader
        Has the model.
    decode : callable
        Returns the text of token ids.
    ends : set of int
        Token ids that end a text and are no part of it.
    most_tokens : int
        In a batch, prompts and what may be generated behind them together.
    """

    def __init__(
        self, reader: Reader, decode: Callable[[list[int]], str], ends: set[int], most_tokens: int = 4096
    ) -> None:
        self.reader = reader
        self.decode = decode
        self.ends = ends
        self.most_tokens = most_tokens

    def generate(
        self,
        wanted: Sequence[Wanted],
        settled: Callable[[int, str], bool] = lambda _row, _text: False,
        choose: Choose = likeliest,
    ) -> Iterator[dict[int, str]]:
        """Yield, batch by batch, the texts that are wanted by their place in `wanted`.

        A text ends where the model ends it, after as many tokens as are allowed, or where it is settled: a look is
        taken every four tokens. What ends leaves its batch.
        """
        idle = {row: "" for row, one in enumerate(wanted) if not one.most}
        if idle:
            yield idle
        rest = [row for row in range(len(wanted)) if row not in idle]
        for batch in batches([len(wanted[row].prompt) + wanted[row].most for row in rest], self.most_tokens):
            yield self._batch([rest[place] for place in batch], wanted, settled, choose)

    def _batch(
        self, rows: list[int], wanted: Sequence[Wanted], settled: Callable[[int, str], bool], choose: Choose
    ) -> dict[int, str]:
        texts: dict[int, str] = {}
        tokens: dict[int, list[int]] = {row: [] for row in rows}
        read = self.reader.read([wanted[row].prompt for row in rows])
        while True:
            chosen = choose(read.logits, rows)
            going = []
            for place, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
                if token not in self.ends:
                    tokens[row].append(token)
                length = len(tokens[row])
                over = token in self.ends or length == wanted[row].most
                text = self.decode(tokens[row]) if over or length % LOOK == 0 else ""
                if over or (length % LOOK == 0 and settled(row, text)):
                    texts[row] = text
                else:
                    going.append(place)
            if not going:
                return texts
            if len(going) < len(rows):
                read.keep(going)
                rows, chosen = [rows[place] for place in going], chosen[going]
            self.reader.go_on(read, chosen[:, None])
