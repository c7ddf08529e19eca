"""The optimiser of a round, and its moments as bytes for sites that keep them from round to round."""

import logging

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from fedlora.errors import TrainerError
from fedlora.recipes import Recipe

__all__ = ["check_optimizer", "moments_of", "new_optimizer"]

WHOLE = "whole"  # ends the names of values that are whole numbers and no tensors
log = logging.getLogger("fedlora.trainer")


def new_optimizer(
    recipe: Recipe, parameters: list[torch.nn.Parameter], round_number: int, moments: bytes | None = None
) -> torch.optim.Optimizer:
    """Return the optimiser of a round: AdamW, fused, or with moments of 8 bits.

    Parameters
    ----------
    recipe : Recipe
        Which, its weight decay, and its rate in the round.
    parameters : list of torch.nn.Parameter
        What it steps.
    round_number : int
        Round, from 1.
    moments : bytes, optional
        Those to go on with, as `moments_of` gave them; without, they begin at zero. So they do where these belong to
        other parameters, which the log says.
    """
    rate, decay = recipe.learning_rate_in(round_number), recipe.weight_decay
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "adamw-8bit":
        from bitsandbytes.optim.adamw import AdamW8bit

        optimizer = AdamW8bit(parameters, lr=rate, weight_decay=decay)
    else:
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)
    if moments is not None:
        _restore(optimizer, parameters, moments)
    return optimizer


def moments_of(optimizer: torch.optim.Optimizer) -> bytes:
    """Return the state of each parameter as safetensors, in the order of the parameters."""
    tensors: dict[str, torch.Tensor] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        for key, value in optimizer.state[parameter].items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value.detach().cpu().clone()  # of 8 bits, all share one code book
            else:
                tensors[f"{index}.{key}.{WHOLE}"] = torch.tensor(value)
    return save(tensors)


def check_optimizer(recipe: Recipe, device: str) -> None:
    """Check, by a step on a few values, that the recipe's optimiser works on `device`.

    Raises
    ------
    TrainerError
        If it does not.
    """
    parameter = torch.nn.Parameter(torch.zeros(8192, device=device))  # fewer would not be held in 8 bits
    parameter.grad = torch.ones_like(parameter)
    try:
        new_optimizer(recipe, [parameter], 1).step()
        working = bool(torch.isfinite(parameter).all()) and bool((parameter < 0).all())
    except (ImportError, RuntimeError, NotImplementedError, AttributeError, ValueError) as error:
        raise TrainerError(f"recipe {recipe.name}: {recipe.optimizer} does not work on {device}: {error}") from error
    if not working:
        raise TrainerError(f"recipe {recipe.name}: {recipe.optimizer} does not work on {device}: its step is no step")


def _restore(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], moments: bytes) -> None:
    try:
        tensors = load(moments)
        states: list[dict[str, torch.Tensor | int]] = [{} for _ in parameters]
        for name, value in tensors.items():
            index, key, *whole = name.split(".")
            states[int(index)][key] = int(value) if whole == [WHOLE] else value.to(parameters[int(index)].device)
        for parameter, state in zip(parameters, states, strict=True):
            shapes = {value.shape for value in state.values() if isinstance(value, torch.Tensor)}
            if parameter.shape not in shapes:
                raise ValueError(f"a parameter of {list(parameter.shape)} has no moments of that shape")
    except (SafetensorError, ValueError, IndexError) as error:
        log.warning("the optimiser begins anew, for its moments cannot be used: %s", error)
        return
    for parameter, state in zip(parameters, states, strict=True):
        optimizer.state[parameter].update(state)
