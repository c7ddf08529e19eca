"""What a step does that finds no memory: the same step in smaller portions, so that nothing is lost but time."""

import ctypes
import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from fedlora.errors import TrainerError
from supernode.trainer.model import AdapterModel

__all__ = ["give_back", "within_memory"]

# What is said on CPUs, in a RuntimeError that has no kind of its own: by torch's allocator, and by oneDNN, whose
# products need memory of their own.
SAID_ON_CPU = ("can't allocate memory", "not enough memory", "could not create a primitive")
log = logging.getLogger("fedlora.trainer")
Result = TypeVar("Result")


def within_memory(
    step: Callable[[int], Result], adapter: AdapterModel, tokens_at_once: int, *, longest: int, all_tokens: int
) -> tuple[Result, int]:
    """Call `step` with `tokens_at_once`, and again with half of it for as long as there is not enough memory.

    Before each try the gradients are empty and the generators of random numbers stand where they stood. Where the
    longest record alone is too much, gradient checkpointing is switched on, which the model keeps.

    Parameters
    ----------
    step : callable
        Adds up the gradients of a step, of which it has so many tokens at once.
    adapter : AdapterModel
        What is trained.
    tokens_at_once : int
        The first try.
    longest, all_tokens : int
        Tokens of the longest record of the step, and of all with their padding.

    Returns
    -------
    tuple
        What `step` has returned, and the tokens at once with which it did.

    Raises
    ------
    TrainerError
        If there is not enough memory for one record with gradient checkpointing.
    """
    device = adapter.parameters[0].device
    random = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    while True:
        try:
            return step(tokens_at_once), tokens_at_once
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not _is_lack_of_memory(error):
                raise
            said = str(error).partition("\n")[0]
        # Out of the handler, where the error no longer holds the step's tensors.
        for parameter in adapter.parameters:
            parameter.grad = None
        gc.collect()
        torch.set_rng_state(random[0])
        if random[1] is not None:
            torch.cuda.empty_cache()
            torch.cuda.set_rng_state(random[1], device)
        tokens_at_once = _less(adapter, tokens_at_once, longest, all_tokens, said)


def _less(adapter: AdapterModel, tokens_at_once: int, longest: int, all_tokens: int, said: str) -> int:
    """Return fewer tokens at once; where there can be no fewer, switch gradient checkpointing on."""
    if tokens_at_once > longest:
        fewer = max(min(tokens_at_once, all_tokens) // 2, longest)
        log.warning("out of memory with %d tokens at once; %d from now on (%s)", tokens_at_once, fewer, said)
        return fewer
    if adapter.checkpointing:
        raise TrainerError(
            f"out of memory with one record of {longest} tokens at once and gradient checkpointing: give the trainer "
            f"more memory, or choose a recipe with shorter records or a smaller base precision ({said})"
        )
    log.warning("out of memory with one record at once; gradient checkpointing from now on (%s)", said)
    adapter.checkpoint_gradients()
    return tokens_at_once


def _is_lack_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID_ON_CPU)


def give_back() -> None:
    """Give the system back what is free: glibc's malloc keeps it otherwise, and a bit more with each round's lengths.

    Without, a trainer of SmolLM2 held 700 MiB more between rounds. Other C libraries have no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
