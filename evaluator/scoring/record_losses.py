"""Losses of records, one by one, as the trainer takes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from evaluator.membership import Losses, Values
from evaluator.scoring.batches import batches
from evaluator.scoring.examiner import Examiner
from fedlora.errors import EvaluationError
from fedlora.language_model import BaseModel
from fedlora.language_model.encoding import Encoder, padding
from fedlora.language_model.loading import load
from fedlora.recipes import Recipe
from fedlora.shards import Record

__all__ = ["adapter_losses"]

BATCH_TOKENS = 1024  # each with logits of the whole vocabulary
NOT_SCORED = -100


def adapter_losses(
    base: BaseModel,
    adapters: Mapping[str, Path | None],
    recipe: Recipe,
    members: Sequence[Record],
    others: Sequence[Record],
) -> dict[str, Losses]:
    """Return the losses of members and others with each adapter, None being the base model alone.

    Raises
    ------
    BaseModelError
        If the base model cannot be loaded.
    EvaluationError
        If an adapter does not fit it, or a record has no answer to take a loss of.
    """
    model, tokenizer = load(base, precision=recipe.base_precision, compute="fp32")
    examiner = Examiner(model, tokenizer)
    encoder = Encoder(tokenizer, recipe.template, recipe.question, end_of_text=recipe.end_of_text)
    rows = [_cut(encoder, records, recipe.length) for records in (members, others)]
    found = {}
    for name, adapter in adapters.items():
        with examiner.wear(adapter), torch.inference_mode():
            found[name] = Losses(*(_losses(examiner.model, part, padding(tokenizer)) for part in rows))
    return found


def _cut(encoder: Encoder, records: Sequence[Record], length: int) -> list[tuple[list[int], int]]:
    """Return token ids and the answer's length of each record, cut as for training."""
    rows = []
    for record, encoded in zip(records, encoder.examples(records), strict=True):
        answer = encoded.answer[: max(length - encoded.answer_start, length // 2, 1)]
        prompt = encoded.prompt(length - len(answer))
        if not (answer and prompt):
            raise EvaluationError(
                f"the record that begins {record.instruction[:30]!r} has no answer that follows on it"
            )
        rows.append((prompt + answer, len(answer)))
    return rows


def _losses(model: torch.nn.Module, rows: Sequence[tuple[list[int], int]], filling: int) -> Values:
    losses = np.empty(len(rows))
    for batch in batches([len(ids) for ids, _ in rows], BATCH_TOKENS):
        width, widest = (
            max(values) for values in zip(*((len(rows[row][0]), rows[row][1]) for row in batch), strict=True)
        )
        ids = torch.full((len(batch), width), filling)
        mask = torch.zeros_like(ids)
        labels = torch.full((len(batch), widest), NOT_SCORED)
        for place, row in enumerate(batch):
            tokens, answered = rows[row]
            ids[place, width - len(tokens) :] = torch.tensor(tokens)
            mask[place, width - len(tokens) :] = 1
            labels[place, widest - answered :] = torch.tensor(tokens[-answered:])
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            logits_to_keep=widest + 1,
            use_cache=False,
        )
        told = torch.nn.functional.cross_entropy(
            output.logits[:, :-1].float().transpose(1, 2), labels, ignore_index=NOT_SCORED, reduction="none"
        )
        losses[batch] = told.sum(1).double().numpy() / [rows[row][1] for row in batch]
    return losses
