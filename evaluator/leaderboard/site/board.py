"""The pages of the boards: a table for each scoring, and what a score costs."""

from collections.abc import Iterable, Iterator, Sequence

from evaluator.leaderboard.columns import BOARDS, SCORINGS, Board
from evaluator.leaderboard.published import TAGS, PublishedRow
from evaluator.leaderboard.site.frame import DASH, Heading, number, percent, score_cell, table
from evaluator.leaderboard.site.markup import Child, Markup, join, said, tag
from evaluator.leaderboard.site.plot import Point, plot
from evaluator.leaderboard.standings import Entry, Row, combined, standings
from evaluator.results.score import Share

__all__ = ["board_page", "combined_page"]

TITLES = {"flowertune": "FlowerTune scoring", "likelihood": "Likelihood scoring"}


def board_page(board: Board, entries: Sequence[Entry]) -> Iterator[Markup]:
    """Yield the content of a domain's page."""
    titles = [column.title for column in board.columns]
    yield tag("h1", _title(board))
    yield tag("p", f"The score is the plain mean of {_listed(titles)}, in percent.", class_="lead")
    items = [column.items for column in board.columns]
    yield from _sections({scoring: standings(board, scoring, entries) for scoring in SCORINGS}, titles, items)


def combined_page(entries: Sequence[Entry]) -> Iterator[Markup]:
    """Yield the content of the page of all domains."""
    titles = [_title(board) for board in BOARDS.values()]
    yield tag("h1", "All domains")
    yield tag(
        "p",
        "One adapter, scored in every domain: what it gains where it was trained, carries over, and forgets. The score "
        f"is the plain mean of {_listed(titles)}; an entry that lacks one has no rank here.",
        class_="lead",
    )
    yield tag("h2", "The boards")
    yield _overview(entries)
    items = [board.items for board in BOARDS.values()]
    yield from _sections({scoring: combined(scoring, entries) for scoring in SCORINGS}, titles, items)


def _overview(entries: Sequence[Entry]) -> Markup:
    """Return the best checked entry of each board, by scoring."""
    headings = [
        Heading("Board"),
        Heading("Scoring"),
        Heading("Ranked entries", True),
        Heading("First"),
        Heading("Score", True),
    ]
    rows = []
    for board in BOARDS.values():
        for scoring in SCORINGS:
            ranked = [row for row in standings(board, scoring, entries) if row.rank]
            first = ranked[0].entry if ranked else None
            if first is None:
                continue
            rows.append(
                tag(
                    "tr",
                    tag("th", tag("a", _title(board), href=f"{board.domain}.html#{scoring}"), scope="row"),
                    tag("td", TITLES[scoring]),
                    tag("td", f"{len(ranked):,}", class_="n"),
                    tag("td", tag("a", said(first.manifest.title), href=first.page)),
                    score_cell(ranked[0].mean, _subset(ranked[0].mean, board.items), strong=True),
                )
            )
    return table("boards", "Whoever stands first among the checked entries, by board and scoring.", headings, rows)


def _title(board: Board) -> str:
    return board.title[0].upper() + board.title[1:]


def _sections(boards: dict[str, list[Row]], titles: Sequence[str], items: Sequence[int]) -> Iterator[Markup]:
    shown = {scoring: rows for scoring, rows in boards.items() if rows}
    if not shown:
        yield tag("p", "No entry has been scored here yet.")
    for scoring, rows in shown.items():
        yield tag("h2", TITLES[scoring], id=scoring)
        yield tag("p", SCORINGS[scoring], " Scores of the two scorings cannot be compared.", class_="soft")
        yield _filters(scoring, rows)
        yield table(
            f"{scoring}-board", _caption(rows), _headings(titles), (_row(row, items) for row in rows), sortable=True
        )
        yield tag("div", list(_plots(scoring, rows)), class_="plots")


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _caption(rows: Sequence[Row]) -> str:
    checked = sum(row.entry is not None for row in rows)
    elsewhere = len(rows) - checked
    own = f"{checked} checked {'entry' if checked == 1 else 'entries'}"
    if not elsewhere:
        return f"{own}. Whiskers are 95 % intervals."
    return f"{own}; {elsewhere} rows published elsewhere, not re-checked, without rank. Whiskers are 95 % intervals."


def _headings(titles: Sequence[str]) -> list[Heading]:
    return [
        Heading("Rank", True, "ascending"),
        Heading("Entry", False, "ascending"),
        Heading("Score", True, "descending", "descending"),
        *(Heading(title, True, "descending") for title in titles),
        Heading("MiB", True, "ascending"),
        Heading("Memory", True, "ascending"),
        Heading("Rules", False, "ascending"),
    ]


def _row(row: Row, items: Sequence[int]) -> Markup:
    """Return a line; `items` are the sizes of the columns' whole test sets."""
    entry, elsewhere = row.entry, row.published
    scores = [score_cell(one, _subset(one, whole)) for one, whole in zip(row.columns, items, strict=True)]
    base = tag("span", f"base {percent(row.base.value)}", class_="sub") if row.base else None
    memory = entry.memory if entry else None
    broken = str(entry.broken) if entry else ""
    return tag(
        "tr",
        tag("td", str(row.rank) if row.rank else DASH, class_="n", data_value=str(row.rank or "")),
        _name(row),
        score_cell(row.mean, base, strong=True),
        scores,
        tag(
            "td",
            number(row.mib),
            _printed(elsewhere),
            class_="n",
            data_value="" if row.mib is None else f"{row.mib:.3f}",
        ),
        tag(
            "td",
            number(memory[0]) if memory else DASH,
            tag("span", f"MiB, {memory[1]}", class_="sub") if memory else None,
            class_="n",
            data_value=f"{memory[0]:.3f}" if memory else "",
        ),
        tag("td", _mark(row), data_value=broken),
        class_="elsewhere" if elsewhere else None,
        data_kind="published" if elsewhere else "checked",
        data_broken=broken,
    )


def _printed(elsewhere: PublishedRow | None) -> Markup | None:
    """Say what was printed, where that is rounder than MiB."""
    if elsewhere is None or elsewhere.unit != "GB":
        return None
    return tag("span", f"from {elsewhere.communication:g} GB", class_="sub")


def _subset(share: Share | None, whole: int) -> Markup | None:
    """Say how many items there were, where it was not the whole set."""
    if share is None or share.n in (0, whole):
        return None
    return tag("span", f"n = {share.n:,} of {whole:,}", class_="sub")


def _name(row: Row) -> Markup:
    if row.entry is not None:
        one = row.entry.manifest
        return tag(
            "th",
            tag("a", said(one.title), href=row.entry.page, class_="name"),
            tag(
                "span",
                said(one.base.base_model),
                " \u00b7 ",
                said(one.submitter),
                f" \u00b7 {one.created[:10]}",
                class_="sub",
            ),
            scope="row",
            data_value=one.title.lower(),
        )
    other = row.published
    if other is None:
        raise AssertionError("a row is an entry, or published elsewhere")
    details = [other.team, other.strategy, f"{other.rounds} rounds" if other.rounds else ""]
    return tag(
        "th",
        tag("span", said(other.base_model), class_="name"),
        tag("span", " \u00b7 ".join(one for one in details if one), _date(other.date), class_="sub"),
        tag("span", other.note, class_="sub") if other.note else None,
        scope="row",
        data_value=other.base_model.lower(),
    )


def _date(text: str) -> list[Child]:
    return [" \u00b7 ", tag("span", text, class_="whole")] if text else []


def _mark(row: Row) -> Markup:
    if row.entry is None:
        source = row.published.tag if row.published else ""
        mark = tag("span", "elsewhere", class_="mark", title=f"Not re-checked. From {TAGS.get(source, source)}.")
        return join([mark, tag("span", f"source: {source}", class_="sub whole")])
    broken = row.entry.broken
    text = "within the rules"
    if broken:
        text = f"{broken} {'breach' if broken == 1 else 'breaches'}"
    elif any(one.outcome == "unknown" for one in row.entry.rulings):
        text = "no breach known"
    return tag("span", text, class_=f"mark {'broken' if broken else 'kept'}")


def _filters(scoring: str, rows: Sequence[Row]) -> Markup:
    mixed = len({row.entry is None for row in rows}) > 1
    kinds = (("all", "all rows"), ("checked", "checked entries"), ("published", "published elsewhere"))
    return tag(
        "form",
        tag("label", "Search", tag("input", type="search", name="search", autocomplete="off")),
        tag("label", "Show", tag("select", [tag("option", text, value=value) for value, text in kinds], name="kind"))
        if mixed
        else None,
        tag("label", tag("input", type="checkbox", name="rules"), "Only entries without a known breach", class_="tick"),
        tag("span", class_="count", role="status"),
        class_="filters",
        data_table=f"{scoring}-board",
        aria_label=f"Filter: {TITLES[scoring]}",
        hidden=True,
    )


def _plots(scoring: str, rows: Iterable[Row]) -> Iterator[Markup]:
    told = [row for row in rows if row.mean is not None]
    by_bytes = [_point(row, row.mib) for row in told if row.mib]
    by_memory = [_point(row, row.entry.memory[0]) for row in told if row.entry and row.entry.memory]
    for name, points, axis, what in (
        ("bytes", by_bytes, "adapters in both directions, MiB (logarithmic)", "communication"),
        ("memory", by_memory, "memory of a site's trainer, MiB (logarithmic)", "memory"),
    ):
        if len(points) > 1:
            title = f"Score in percent against {what}"
            legend = ". Filled: checked; hollow: published elsewhere; ringed: on the Pareto front."
            yield tag(
                "figure",
                tag("figcaption", title, legend),
                tag(
                    "div",
                    plot(points, f"{scoring}-{name}", axis, title),
                    class_="scroll",
                    role="region",
                    tabindex=0,
                    aria_label=title,
                ),
            )


def _point(row: Row, cost: float | None) -> Point:
    if row.mean is None or not cost:
        raise AssertionError("only rows with a score and a cost are drawn")
    if row.entry is not None:
        return Point(cost, row.mean.value, row.entry.manifest.title, row.entry.page)
    label = f"{row.published.base_model} ({row.published.team})" if row.published else ""
    return Point(cost, row.mean.value, label)
