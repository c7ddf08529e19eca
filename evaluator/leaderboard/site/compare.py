"""The page on which two entries are compared: all pairs are computed when the site is built, and lie in the page."""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from evaluator.leaderboard.columns import BOARDS, SCORINGS, mean
from evaluator.leaderboard.comparison import compare
from evaluator.leaderboard.site.board import TITLES
from evaluator.leaderboard.site.entry import P_NOTE
from evaluator.leaderboard.site.frame import Heading, number, table
from evaluator.leaderboard.site.markup import Markup, tag
from evaluator.leaderboard.standings import Entry
from evaluator.results.score import Share

__all__ = ["compare_page", "comparison_data"]

FACTS = ("Submitter", "Base model", "Trained for", "Strategy", "Rounds", "Clients", "MiB", "Memory, MiB", "Breaches")


def compare_page(entries: Sequence[Entry]) -> Iterator[Markup]:
    """Yield the content of the page."""
    yield tag("h1", "Compare two entries")
    if len(entries) < 2:
        yield tag("p", "There are fewer than two entries.")
        return
    yield tag(
        "noscript",
        tag("p", "Choosing needs the page's script. Without it, each entry's page compares it with all others."),
    )
    yield _choice()
    sides = [Heading(text, True, side=str(place)) for place, text in enumerate(("first", "second"))]
    tests = [Heading("Difference", True), Heading("n", True), Heading("Only first : only second", True)]
    caption = f"Accuracy in percent with 95 % intervals. {P_NOTE}"
    view = [
        tag("h2", "Scores"),
        table("comparison", caption, [Heading("Test"), *sides, *tests, Heading("p", True)], []),
        tag("h2", "What they are"),
        table("comparison-facts", "A dash is what nobody has told.", [Heading("What"), *sides], []),
    ]
    yield tag("div", view, id="comparison-view", hidden=True)
    yield tag("script", _in_script(comparison_data(entries)), type="application/json", id="comparison-data")


def _choice() -> Markup:
    return tag(
        "form",
        tag("label", "First", tag("select", name="first")),
        tag("label", "Second", tag("select", name="second")),
        tag("span", class_="count", role="status"),
        class_="filters",
        data_comparison=True,
        aria_label="Entries to compare",
        hidden=True,
    )


def _in_script(data: dict[str, Any]) -> Markup:
    """Return JSON that ends no script: no text in it can be a tag."""
    return Markup(json.dumps(data, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c"))


def comparison_data(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return scores and facts of all entries, and McNemar's test of each pair where it answered the same items."""
    columns = list(_columns())
    return {
        "columns": [{"key": key, "title": title, "about": about} for key, title, about, *_ in columns],
        "facts": FACTS,
        "entries": [_entry(entry) for entry in entries],
        "pairs": {
            f"{first}-{second}": _pair(entries[first], entries[second])
            for first, second in combinations(range(len(entries)), 2)
        },
    }


Column = tuple[str, str, str, str, str, str]  # key, title, about, scoring, task, group


def _columns() -> Iterator[Column]:
    """Yield every score that there can be; a domain's mean, which no task has, before those that make it."""
    for scoring in SCORINGS:
        for board in BOARDS.values():
            about = f"{TITLES[scoring]}, {board.title}"
            yield f"{scoring}/{board.domain}", "Mean", about, scoring, "", ""
            for column in board.columns:
                yield f"{scoring}/{column.task}/{column.group}", column.title, about, scoring, column.task, column.group


def _entry(entry: Entry) -> dict[str, Any]:
    one, run = entry.manifest, entry.manifest.run
    told = [one.submitter, one.base.base_model, BOARDS[one.domain].title]
    told += [run.strategy, f"{run.rounds:,}", f"{run.clients:,}"] if run else ["", "", ""]
    told += ["" if entry.mib is None else number(entry.mib, 2)]
    told += [f"{number(entry.memory[0])} ({entry.memory[1]})" if entry.memory else "", str(entry.broken)]
    scores: dict[str, list[float]] = {}
    for scoring in SCORINGS:
        for board in BOARDS.values():
            shares = entry.shares(board, scoring)
            for column, share in zip(board.columns, shares, strict=True):
                if share:
                    scores[f"{scoring}/{column.task}/{column.group}"] = _figures(share)
            if found := mean(shares):
                scores[f"{scoring}/{board.domain}"] = _figures(found)
    label = f"{one.title} ({one.submitter}, {entry.id[:6]})"
    return {"id": entry.id, "title": one.title, "label": label, "facts": told, "scores": scores}


def _figures(share: Share) -> list[float]:
    return [round(value, 6) for value in (share.value, share.low, share.high)]


def _pair(first: Entry, second: Entry) -> dict[str, list[float]]:
    found = {}
    for key, _, _, scoring, task, group in _columns():
        ours, theirs = (one.solved.get(("adapted", task, scoring), {}).get(group) for one in (first, second))
        if paired := compare(ours, theirs):
            found[key] = [paired.n, paired.first_only, paired.second_only, float(f"{paired.p:.6g}")]
    return found
