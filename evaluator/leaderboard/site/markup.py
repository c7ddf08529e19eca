"""HTML from Python: every text is escaped unless it is markup already, so that an entry's words stay words."""

import html
from collections.abc import Iterable

__all__ = ["Child", "Markup", "join", "said", "tag"]

VOID = {"br", "input", "link", "meta"}
LONGEST = 300  # of a text that somebody else has chosen


class Markup(str):
    """Text that is HTML already: only `tag` and `join` make it."""

    __slots__ = ()


Child = str | int | Markup | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    Parameters
    ----------
    name : str
        Of the element.
    children : text, markup, or lists of them
        What is in it; text is escaped, None is nothing.
    attributes : text, number or bool
        Underscores become dashes, but one at the end, which Python's own words need; True stands without a value, and
        None and False are left out.
    """
    said = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{join(children)}</{name}>")


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def join(children: Child) -> Markup:
    """Return all of `children` one after the other."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int):
        return Markup(html.escape(str(children)))
    return Markup("".join(join(child) for child in children))


def said(text: str, /, **attributes: str | float | bool | None) -> Markup:
    """Return what somebody else has said: whichever way it is written, it does not turn what stands around it."""
    plain = "".join(letter for letter in text if letter.isprintable())
    return tag("bdi", plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}\u2026", **attributes)
