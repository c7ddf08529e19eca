"""What all pages share: the frame with its content policy, tables, amounts in words."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from evaluator.leaderboard.columns import BOARDS
from evaluator.leaderboard.site.markup import Child, Markup, join, tag
from evaluator.leaderboard.site.plot import bar
from evaluator.results.score import Share

__all__ = ["DASH", "Heading", "facts", "number", "page", "percent", "score_cell", "table"]

DASH = "\u2013"
PAGES = {
    "index.html": "All domains",
    **{f"{board.domain}.html": board.title[0].upper() + board.title[1:] for board in BOARDS.values()},
    "compare.html": "Compare",
    "about.html": "How to read it",
}


def page(name: str, title: str, main: Child) -> str:
    """Return the page called `name`; its style and script are in it, and its policy admits these two alone."""
    style, script = _resource("style.css"), _resource("board.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    links = (
        tag("li", tag("a", said, href=file, aria_current="page" if file == name else None))
        for file, said in PAGES.items()
    )
    return Template(_resource("page.html")).substitute(
        policy=policy,
        title=join(title),
        style=style,
        script=script,
        navigation=tag("ul", list(links)),
        main=join(main),
    )


@cache
def _resource(name: str) -> str:
    return (files("evaluator.leaderboard.site") / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


@dataclass(frozen=True)
class Heading:
    """A column's heading.

    Attributes
    ----------
    text : str
        What stands there.
    number : bool
        Whether the column holds numbers.
    first : str
        How a first click sorts, ``ascending`` or ``descending``; empty where there is nothing to sort.
    sorted : str
        How the table is sorted by it already.
    side : str
        Of two entries that the page's script puts here, which.
    """

    text: str
    number: bool = False
    first: str = ""
    sorted: str = ""
    side: str = ""


def table(
    name: str, caption: Child, headings: Sequence[Heading], rows: Iterable[Markup], *, sortable: bool = False
) -> Markup:
    """Return a table in a region of its own, which scrolls where it is wider than the page."""
    head = [
        tag(
            "th",
            one.text,
            scope="col",
            class_="n" if one.number else None,
            data_first=one.first or None,
            aria_sort=one.sorted or None,
            data_side=one.side or None,
        )
        for one in headings
    ]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", tag("span", caption), id=f"{name}-caption"),
            tag("thead", tag("tr", head)),
            tag("tbody", list(rows)),
            id=name,
            data_sortable=sortable,
        ),
        class_="scroll",
        role="region",
        tabindex=0,
        aria_labelledby=f"{name}-caption",
    )


def facts(pairs: Iterable[tuple[Child, Child]]) -> Markup:
    """Return a list of what is known; what is not is left out."""
    known = [(name, value) for name, value in pairs if value not in (None, "")]
    return tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in known], class_="facts")


def score_cell(share: Share | None, *below: Child, strong: bool = False) -> Markup:
    """Return a cell with a share in percent and a bar of it; one whose n nobody has told has no interval."""
    if share is None:
        return tag("td", DASH, class_="n", data_value="")
    interval = f"95 % interval {percent(share.low)} to {percent(share.high)}, n = {share.n:,}"
    text = percent(share.value)
    return tag(
        "td",
        tag("span", text, class_="mean") if strong else text,
        bar(share.value, share.low, share.high),
        below,
        class_="n",
        title=interval if share.n else None,
        data_value=f"{share.value:.6f}",
    )


def percent(value: float) -> str:
    """Return a share in percent, without the sign."""
    return f"{100 * value:.2f}"


def number(value: float | None, digits: int = 0) -> str:
    """Return an amount; a dash where it is not known."""
    return DASH if value is None else f"{value:,.{digits}f}"
