"""What a site's owner sets for the trainer, and the policy that every call is held against."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fedlora.errors import PolicyError
from fedlora.federation import Federation, Resources, Site, SitePolicy
from fedlora.federation.checks import missing_for_privacy
from fedlora.federation.description import Device, Figures
from fedlora.metrics.catalogue import Area
from fedlora.recipes import Recipe

__all__ = ["Policy", "TrainerSettings"]

# What of a round's figures a site may keep to itself; the others are seconds, and the weight of its update.
AREAS = {
    **dict.fromkeys(("loss", "first_loss", "last_loss", "tokens", "padded_tokens", "answer_tokens"), Area.TRAINING),
    **dict.fromkeys(("gpu_seconds", "gpu_joules", "rank", "tokens_at_once", "checkpointing"), Area.RESOURCES),
}


@dataclass(frozen=True)
class Policy:
    """What the site allows others to ask of its trainer.

    Attributes
    ----------
    recipes : tuple of Recipe
        The recipes that may be trained, with all their values; a caller names one and cannot change any.
    codecs : tuple of str
        Codecs in which an adapter may come and an update may leave.
    fewest_examples : int
        An update must come from at least as many records.
    largest_norm : float
        Largest Euclidean norm of an incoming adapter.
    figures : tuple of str
        Areas of metrics that may leave the site; of a round's figures, training and resources are asked for.
    most_rank : int
        Highest rank that is trained: of an adapter above it the first part is; 0 for the recipe's, whatever it is.
    clip_norm : float
        Euclidean norm at which an update is cut off before it leaves; 0 for none.
    noise_multiplier : float
        Standard deviation of the noise on each value of an update, in clip norms; 0 for no noise.
    epsilon_limit : float
        Largest epsilon of all updates together, over all runs; 0 for no limit.
    delta : float
        The delta that goes with it.
    most_updates : int
        Updates that are given in all; 0 for no limit.
    most_runs : int
        Runs that are opened in all; 0 for no limit.
    """

    recipes: tuple[Recipe, ...]
    codecs: tuple[str, ...] = SitePolicy.codecs
    fewest_examples: int = SitePolicy.fewest_examples
    largest_norm: float = SitePolicy.largest_norm
    figures: Figures = SitePolicy.figures
    most_rank: int = SitePolicy.most_rank
    clip_norm: float = SitePolicy.clip_norm
    noise_multiplier: float = SitePolicy.noise_multiplier
    epsilon_limit: float = SitePolicy.epsilon_limit
    delta: float = SitePolicy.delta
    most_updates: int = SitePolicy.most_updates
    most_runs: int = SitePolicy.most_runs

    def __post_init__(self) -> None:
        if not self.recipes:
            raise ValueError("recipes is empty; the trainer would refuse every run")
        if not self.codecs:
            raise ValueError("codecs is empty; the trainer would refuse every run")
        if self.fewest_examples < 1:
            raise ValueError(f"fewest-examples is {self.fewest_examples}; it must be at least 1")
        if self.most_rank < 0:
            raise ValueError(f"most-rank is {self.most_rank}; it must be at least 0")
        for key in ("clip_norm", "noise_multiplier", "epsilon_limit", "most_updates", "most_runs"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ValueError(f"{key.replace('_', '-')} is {getattr(self, key)}; it must be at least 0, and finite")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta is {self.delta}; it must be above 0 and below 1")
        if missing := missing_for_privacy(self.clip_norm, self.noise_multiplier, self.epsilon_limit):
            raise ValueError(missing)

    @property
    def sha256(self) -> str:
        """The hash that tells which policy an answer was given under."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def recipe(self, sha256: str) -> Recipe:
        """Return the allowed recipe with the hash `sha256`.

        Raises
        ------
        PolicyError
            If the policy lists no such recipe.
        """
        for recipe in self.recipes:
            if recipe.sha256 == sha256:
                return recipe
        listed = ", ".join(f"{recipe.name} ({recipe.sha256[:12]})" for recipe in self.recipes)
        raise PolicyError(f"recipe {sha256[:12]} is not on this site's list: {listed}")

    def rank(self, recipe: Recipe) -> int:
        """Return the rank at which `recipe` is trained here.

        Raises
        ------
        PolicyError
            If that is less than the recipe's, and its adapter is a DoRA one: its magnitudes hold for the directions of
            the whole adapter, and a part of it has others.
        """
        if not 0 < self.most_rank < recipe.rank:
            return recipe.rank
        if recipe.adapter == "dora":
            raise PolicyError(
                f"recipe {recipe.name} trains a DoRA adapter of rank {recipe.rank}, and this site at most rank "
                f"{self.most_rank}; a DoRA adapter cannot be trained in part"
            )
        return self.most_rank

    def allow_codec(self, codec: str) -> None:
        """Check that adapters may come, and updates leave, in `codec`.

        Raises
        ------
        PolicyError
            If the policy does not list it.
        """
        if codec not in self.codecs:
            raise PolicyError(f"codec {codec!r} is not on this site's list: {', '.join(self.codecs)}")

    def allowed(self, figures: Mapping[str, float | None]) -> dict[str, float]:
        """Return those of a round's figures that are there and may leave the site."""
        return {
            name: float(value)
            for name, value in figures.items()
            if value is not None and (name not in AREAS or AREAS[name] in self.figures)
        }


@dataclass(frozen=True)
class TrainerSettings:
    """The trainer's file, ``trainer.toml``.

    Attributes
    ----------
    site : str
        Name of the site, for its own log.
    domain : str
        Domain of the shard.
    shard : Path
        The records, a shard folder or a plain file; read here and nowhere else.
    base_model : Path
        Folder of the base model.
    base_model_name : str
        Its name, as it goes into adapters.
    base_model_sha256 : str
        Hash that it must have; empty for any.
    state : Path
        Folder that outlives the process.
    socket : Path
        Unix socket to listen on.
    threads : int
        Cores this trainer may use; trainers of one machine share its cores.
    tokens_at_once : int
        Tokens that go through the model at once, padding included: what decides the trainer's memory. About 3 MB each
        for a model of 135 million parameters with a vocabulary of 49,152.
    seed : int
        Decides the order of records; the site's own, never a caller's.
    device : str
        What to compute on: ``cpu``, or ``cuda`` for a GPU of NVIDIA's.
    gpus : int
        GPUs that the base model is spread over, where `device` is ``cuda``.
    step_seconds : float
        How long a step of training may take before the trainer is taken to hang, and ended.
    """

    site: str
    domain: str
    shard: Path
    base_model: Path
    base_model_name: str
    state: Path
    socket: Path
    policy: Policy
    base_model_sha256: str = Federation.base_model_sha256
    threads: int = Resources.threads
    tokens_at_once: int = Resources.tokens_at_once
    seed: int = Site.seed
    device: Device = Resources.device
    gpus: int = Resources.gpus
    step_seconds: float = 900.0

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}; it must be at least 1")
        if self.gpus < 1:
            raise ValueError(f"gpus is {self.gpus}; it must be at least 1")
        if not self.step_seconds > 0:
            raise ValueError(f"step-seconds is {self.step_seconds}; it must be above 0")
        if self.tokens_at_once < 1:
            raise ValueError(f"tokens-at-once is {self.tokens_at_once}; it must be at least 1")
        if len(str(self.socket).encode()) > 100:
            raise ValueError(f"socket {self.socket} is longer than the 100 bytes that a Unix socket's path may have")
