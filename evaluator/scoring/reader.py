"""Reads prompts with a model: a batch at a time, and what all prompts of a batch begin with only once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

__all__ = ["Read", "Reader"]

FEWEST_SHARED = 8  # tokens; fewer are not worth a pass of their own


@dataclass
class Read:
    """Where a model stands behind what it has read.

    Attributes
    ----------
    logits : torch.Tensor
        Of the next token, of shape (rows, vocabulary), fp32.
    cache : DynamicCache
        Keys and values of all tokens before.
    mask : torch.Tensor
        1 where the cache holds a token and 0 where it holds padding, of shape (rows, places).
    """

    logits: torch.Tensor
    cache: DynamicCache
    mask: torch.Tensor

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but `rows`, which may stand there several times."""
        indices = torch.tensor(rows, device=self.mask.device)
        self.cache.batch_select_indices(indices)
        self.mask = self.mask[indices]


class Reader:
    """Reads prompts and what follows them.

    Parameters
    ----------
    model : PreTrainedModel
        The model, or one with adapters around it.
    padding : int
        The token id to pad with.
    """

    def __init__(self, model: PreTrainedModel, padding: int) -> None:
        self.model = model
        self.padding = padding
        self.device = next(model.parameters()).device

    def read(self, prompts: Sequence[list[int]]) -> Read:
        """Read prompts of at least one token each."""
        shared = _shared(prompts)
        cache = DynamicCache(config=self.model.config)
        if shared:
            start = torch.tensor([prompts[0][:shared]], device=self.device)
            self._forward(start, torch.ones_like(start), cache, 1)
            cache.batch_repeat_interleave(len(prompts))
        width = max(map(len, prompts)) - shared
        rest = [prompt[shared:] for prompt in prompts]
        ids = [[self.padding] * (width - len(row)) + row for row in rest]
        mask = [[1] * shared + [0] * (width - len(row)) + [1] * len(row) for row in rest]
        made = torch.tensor(mask, device=self.device)
        return Read(self._forward(torch.tensor(ids, device=self.device), made, cache, 1)[:, -1], cache, made)

    def go_on(self, read: Read, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Read further tokens of each row, of shape (rows, places); return the logits behind each, fp32.

        Where `mask` is 0, a token is padding. Afterwards `read` stands behind them.
        """
        read.mask = torch.cat([read.mask, torch.ones_like(tokens) if mask is None else mask], 1)
        logits = self._forward(tokens, read.mask, read.cache, tokens.shape[1])
        read.logits = logits[:, -1]
        return logits

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache, keep: int) -> torch.Tensor:
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        output: Any = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return torch.as_tensor(output.logits).float()


def _shared(prompts: Sequence[list[int]]) -> int:
    """Return how many tokens all prompts begin with, at least one being left to each; 0 where it is not worth it."""
    if len(prompts) == 1:
        return 0
    first, last = min(prompts), max(prompts)  # what these two share, all between them share
    most = min(map(len, prompts)) - 1
    shared = next((place for place in range(most) if first[place] != last[place]), most)
    return shared if shared >= FEWEST_SHARED else 0
