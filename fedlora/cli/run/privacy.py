"""What sites have told of their privacy budgets, for ``fedlora run show``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superlink.ledger import Report

__all__ = ["SitePrivacy", "privacy_lines", "privacy_of"]

RUN, SITE, LIMIT = "fedlora_run_epsilon", "fedlora_site_epsilon", "fedlora_site_epsilon_limit"


@dataclass(frozen=True)
class SitePrivacy:
    """What a site's updates with noise tell, by its own word; each None where it did not say.

    Attributes
    ----------
    run_epsilon : float or None
        Of its updates to this run.
    site_epsilon : float or None
        Of all its updates.
    limit : float or None
        Beyond which its trainer refuses.
    """

    run_epsilon: float | None = None
    site_epsilon: float | None = None
    limit: float | None = None


def privacy_of(reports: "Mapping[str, Report]", run: str) -> dict[str, SitePrivacy]:
    """Return it of each site that has told any."""
    found = {}
    for site, report in reports.items():
        told = {one.name: one.value for one in report.samples if one.labels.get("run", run) == run}
        if told.keys() & {RUN, SITE, LIMIT}:
            found[site] = SitePrivacy(told.get(RUN), told.get(SITE), told.get(LIMIT))
    return found


def privacy_lines(privacy: Mapping[str, SitePrivacy]) -> list[str]:
    """Return a line for each site."""
    lines = []
    for site, told in privacy.items():
        parts = [
            f"{what} {value:.3f}"
            for what, value in (("in this run", told.run_epsilon), ("in all", told.site_epsilon))
            if value is not None
        ]
        limit = "no limit" if told.limit is None else f"its limit {told.limit:g}"
        lines.append(f"epsilon of {site}: {', '.join([*parts, limit])}; by its own word")
    return lines
