"""The base model in memory: there from round to round and from run to run, it carries one adapter at a time."""

import gc
import logging

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.recipes import Recipe
from supernode.trainer.model import AdapterModel
from supernode.trainer.settings import Policy

__all__ = ["ResidentModel"]

log = logging.getLogger("fedlora.trainer")


class ResidentModel:
    """A base model that is loaded when it is needed, and again only where a recipe wants it held in another way.

    Parameters
    ----------
    base : BaseModel
        Where the weights are.
    device : str
        Where they go.
    gpus : int
        How many GPUs they are spread over, where that is ``cuda``.
    policy : Policy
        Which ranks the site allows.
    """

    def __init__(self, base: BaseModel, device: str, policy: Policy, gpus: int = 1) -> None:
        self.base = base
        self.device = device
        self.gpus = gpus
        self.policy = policy
        self._held: tuple[str, str] | None = None  # base and compute precision
        self._model: PreTrainedModel | None = None  # None while an adapter has it
        self._adapter: AdapterModel | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None

    def adapted(self, recipe: Recipe) -> tuple[AdapterModel, PreTrainedTokenizerBase]:
        """Return the model with a new adapter of `recipe`, in the place of the one before, and its tokenizer.

        Raises
        ------
        PolicyError
            If the site does not train such an adapter; the one before stays.
        BaseModelError
            If the base model cannot be loaded, or the recipe does not fit it.
        """
        rank = self.policy.rank(recipe)
        model, tokenizer = self._bare(recipe)
        self._adapter = AdapterModel(self.base, model, recipe, rank)
        if rank < recipe.rank:
            log.info("recipe %s: of its rank of %d, %d are trained here", recipe.name, recipe.rank, rank)
        return self._adapter, tokenizer

    def _bare(self, recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return the base model without an adapter, held as `recipe` wants it."""
        held = recipe.base_precision, recipe.compute_precision
        if self._adapter is not None:
            self._model, self._adapter = self._adapter.model.unload(), None
        if held != self._held:
            self._model = self._held = None
            gc.collect()  # before the new one comes
            if self.device == "cuda":
                torch.cuda.empty_cache()
            log.info("loading %s in %s, computing in %s", self.base.name, *held)
        if self._model is None or self._tokenizer is None:
            self._model, self._tokenizer = load(self.base, self.device, *held, gpus=self.gpus)
            self._held = held
        return self._model, self._tokenizer
