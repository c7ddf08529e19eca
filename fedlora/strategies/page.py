"""The page of all strategies, ``docs/strategies.md``: ``python -m fedlora.strategies.page FILE`` writes it."""

import json
import sys
from pathlib import Path
from typing import Any

from fedlora.strategies.catalogue import STRATEGIES, Strategy
from fedlora.strategies.options import OPTIONS, least_updates

__all__ = ["example", "facts", "page"]

HEAD = """\
# Strategies

How a round's updates become the next adapter, made from `fedlora/strategies/catalogue.py` by `make docs`; tests hold \
this page, and what the coordinator computes, to it. The same: `fedlora strategy list`, `fedlora strategy show NAME`.

A run names its strategy in the table `[run]` of [the federation's file](federation-file.md), with its options beside \
it. What a site does differently for a strategy is in the recipe (`proximal`, `factors`), which every site's owner \
allows; a strategy and a recipe that do not go together are refused when the file is read, with what to change.

"""
COLUMNS = """\
| strategy | product of the new factors | memory | from a site | to a site | weighs by | mixed ranks | adapters | \
fewest updates |
|---|---|---|---|---|---|---|---|---|
"""
LEGEND = """
- **Product of the new factors**: what B A of the next adapter is against the sites' mean product, the weighted mean \
of their B A. *exact*: the same but for rounding; *best of its rank*: the nearest of the recipe's rank; *another \
one*: factors are averaged, and the product of means is not the mean of products; *not a mean*: nor meant to be one. \
Measured: [Benchmarks](benchmarks.md#aggregation-2026-11-23).
- **Memory**: updates that the coordinator holds at once. O(1): each is folded in as it arrives, in the order of the \
sites' places, and only those that come before their turn wait. O(N): all of the round.
- **From a site, to a site**: which factors travel. A row of A is as long as a module's input, a column of B as its \
output: of SmolLM2-135M's adapter, B is 40 % (q and v alone) or 51 % (all linear modules). The budget and its \
forecast count whole adapters.
- **Weighs by**: records (or what the recipe's `weight` says), or each update alike.
- **Mixed ranks**: whether a site may train less than the recipe's rank (`policy.most-rank`). Where values of all \
updates are compared, those that a site does not train would count as votes for no change.
- **Adapters**: the kinds of which an adapter of the recipe's rank comes out that PEFT loads; others are refused.
- **Fewest updates**: of which the strategy, with its own options, does what it says; `min-sites` must be that at \
least.

DoRA's magnitudes are trained in each round, whichever factor is frozen, travel with each update, and are aggregated \
as all other values are: averaged, stepped, or chosen with their update. Exact is then said of the product alone: a \
site's weights are not linear in factors and magnitudes, and their mean is not what comes out.

An optimiser at the coordinator changes all that the sites train, never what the recipe freezes. Its moments are in \
each checkpoint; a run that was interrupted goes on with the same bits.
"""


def page() -> str:
    """Return the page; the same catalogue gives the same text."""
    rows = "".join(_row(strategy) for strategy in STRATEGIES.values())
    return HEAD + COLUMNS + rows + LEGEND + "".join(_section(strategy) for strategy in STRATEGIES.values())


def facts(strategy: Strategy) -> dict[str, Any]:
    """Return what a strategy states, for JSON."""
    return {
        "name": strategy.name,
        "summary": strategy.summary,
        "paper": strategy.paper,
        "product": strategy.product,
        "memory": strategy.memory,
        "streaming": strategy.streaming,
        "up": strategy.up,
        "down": strategy.down,
        "weighs-by": "records" if strategy.weighted else "each alike",
        "mixed-ranks": strategy.mixed_ranks,
        "adapters": list(strategy.adapters),
        "fewest-updates": least_updates(strategy.name, strategy.options),
        "options": dict(strategy.options),
        "needs": {key: need.advice for key, need in strategy.needs.items()},
        "notes": list(strategy.notes),
    }


def example(strategy: Strategy) -> str:
    """Return lines of a federation's file that name the strategy, its options, and what it needs besides."""
    lines = ["[run]", f'strategy = "{strategy.name}"']
    lines += [f"{key} = {value:g}" for key, value in strategy.options.items()]
    if (least := least_updates(strategy.name, strategy.options)) > 1:
        lines.append(f"min-sites = {least}")
    if strategy.recipe:
        lines += ["", "[[recipe]]  # the one that the run trains"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in strategy.recipe.items()]
    return "\n".join(lines)


def _row(strategy: Strategy) -> str:
    about = facts(strategy)
    ranks, adapters = "yes" if strategy.mixed_ranks else "no", ", ".join(strategy.adapters)
    cells = (strategy.product, strategy.memory, strategy.up, strategy.down, about["weighs-by"], ranks, adapters)
    return f"| [{strategy.name}](#{strategy.name}) | {' | '.join(cells)} | {about['fewest-updates']} |\n"


def _section(strategy: Strategy) -> str:
    needs = "".join(f"- `{key}`: {need.advice}\n" for key, need in strategy.needs.items())
    notes = "".join(f"{note}\n\n" for note in strategy.notes)
    options = "".join(f"| `{key}` | {value:g} | {OPTIONS[key].allowed} |\n" for key, value in strategy.options.items())
    table = f"| option | by itself | allowed |\n|---|---|---|\n{options}\n" if options else ""
    return (
        f"\n## {strategy.name}\n\n{strategy.summary} ({strategy.paper})\n\n{notes}{table}```toml\n"
        f"{example(strategy)}\n```\n\nWhat it asks for:\n\n{needs}"
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
