"""Presets: federations to begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedlora.domains import DOMAINS

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A federation to begin with.

    Attributes
    ----------
    summary : str
        What it is for.
    values : mapping
        What it gives to each file that names it, unless the file sets it: tables by name.
    file : mapping
        What a new file of it sets.
    """

    summary: str
    values: Mapping[str, Any]
    file: Mapping[str, Any]


def _site(name: str, domain: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "domain": domain, "shard": f"shards/{name}", **more}


def _of_one_domain(domain: str) -> list[dict[str, Any]]:
    policy = {"recipes": [f"{domain}/default"]}
    return [_site(f"{domain}-{number}", domain, policy=policy) for number in (1, 2)]


PRESETS = {
    "workstation": Preset(
        "A coordinator and two sites on one machine, to try things out.",
        values={"run": {"join-timeout": 120.0}},
        file={
            "coordinator": {"host": "127.0.0.1", "machine": "workstation"},
            "site": [
                _site("site-1", "finance", machine="workstation", **{"runtime-port": 9094, "metrics-port": 9465}),
                _site("site-2", "finance", machine="workstation", **{"runtime-port": 9095, "metrics-port": 9466}),
            ],
            "recipe": [{"domain": "finance", "preset": "quick", "steps": 10}],
        },
    ),
    "two-sites": Preset(
        "Two sites of one domain on their own machines; each round needs both.",
        values={"run": {"min-sites": 2, "extensions": 1}},
        file={
            "coordinator": {"host": "superlink.example.org"},
            "site": [_site("site-a", "medical"), _site("site-b", "medical")],
            "recipe": [{"domain": "medical"}],
        },
    ),
    "four-domains": Preset(
        "Two sites of each domain of the FlowerTune benchmark, and its budget; a run trains for one domain.",
        values={"run": {"min-sites": 2, "extensions": 1, "budget": "board"}},
        file={
            "coordinator": {"host": "superlink.example.org"},
            "site": [site for domain in DOMAINS for site in _of_one_domain(domain)],
            "recipe": [{"domain": domain} for domain in DOMAINS],
        },
    ),
}
