"""The configuration of one attempt of a run: Flower's flat mapping as our dataclass, and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fedlora.config import from_mapping

__all__ = ["RunConfig"]


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
        Names of the sites, with commas between.
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
        Seconds to wait for the sites before the first round.
    fraction : float
        Share of the sites that is sampled for each round, at least `min_sites`.
    extensions : int
        How many further deadlines a round with too few updates gets before the run fails.
    budget_bytes : int
        Payload bytes of the whole run, both directions, all attempts; 0 for no limit.
    ignore_forecast : bool
        Whether to begin although the forecast is beyond the budget.
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
    fraction: float = 1.0
    extensions: int = 0
    budget_bytes: int = 0
    ignore_forecast: bool = False

    def __post_init__(self) -> None:
        if not self.run:
            raise ValueError("run has no name")
        if not self.site_names or len(set(self.site_names)) < len(self.site_names):
            raise ValueError(f"sites {self.sites!r} is not a list of different names with commas between")
        if self.rounds < 1 or self.epoch < 1:
            raise ValueError(f"rounds {self.rounds} and epoch {self.epoch} must be at least 1")
        if not 1 <= self.min_sites <= len(self.site_names):
            raise ValueError(f"min-sites {self.min_sites} is not between 1 and the {len(self.site_names)} sites")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction} is not in (0, 1]")
        if self.extensions < 0 or self.budget_bytes < 0:
            raise ValueError(f"extensions {self.extensions} and budget-bytes {self.budget_bytes} must not be below 0")
        if self.deadline <= 0 or self.join_timeout <= 0:
            raise ValueError("deadline and join-timeout must be above 0")

    @property
    def site_names(self) -> tuple[str, ...]:
        """The sites' names."""
        return tuple(name for name in self.sites.split(",") if name)

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
