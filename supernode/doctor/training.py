"""What the trainer trains on, and what it needs for that: estimated from files, without torch."""

from dataclasses import replace

from fedlora.domains import domain
from fedlora.errors import BaseModelError, ShardError
from fedlora.language_model import BaseModel
from fedlora.shards import iterate_records, open_shard
from fedlora.shards.validation import validate
from supernode.doctor.findings import Outcome, check, ok
from supernode.needs import Needs, needs
from supernode.trainer.settings import TrainerSettings

__all__ = ["base_model", "largest_needs", "policy", "shard"]


@check("shard")
def shard(settings: TrainerSettings) -> tuple[Outcome, str, str]:
    """Hold the shard to its manifest and to the domain; a plain file is read to its end."""
    wanted = domain(settings.domain)
    if not settings.shard.is_dir():
        records = sum(1 for _ in iterate_records(settings.shard, wanted))
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
    largest_needs(settings)
    size = sum(file.stat().st_size for file in settings.base_model.glob("*.safetensors"))
    return ok(f"{settings.base_model_name} in {settings.base_model}, {size / 1e6:.0f} MB")


@check("policy")
def policy(settings: TrainerSettings) -> tuple[Outcome, str, str]:
    """Say what others may ask of this site."""
    listed = ", ".join(f"{recipe.name} ({recipe.sha256[:12]})" for recipe in settings.policy.recipes)
    return ok(f"{settings.policy.sha256[:12]} allows the recipes {listed}")


def largest_needs(settings: TrainerSettings) -> Needs:
    """Return what the recipe of the policy that takes most memory takes, and the largest update of any.

    A recipe that the policy's ranks do not allow is counted as if they did: its update is that of the others.

    Raises
    ------
    BaseModelError
        If the base model is damaged, or has none of the modules that a recipe targets.
    """
    base, limit = BaseModel(settings.base_model_name, settings.base_model).check(), settings.policy.most_rank
    all_needs = [
        needs(
            base,
            recipe,
            settings.tokens_at_once,
            device=settings.device,
            rank=min(recipe.rank, limit or recipe.rank),
        )
        for recipe in settings.policy.recipes
    ]
    largest = max(all_needs, key=lambda one: one.memory)
    return replace(largest, update=max(one.update for one in all_needs))
