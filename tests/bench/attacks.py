"""Which strategy stops which attack: every strategy under every attack, with one to three attackers of eight sites.

The problem, the attacks and the rounds are those of ``tests/poisoning.py``. Writes the tables of docs/robustness.md
between its marks, and every figure as JSON Lines where --json says.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from poisoning import ATTACKS, OPTIONS, ROUNDS, SITES, Outcome, federation, kept

from fedlora.strategies import STRATEGIES
from superlink.screening import OUTLIERS

PAGE = Path(__file__).parents[2] / "docs" / "robustness.md"
BEGIN, END = "<!-- made by make bench-attacks -->", "<!-- end of what is made -->"
REPORTED = "fedavg"  # whose adapter each attack moves as far as it can
BOUNDED = f"{REPORTED}, norm bound"
BOUND = 1.5  # times the longest update of the undisturbed run
STOPPED = 90.0  # percent that is kept at least, the whole interval
# Two-sided 95 % points of Student's distribution, by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 19: 2.093}


def measure(strategies: Sequence[str], attacks: Sequence[str], attackers: Sequence[int], seeds: int) -> list[dict]:
    """Run everything; return a row of figures for each strategy, attack and number of attackers."""
    rows = []
    for name in strategies:
        engine, began = name.partition(",")[0], time.perf_counter()
        undisturbed = [federation(engine, "", 0, seed) for seed in range(seeds)]
        gained = [100 * (1 - one.losses[-1] / one.losses[0]) for one in undisturbed]
        rows.append({"strategy": name, "attack": "", "attackers": 0, "gained": gained})
        for attack in attacks:
            for count in attackers:
                attacked = [
                    federation(engine, attack, count, seed, largest_norm=bound(name, calm), screened=engine == REPORTED)
                    for seed, calm in enumerate(undisturbed)
                ]
                shares = [kept(calm, one) for calm, one in zip(undisturbed, attacked, strict=True)]
                about = {"strategy": name, "attack": attack, "attackers": count, "kept": shares}
                rows.append({**about, **_told(attacked)})
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


def bound(name: str, undisturbed: Outcome) -> float:
    """Return the largest norm that an update may have under `name`; 0 for any."""
    return BOUND * undisturbed.longest if name == BOUNDED else 0.0


def _told(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Return which shares of attackers' and of honest updates were outliers or refused."""
    told: dict[str, object] = {}
    for bad, who in ((True, "attackers"), (False, "honest")):
        sent = sum(one.sent[bad] for one in outcomes)
        words = {word: sum(one.words.get((bad, word), 0) for one in outcomes) / sent for word in OUTLIERS}
        told[f"{who}_outliers"] = words
        told[f"{who}_refused"] = sum(one.refused[bad] for one in outcomes) / sent
    return told


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and half the width of its 95 % interval by Student's distribution."""
    if len(values) < 2:
        return values[0], math.inf
    return statistics.mean(values), STUDENT[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))


def stopped(values: Sequence[float]) -> bool:
    """Return whether an attack has failed: the whole interval is where little is lost."""
    mean, half = interval(values)
    return mean - half >= STOPPED


def tables(rows: Sequence[dict]) -> str:
    """Return the page's tables."""
    seeds = len(rows[0]["gained"])
    lines = [
        f"{SITES} sites, {ROUNDS} rounds, {seeds} seeds: {len(rows) * seeds:,} federations. "
        f"Options other than their own: {_options()}. The norm bound is {BOUND:g} times the longest update of the "
        f"undisturbed run.",
        "",
    ]
    calm = {row["strategy"]: row for row in rows if row["attackers"] == 0}
    for count in sorted({row["attackers"] for row in rows} - {0}, reverse=True):
        lines += _kept_table(count, [row for row in rows if row["attackers"] == count], calm)
    return "\n".join([*lines, *_outlier_table(rows)])


def _options() -> str:
    parts = (f"`{name}` {', '.join(f'{key} {value:g}' for key, value in of.items())}" for name, of in OPTIONS.items())
    return "; ".join(parts)


def _kept_table(count: int, rows: Sequence[dict], calm: dict[str, dict]) -> Iterator[str]:
    attacks = list(dict.fromkeys(row["attack"] for row in rows))
    yield f"### {count} of {SITES} sites attack" if count > 1 else f"### One of {SITES} sites attacks"
    yield ""
    yield f"| strategy | undisturbed | {' | '.join(attacks)} |"
    yield "|---" * (len(attacks) + 2) + "|"
    for name in dict.fromkeys(row["strategy"] for row in rows):
        cells = {row["attack"]: _cell(row["kept"]) for row in rows if row["strategy"] == name}
        mean, half = interval(calm[name]["gained"])
        yield f"| {name} | {mean:.0f} ± {half:.0f} | {' | '.join(cells[attack] for attack in attacks)} |"
    yield ""


def _cell(values: Sequence[float]) -> str:
    mean, half = interval(values)
    text = f"{mean:.0f} ± {half:.0f}".replace("-", "\N{MINUS SIGN}")
    return f"**{text}**" if stopped(values) else text


def _outlier_table(rows: Sequence[dict]) -> Iterator[str]:
    """Yield what is reported of updates."""
    yield "### What is reported, under FedAvg with and without the norm bound"
    yield ""
    yield "| attack | attackers | outliers by norm | by cosine | copies | honest outliers | refused by the bound |"
    yield "|---|---|---|---|---|---|---|"
    bounded = {(row["attack"], row["attackers"]): row for row in rows if row["strategy"] == BOUNDED}
    for row in rows:
        if row["strategy"] != REPORTED or not row["attackers"]:
            continue
        words = " | ".join(f"{row['attackers_outliers'][word]:.0%}" for word in OUTLIERS)
        honest = max(row["honest_outliers"][word] for word in ("norm", "cosine"))
        limited = bounded.get((row["attack"], row["attackers"]))
        refused = "" if limited is None else f"{limited['attackers_refused']:.0%}"
        yield f"| {row['attack']} | {row['attackers']} | {words} | {honest:.0%} | {refused} |"


def written(page: str, made: str) -> str:
    """Return the page with what was made between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description="Which strategy stops which attack.")
    parser.add_argument("--strategies", nargs="+", default=[BOUNDED, *STRATEGIES])
    parser.add_argument("--attacks", nargs="+", default=list(ATTACKS))
    parser.add_argument("--attackers", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--seeds", type=int, default=10, choices=sorted(degrees + 1 for degrees in STUDENT))
    parser.add_argument("--json", type=Path, help="also write every figure here, as JSON Lines")
    parser.add_argument("--print", action="store_true", help="print the tables, and leave the page as it is")
    parser.add_argument("--rows", nargs="+", type=Path, help="measure nothing, and take the figures of these files")
    options = parser.parse_args()
    if options.rows:
        rows = [json.loads(line) for file in options.rows for line in file.read_text().splitlines()]
    else:
        rows = measure(options.strategies, options.attacks, options.attackers, options.seeds)
    made = tables(rows)
    if options.json:
        options.json.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    if options.print:
        print(made)
    else:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
