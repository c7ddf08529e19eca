"""One round of local training."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from fedlora.errors import TrainerError
from fedlora.recipes import Recipe
from supernode.trainer.examples import NOT_SCORED, Batch, Example, batches, chunks, collate, rows_of_round
from supernode.trainer.model import AdapterModel
from supernode.trainer.optimizer import new_optimizer
from supernode.trainer.out_of_memory import within_memory

__all__ = ["RoundFigures", "train_round"]

LARGEST_GRADIENT = 1.0  # norm, as in the benchmark's reference


@dataclass(frozen=True)
class RoundFigures:
    """What a round of training cost and gave.

    Attributes
    ----------
    examples : int
        Records trained on, each counted as often as it was seen.
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
    rank : int
        Of the adapter that was trained; below the recipe's where the site allows less.
    tokens_at_once : int
        Tokens at once in the last step; below the site's where memory did not take those.
    checkpointing : bool
        Whether activations were computed again for the gradients, for want of memory.
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
    rank: int
    tokens_at_once: int
    checkpointing: bool
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
    optimizer: torch.optim.Optimizer | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> RoundFigures:
    """Train the adapter for ``recipe.steps`` steps of AdamW on the records that this round's turn brings.

    The rate is constant within the round. A step that finds too little memory is begun again in smaller portions, and
    so are those after it.

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
    optimizer : torch.optim.Optimizer, optional
        That of the round; without it, a new one.
    interrupted : callable
        Asked before each step.

    Raises
    ------
    TrainerError
        If a loss is not finite, there is not enough memory for a single record, or when `interrupted` says so.
    """
    started = time.monotonic()
    received = [parameter.detach().clone() for parameter in adapter.parameters] if recipe.proximal else []
    optimizer = optimizer or new_optimizer(recipe, adapter.parameters, round_number)
    turn_of_records = round_number if recipe.records == "next" else 1
    rows = rows_of_round(len(examples), recipe.steps * recipe.batch, round_number=turn_of_records, seed=seed)
    turns = [[examples[row] for row in turn] for turn in chunks(rows, recipe.batch)]
    losses, padded_tokens, portion = [], 0, tokens_at_once
    torch.manual_seed(seed + round_number)  # dropout, the only randomness left
    adapter.model.train()
    for step, turn in enumerate(turns, 1):
        if interrupted():
            raise TrainerError(
                f"round {round_number} was interrupted at step {step}: its deadline passed or its caller left"
            )
        longest = max(len(example.ids) for example in turn)
        (loss, padded), portion = within_memory(
            partial(_gradients, adapter, turn, recipe, padding),
            adapter,
            portion,
            longest=longest,
            all_tokens=longest * len(turn),
        )
        padded_tokens += padded
        if not math.isfinite(loss):
            raise TrainerError(f"the loss is {loss} in step {step} of round {round_number}")
        if received:
            _hold_near(adapter.parameters, received, recipe.proximal)
        torch.nn.utils.clip_grad_norm_(adapter.parameters, LARGEST_GRADIENT)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
    return _figures(adapter, turns, losses, padded_tokens, portion, time.monotonic() - started)


def _gradients(
    adapter: AdapterModel, turn: Sequence[Example], recipe: Recipe, padding: int, tokens_at_once: int
) -> tuple[float, int]:
    """Add up the gradients of a step; return its loss, and the tokens that went through the model."""
    loss, padded_tokens, weight = 0.0, 0, sum(example.answer_length for example in turn)
    for part in batches(turn, tokens_at_once):
        batch = collate(part, padding)
        padded_tokens += batch.ids.numel()
        loss += _backward(adapter, batch, weight, recipe)
    return loss, padded_tokens


def _hold_near(parameters: Sequence[torch.nn.Parameter], received: Sequence[torch.Tensor], strength: float) -> None:
    """Add the gradient of FedProx's term, ``strength / 2`` times the squared distance to what was received.

    Li et al. 2020, arXiv 1812.06127, equation 2. The loss that is told does not have the term.
    """
    for parameter, before in zip(parameters, received, strict=True):
        assert parameter.grad is not None
        parameter.grad.add_(parameter.detach() - before, alpha=strength)


def _backward(adapter: AdapterModel, batch: Batch, weight: int, recipe: Recipe) -> float:
    """Add the gradient of `batch` to the step's; return what it adds to its loss, a mean over `weight` tokens."""
    loss = _summed_loss(adapter, batch, recipe) / weight
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def _summed_loss(adapter: AdapterModel, batch: Batch, recipe: Recipe) -> torch.Tensor:
    """Return the summed cross entropy of the answers' tokens; logits are computed for the answers' columns alone."""
    device = adapter.parameters[0].device
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.compute_precision == "bf16"):
        logits = adapter.model(
            input_ids=batch.ids.to(device),
            attention_mask=batch.mask.to(device),
            position_ids=batch.positions.to(device),
            logits_to_keep=batch.labels.shape[1] + 1,
            use_cache=False,
        ).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1),
        batch.labels.to(logits.device).flatten(),  # of several GPUs, the last
        ignore_index=NOT_SCORED,
        reduction="sum",
    )


def _figures(
    adapter: AdapterModel,
    turns: Sequence[Sequence[Example]],
    losses: Sequence[float],
    padded_tokens: int,
    tokens_at_once: int,
    seconds: float,
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
        rank=adapter.rank,
        tokens_at_once=tokens_at_once,
        checkpointing=adapter.checkpointing,
    )
