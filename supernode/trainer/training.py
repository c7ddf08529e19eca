"""One round of local training."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fedlora.errors import TrainerError
from fedlora.recipes import Recipe
from supernode.trainer.examples import NOT_SCORED, Batch, Example, batches, chunks, collate, rows_of_round
from supernode.trainer.model import AdapterModel

__all__ = ["RoundFigures", "train_round"]

LARGEST_GRADIENT = 1.0  # norm, as in the benchmark's reference


@dataclass(frozen=True)
class RoundFigures:
    """What a round of training cost and gave.

    Attributes
    ----------
    examples : int
        Records trained on, each counted as often as it was seen; the weight of the update.
    tokens : int
        Tokens fed to the model, padding left out.
    padded_tokens : int
        The same with padding.
    answer_tokens : int
        Tokens the loss was taken on.
    loss, first_loss, last_loss : float
        Mean cross entropy in nats for each answer token: over the round, in its first and in its last step.
    train_seconds : float
        Wall-clock time.
    gpu_seconds : float or None
        Wall-clock time of GPUs; None without one.
    gpu_joules : float or None
        Energy of the GPUs meanwhile; None where it is not counted.
    """

    examples: int
    tokens: int
    padded_tokens: int
    answer_tokens: int
    loss: float
    first_loss: float
    last_loss: float
    train_seconds: float
    gpu_seconds: float | None = None
    gpu_joules: float | None = None


def train_round(
    adapter: AdapterModel,
    examples: Sequence[Example],
    recipe: Recipe,
    round_number: int,
    *,
    seed: int,
    padding: int,
    tokens_at_once: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> RoundFigures:
    """Train the adapter for ``recipe.steps`` steps of AdamW on the records that this round's turn brings.

    The optimiser starts fresh each round, without weight decay; the rate is constant within the round.

    Parameters
    ----------
    adapter : AdapterModel
        Changed in place.
    examples : sequence of Example
        The whole shard.
    recipe : Recipe
        Steps, batch and learning rate.
    round_number : int
        Round, from 1.
    seed : int
        Order of the records.
    padding : int
        Token id for padding.
    tokens_at_once : int
        Tokens, padding included, that go through the model at once; a step's gradient is summed over as many passes
        as it takes. It bounds memory and does not change what is learned.
    interrupted : callable
        Asked before each step.

    Raises
    ------
    TrainerError
        If a loss is not finite, or when `interrupted` says so.
    """
    started = time.monotonic()
    optimizer = torch.optim.AdamW(adapter.parameters, lr=recipe.learning_rate_in(round_number), weight_decay=0.0)
    rows = rows_of_round(len(examples), recipe.steps * recipe.batch, round_number=round_number, seed=seed)
    turns = [[examples[row] for row in turn] for turn in chunks(rows, recipe.batch)]
    losses, padded_tokens = [], 0
    torch.manual_seed(seed + round_number)  # dropout, the only randomness left
    adapter.model.train()
    for step, turn in enumerate(turns, 1):
        if interrupted():
            raise TrainerError(
                f"round {round_number} was interrupted at step {step}: its deadline passed or its caller left"
            )
        loss, weight = 0.0, sum(example.answer_length for example in turn)
        for part in batches(turn, tokens_at_once):
            batch = collate(part, padding)
            padded_tokens += batch.ids.numel()
            loss += _backward(adapter, batch, weight)
        if not math.isfinite(loss):
            raise TrainerError(f"the loss is {loss} in step {step} of round {round_number}")
        torch.nn.utils.clip_grad_norm_(adapter.parameters, LARGEST_GRADIENT)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
    return _figures(turns, losses, padded_tokens, time.monotonic() - started)


def _backward(adapter: AdapterModel, batch: Batch, weight: int) -> float:
    """Add the gradient of `batch` to the step's; return what it adds to its loss, a mean over `weight` tokens."""
    loss = _summed_loss(adapter, batch) / weight
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def _summed_loss(adapter: AdapterModel, batch: Batch) -> torch.Tensor:
    """Return the summed cross entropy of the answers' tokens; logits are computed for the answers' columns alone."""
    device = adapter.parameters[0].device
    with torch.autocast(device.type, torch.bfloat16):
        logits = adapter.model(
            input_ids=batch.ids.to(device),
            attention_mask=batch.mask.to(device),
            position_ids=batch.positions.to(device),
            logits_to_keep=batch.labels.shape[1] + 1,
            use_cache=False,
        ).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1),
        batch.labels.to(device).flatten(),
        ignore_index=NOT_SCORED,
        reduction="sum",
    )


def _figures(
    turns: Sequence[Sequence[Example]], losses: Sequence[float], padded_tokens: int, seconds: float
) -> RoundFigures:
    weights = [sum(example.answer_length for example in turn) for turn in turns]
    return RoundFigures(
        examples=sum(len(turn) for turn in turns),
        tokens=sum(len(example.ids) for turn in turns for example in turn),
        padded_tokens=padded_tokens,
        answer_tokens=sum(weights),
        loss=sum(loss * weight for loss, weight in zip(losses, weights, strict=True)) / sum(weights),
        first_loss=losses[0],
        last_loss=losses[-1],
        train_seconds=seconds,
    )
