"""What the trainer trains on, and what it needs for that: estimated from files, without torch."""

import json
from dataclasses import dataclass

from fedlora.domains import domain
from fedlora.errors import BaseModelError, ShardError
from fedlora.language_model import BaseModel
from fedlora.language_model.adapter_shapes import adapter_tensors
from fedlora.shards import open_shard, read_records
from fedlora.shards.validation import validate
from supernode.doctor.findings import Outcome, check, ok
from supernode.trainer.settings import TrainerSettings

__all__ = ["Needs", "base_model", "needs", "policy", "shard"]

# Fitted to SmolLM2-135M (30 layers of 576 channels, vocabulary of 49,152), whose tokens take about 3 MB each.
BYTES_A_CHANNEL_OF_A_LAYER, BYTES_A_WORD = 132, 14
PROGRAM_BYTES = 400 * 10**6  # Python and torch


@dataclass(frozen=True)
class Needs:
    """What training takes.

    Attributes
    ----------
    model_bytes : int
        The base model's weights.
    memory_bytes : int
        An estimate of all that the trainer takes at once.
    update_bytes : int
        The largest update of any recipe of the policy, at four bytes a value.
    """

    model_bytes: int
    memory_bytes: int
    update_bytes: int


@check("shard")
def shard(settings: TrainerSettings) -> tuple[Outcome, str, str]:
    """Hold the shard to its manifest and to the domain; a plain file is read to its end."""
    wanted = domain(settings.domain)
    if not settings.shard.is_dir():
        records = len(read_records(settings.shard, wanted))
        return ok(f"{settings.shard}, {records} records of {wanted.name}; a plain file, which no manifest guards")
    opened = open_shard(settings.shard, wanted)
    try:
        validate(opened)
    except ShardError as error:
        first, *others = [line.strip().removeprefix("- ") for line in str(error).splitlines()[1:]]
        more = f" (and {len(others)} more)" if others else ""
        raise ShardError(f"{first}{more}; see: fedlora shard validate {settings.shard}") from error
    return ok(f"{settings.shard}, {opened.manifest.records} records of {wanted.name}, as its manifest says")


@check("base model", advice="bring it there, or name another folder in trainer.toml")
def base_model(settings: TrainerSettings) -> tuple[Outcome, str, str]:
    """Look whether the base model is there, and fits every recipe of the policy."""
    if not settings.base_model.is_dir():
        raise BaseModelError(f"{settings.base_model} is no folder")
    found = needs(settings)
    return ok(f"{settings.base_model_name} in {settings.base_model}, {found.model_bytes / 1e6:.0f} MB")


@check("policy")
def policy(settings: TrainerSettings) -> tuple[Outcome, str, str]:
    """Say what others may ask of this site."""
    listed = ", ".join(f"{recipe.name} ({recipe.sha256[:12]})" for recipe in settings.policy.recipes)
    return ok(f"{settings.policy.sha256[:12]} allows the recipes {listed}")


def needs(settings: TrainerSettings) -> Needs:
    """Return what training takes.

    Raises
    ------
    BaseModelError
        If the base model is damaged, or has none of the modules that a recipe targets.
    """
    base = BaseModel(settings.base_model_name, settings.base_model).check()
    updates = [4 * sum(one.size for one in adapter_tensors(base, recipe)) for recipe in settings.policy.recipes]
    weights = sum(file.stat().st_size for file in base.directory.glob("*.safetensors"))
    try:
        about = json.loads((base.directory / "config.json").read_text(encoding="utf-8"))
        layers, channels, words = (int(about[key]) for key in ("num_hidden_layers", "hidden_size", "vocab_size"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BaseModelError(
            f"{base.directory / 'config.json'} does not say how large the model is: {error}"
        ) from error
    token = BYTES_A_CHANNEL_OF_A_LAYER * layers * channels + BYTES_A_WORD * words
    return Needs(weights, PROGRAM_BYTES + weights + settings.tokens_at_once * token, max(updates))
