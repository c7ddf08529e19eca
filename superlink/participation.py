"""The participation rule: who is asked in a round, and whose updates it needs to count."""

import math
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass

__all__ = ["Participation"]


@dataclass(frozen=True)
class Participation:
    """The rule of a run.

    Attributes
    ----------
    domains : mapping
        Domain by site, in the order in which updates are folded in.
    fraction : float
        Share of each domain's sites that a round wants, rounded up.
    minimum : int
        Updates that a round needs at least.
    required : tuple of str
        Domains of which a round needs at least one update each.
    over_sampling : int
        How many sites more than wanted are asked; the round closes once as many as wanted have answered.
    seed : int
        Decides the samples: the same in every attempt of a run.
    """

    domains: Mapping[str, str]
    fraction: float = 1.0
    minimum: int = 1
    required: tuple[str, ...] = ()
    over_sampling: int = 0
    seed: int = 0

    @property
    def wanted(self) -> int:
        """Updates after which a round is closed."""
        sites = list(self.domains.values())
        by_domain = sum(math.ceil(self.fraction * sites.count(domain)) for domain in set(sites))
        return max(self.minimum, by_domain)

    def sample(self, number: int) -> tuple[str, ...]:
        """Return the sites that are asked in round `number`."""
        generator = random.Random(f"{self.seed}/{number}")  # noqa: S311 - reproducible, not secret
        shuffled = generator.sample(list(self.domains), len(self.domains))
        chosen: list[str] = []
        for domain in sorted(set(self.domains.values())):
            of_domain = [site for site in shuffled if self.domains[site] == domain]
            chosen += of_domain[: math.ceil(self.fraction * len(of_domain))]
        others = [site for site in shuffled if site not in chosen]
        chosen += others[: self.wanted - len(chosen) + self.over_sampling]
        return tuple(site for site in self.domains if site in chosen)

    def shortage(self, answered: Collection[str]) -> str:
        """Say what the updates of these sites lack for a round to count; empty if nothing."""
        there = {self.domains[site] for site in answered}
        missing = [domain for domain in self.required if domain not in there]
        lacks = []
        if len(answered) < self.minimum:
            lacks.append(f"it has {len(answered)} update(s), the rule asks for {self.minimum}")
        if missing:
            lacks.append(f"it has no update of the required domain(s) {', '.join(missing)}")
        return " and ".join(lacks)

    def enough(self, answered: Collection[str]) -> bool:
        """Whether the round can be closed although others have not answered: only over-sampling makes it so."""
        return len(answered) >= self.wanted and not self.shortage(answered)
