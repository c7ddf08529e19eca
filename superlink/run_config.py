"""The configuration of one attempt of a run: Flower's flat mapping as our dataclass, and back."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fedlora.codecs import CODECS
from fedlora.config import from_mapping
from fedlora.federation import Federation, RunDefaults
from fedlora.recipes.recipe import Factors
from fedlora.strategies import STRATEGIES, least_updates, options_from_text, options_of, options_text
from superlink.budget import BOARD_BYTES
from superlink.participation import Participation

__all__ = ["RunConfig"]

MEGABYTE = 10**6
HOUR = 3600.0
NOT_NEGATIVE = (
    *("over_sampling", "extensions", "budget_bytes", "budget_rounds", "budget_seconds"),
    "largest_update_norm",
)


@dataclass(frozen=True)
class RunConfig:
    """What the ServerApp is told. The keys stand with dashes in ``fedlora/app/pyproject.toml``.

    Attributes
    ----------
    run : str
        Name of the run.
    epoch : int
        Attempt, from 1.
    sites : str
        Names of the sites, with commas between; ``name:domain`` for a site of another domain than `domain`.
    domain, recipe_sha256 : str
        What is trained; the recipe's values are the sites' own.
    rounds : int
        Number of rounds.
    seed : int
        Decides the first adapter.
    deadline : float
        Seconds that a site has for a round.
    min_sites : int
        Updates that a round needs to count.
    join_timeout : float
        Seconds to wait for all sites before the first round; after it the run begins with those that are there, if
        they satisfy the rule of participation.
    absence : float
        Seconds after which a round that has what it needs no longer waits for sites that are offline.
    fraction : float
        Share of each domain's sites that is wanted in each round, at least `min_sites` in all.
    over_sampling : int
        How many sites more than wanted are asked in each round.
    required_domains : str
        Domains, with commas between, of which every round needs an update.
    extensions : int
        How many further deadlines a round with too few updates gets before the run fails.
    upload_codec, broadcast_codec : str
        How updates and the global adapter become bytes.
    budget_bytes : int
        Payload bytes of the whole run, both directions, all attempts; 0 for no limit.
    budget_rounds : int
        Rounds that may be begun, those that are trained again after a loss included; 0 for no limit.
    budget_seconds : float
        Wall-clock seconds from the start of the first attempt; 0 for no limit.
    ignore_forecast : bool
        Whether to begin although the forecast is beyond the budget.
    strategy : str
        Name of the aggregation strategy.
    strategy_options : str
        Its options that are not as it has them by itself, ``key=number`` with commas between.
    factors : str
        Which of the adapter's factors sites train, as the recipe says it.
    largest_update_norm : float
        Largest Euclidean norm of an update; 0 for no limit.
    """

    run: str
    epoch: int
    sites: str
    domain: str
    rounds: int
    seed: int
    deadline: float
    min_sites: int
    join_timeout: float
    recipe_sha256: str
    absence: float = RunDefaults.absence
    fraction: float = RunDefaults.fraction
    over_sampling: int = RunDefaults.over_sampling
    required_domains: str = ""
    extensions: int = RunDefaults.extensions
    upload_codec: str = RunDefaults.upload_codec
    broadcast_codec: str = RunDefaults.broadcast_codec
    budget_bytes: int = 0
    budget_rounds: int = RunDefaults.budget_rounds
    budget_seconds: float = 0.0
    ignore_forecast: bool = False
    strategy: str = RunDefaults.strategy
    strategy_options: str = ""
    factors: Factors = "both"
    largest_update_norm: float = RunDefaults.largest_update_norm

    def __post_init__(self) -> None:
        if not self.run:
            raise ValueError("run has no name")
        named = [entry.partition(":")[0] for entry in _entries(self.sites)]
        if not named or not all(named) or len(set(named)) < len(named):
            raise ValueError(f"sites {self.sites!r} is not a list of different names with commas between")
        if self.rounds < 1 or self.epoch < 1:
            raise ValueError(f"rounds {self.rounds} and epoch {self.epoch} must be at least 1")
        if not 1 <= self.min_sites <= len(named):
            raise ValueError(f"min-sites {self.min_sites} is not between 1 and the {len(named)} sites")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction} is not in (0, 1]")
        held = set(self.site_domains.values())
        if unheld := sorted(set(_entries(self.required_domains)) - held):
            raise ValueError(
                f"required-domains names {', '.join(unheld)}, which none of the sites holds; they hold "
                f"{', '.join(sorted(held))}"
            )
        for name in ("upload_codec", "broadcast_codec"):
            if getattr(self, name) not in CODECS:
                codec = getattr(self, name)
                raise ValueError(f"{name.replace('_', '-')} {codec!r} is not one of {', '.join(CODECS)}")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name.replace('_', '-')} {getattr(self, name)} must not be below 0")
        for name in ("deadline", "join_timeout", "absence"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name.replace('_', '-')} {getattr(self, name)} must be a number of seconds above 0")
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy {self.strategy!r} is not one of {', '.join(STRATEGIES)}")
        if self.min_sites < (least := least_updates(self.strategy, self.options)):
            raise ValueError(f"min-sites {self.min_sites} is below the {least} updates that {self.strategy} needs")

    @classmethod
    def of(cls, federation: Federation, run: str, *, ignore_forecast: bool = False) -> "RunConfig":
        """Return the first attempt of `run`, as the federation's file wants its runs to be.

        Raises
        ------
        ConfigurationError
            With everything that is wrong in it.
        """
        wanted, recipe = federation.run, federation.run_recipe
        values = {
            "run": run,
            "epoch": 1,
            "sites": ",".join(
                site.name if site.domain == recipe.domain else f"{site.name}:{site.domain}"
                for site in federation.participants
            ),
            "domain": recipe.domain,
            "rounds": recipe.rounds,
            "recipe-sha256": recipe.sha256,
            "seed": wanted.seed,
            "deadline": wanted.deadline,
            "join-timeout": wanted.join_timeout,
            "absence": wanted.absence,
            "min-sites": wanted.min_sites,
            "fraction": wanted.fraction,
            "over-sampling": wanted.over_sampling,
            "required-domains": ",".join(wanted.required_domains),
            "extensions": wanted.extensions,
            "upload-codec": wanted.upload_codec,
            "broadcast-codec": wanted.broadcast_codec,
            "budget-bytes": BOARD_BYTES if wanted.budget == "board" else int(wanted.budget * MEGABYTE),
            "budget-rounds": wanted.budget_rounds,
            "budget-seconds": wanted.budget_hours * HOUR,
            "ignore-forecast": ignore_forecast,
            "strategy": wanted.strategy,
            "strategy-options": options_text(wanted.options),
            "factors": recipe.factors,
            "largest-update-norm": wanted.largest_update_norm,
        }
        return from_mapping(cls, values, origin=f"run {run}")

    @property
    def site_names(self) -> tuple[str, ...]:
        """The sites' names."""
        return tuple(self.site_domains)

    @property
    def site_domains(self) -> dict[str, str]:
        """The domain of each site."""
        parts = (entry.partition(":") for entry in _entries(self.sites))
        return {name: domain or self.domain for name, _, domain in parts}

    @property
    def options(self) -> dict[str, float]:
        """All options of the strategy."""
        return options_of(STRATEGIES[self.strategy], options_from_text(self.strategy_options))

    @property
    def participation(self) -> Participation:
        """The rule of participation."""
        return Participation(
            domains=self.site_domains,
            fraction=self.fraction,
            minimum=self.min_sites,
            required=_entries(self.required_domains),
            over_sampling=self.over_sampling,
            seed=self.seed,
        )

    @classmethod
    def from_flower(cls, values: Mapping[str, bool | float | int | str]) -> "RunConfig":
        """Read Flower's mapping.

        Raises
        ------
        ConfigurationError
            With everything that is wrong in it.
        """
        return from_mapping(cls, values, origin="the run's configuration")

    def to_flower(self) -> dict[str, bool | float | int | str]:
        """Write Flower's mapping."""
        return {name.replace("_", "-"): value for name, value in asdict(self).items()}


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())
