"""What must hold between the values of a federation. Each value by itself is held to its rule when it is read.

The checks look at plain values, as TOML has them, in which whatever is wrong by itself is None: so that one wrong port
does not hide two sites of one name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fedlora.config import Problem
from fedlora.federation.strategy_checks import check_strategy
from fedlora.rules import suggestion

__all__ = ["check", "missing_for_privacy"]

Values = Mapping[str, Any]
# What stands beside the sites' folders in that of the federation's state.
RESERVED = ("coordinator", "logs")


def check(values: Values) -> list[Problem]:
    """Return everything that is wrong between the values of a federation."""
    sites, recipes = list(enumerate(_tables(values["site"]))), list(enumerate(_tables(values["recipe"])))
    named: list[tuple[int, Values]] = [(number, {"preset": _name(recipe)}) for number, recipe in recipes]
    problems = [*_twice(sites, "site", "name"), *_twice(named, "recipe", "preset")]
    known = [recipe["preset"] for _, recipe in named if recipe["preset"] is not None]
    names = known if len(known) == len(named) else []
    problems += _reserved(sites)
    problems += _ports(values, sites)
    problems += _known_recipes(values, sites, names)
    problems += _ranks(sites, [recipe for _, recipe in recipes])
    problems += _privacy(sites)
    problems += _run(values, [site for _, site in sites], names)
    wanted = values["run"]["recipe"] or (names[0] if names else None)
    problems += check_strategy(
        values["run"], sites, [entry for entry in recipes if wanted and _name(entry[1]) == wanted]
    )
    first, most = values["keeper"]["first-pause"], values["keeper"]["most-pause"]
    if first is not None and most is not None and most < first:
        problems.append(Problem("keeper.most-pause", f"{most} is below first-pause {first}"))
    return problems


def missing_for_privacy(clip_norm: float, noise_multiplier: float, epsilon_limit: float) -> str:
    """Say what a policy lacks for the noise or the limit that it sets; empty if nothing."""
    if noise_multiplier and not clip_norm:
        return f"noise-multiplier is {noise_multiplier:g} and clip-norm is 0: noise hides nothing of unbounded updates"
    if epsilon_limit and not noise_multiplier:
        return f"epsilon-limit is {epsilon_limit:g} and noise-multiplier is 0: without noise there is no epsilon"
    return ""


def _tables(value: Any) -> list[Values]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _name(recipe: Values) -> str | None:
    """Return the name of a recipe; None where a part of it is wrong."""
    return None if None in (recipe["domain"], recipe["preset"]) else f"{recipe['domain']}/{recipe['preset']}"


def _twice(entries: list[tuple[int, Values]], table: str, key: str) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, entry in entries:
        value = entry[key]
        if value is not None and value in seen:
            yield Problem(f"{table}[{number}].{key}", f"{value!r} is that of {table}[{seen[value]}] already")
        elif value is not None:
            seen[value] = number


def _reserved(sites: list[tuple[int, Values]]) -> Iterator[Problem]:
    for number, site in sites:
        if site["name"] in RESERVED:
            yield Problem(
                f"site[{number}].name", f"{site['name']!r} is no name for a site: a folder beside is called so"
            )


def _ports(values: Values, sites: list[tuple[int, Values]]) -> Iterator[Problem]:
    """Find ports that two parts of one machine would listen on; without a name, a machine is nobody else's."""
    coordinator = values["coordinator"]
    wanted = [
        (coordinator["machine"] or "", f"coordinator.{key}", coordinator[key])
        for key in ("fleet-port", "http-port", "metrics-port")
    ]
    wanted += [
        (site["machine"] or f"site[{number}]", f"site[{number}].{key}", site[key] or None)  # 0 is no port
        for number, site in sites
        for key in ("runtime-port", "metrics-port")
    ]
    taken: dict[tuple[str, int], str] = {}
    for machine, path, port in wanted:
        if port and (other := taken.setdefault((machine, port), path)) != path:
            on = f"on machine {machine}" if machine else "on the same machine"
            yield Problem(path, f"{port} is that of {other} already, {on}; take another port")


def _known_recipes(values: Values, sites: list[tuple[int, Values]], names: list[str]) -> Iterator[Problem]:
    wanted = [("run.recipe", values["run"]["recipe"] or None)]
    for number, site in sites:
        listed = enumerate(site["policy"]["recipes"] or ())
        wanted += [(f"site[{number}].policy.recipes[{place}]", name) for place, name in listed]
    for path, name in wanted:
        if name is not None and names and name not in names:
            near = suggestion(name, names)
            yield Problem(path, f"{name!r} is not a recipe of this file: {', '.join(names)}{near and '; ' + near}")


def _ranks(sites: list[tuple[int, Values]], recipes: list[Values]) -> Iterator[Problem]:
    """Find sites that would have to train a part of a DoRA adapter, whose magnitudes hold for the whole."""
    for number, site in sites:
        most, allowed = site["policy"]["most-rank"], site["policy"]["recipes"]
        for recipe in recipes:
            name, rank = _name(recipe), recipe["rank"]
            if most and rank and rank > most and recipe["adapter"] == "dora" and (not allowed or name in allowed):
                path = f"site[{number}].policy.most-rank"
                yield Problem(path, f"{most} is below the rank {rank} of {name!r}, and a DoRA adapter is trained whole")


def _privacy(sites: list[tuple[int, Values]]) -> Iterator[Problem]:
    for number, site in sites:
        given = [site["policy"][key] for key in ("clip-norm", "noise-multiplier", "epsilon-limit")]
        if None not in given and (missing := missing_for_privacy(*given)):
            yield Problem(f"site[{number}].policy", missing)


def _run(values: Values, sites: list[Values], names: list[str]) -> Iterator[Problem]:
    """Find what the sites cannot give to a run: its domains, its recipe, its rule of participation."""
    run = values["run"]
    recipe = run["recipe"] or (names[0] if names else None)
    if not sites or recipe not in names or run["domains"] is None or None in run["domains"]:
        return
    domains = run["domains"] or [recipe.partition("/")[0]]
    part = [site for site in sites if site["domain"] in (*domains, None)]
    yield from _enough(run["min-sites"], part, domains)
    if any(site["domain"] is None for site in sites):
        return  # whoever wrote one wrong may have meant the one that is missed
    held = sorted({site["domain"] for site in sites})
    for place, name in enumerate(domains):
        if name not in held:
            path = f"run.domains[{place}]" if run["domains"] else "run.recipe"
            wants = "" if run["domains"] else f"{recipe!r} trains for "
            yield Problem(path, f"{wants}{name!r}, which no site holds; they hold {', '.join(held)}")
    for number, site in enumerate(sites):
        allowed = site["policy"]["recipes"]
        if site["domain"] in domains and allowed and recipe not in allowed:
            path = f"site[{number}].policy.recipes"
            yield Problem(path, f"{allowed} does not have {recipe!r}, which runs train; add it, or take another recipe")
    for number, site in enumerate(sites):
        if site["domain"] in domains:
            yield from _codecs(run, site["policy"]["codecs"], f"site[{number}].policy.codecs")
    for place, name in enumerate(run["required-domains"] or ()):
        if name is not None and name not in {site["domain"] for site in part}:
            there = ", ".join(sorted({site["domain"] for site in part})) or "none"
            yield Problem(f"run.required-domains[{place}]", f"no site of {name!r} takes part; there are: {there}")


def _codecs(run: Values, allowed: list[str | None] | None, path: str) -> Iterator[Problem]:
    """Find codecs of runs that a site does not allow."""
    for key in ("upload-codec", "broadcast-codec"):
        if allowed is not None and None not in allowed and run[key] not in (*allowed, None):
            yield Problem(path, f"{allowed} does not have {run[key]!r}, which is run.{key}; add it, or take another")


def _enough(least: int | None, part: list[Values], domains: list[str]) -> Iterator[Problem]:
    if least is not None and part and least > len(part):
        yield Problem("run.min-sites", f"{least} is more than the {len(part)} site(s) of {', '.join(domains)}")
