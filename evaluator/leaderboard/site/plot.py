"""Scores against a cost, drawn as SVG when the site is built; the Pareto front is marked."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluator.leaderboard.site.markup import Markup, tag
from evaluator.leaderboard.standings import front

__all__ = ["Point", "bar", "plot", "ticks"]

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 14, 44
LETTER = 7.0  # about the width of a letter at 12 px, in a wide font
BAR_WIDTH, BAR_HEIGHT = 88, 8


@dataclass(frozen=True)
class Point:
    """A score, from 0 to 1, at a cost in the axis' unit; `page` is empty for what was published elsewhere."""

    cost: float
    score: float
    label: str
    page: str = ""


def bar(value: float, low: float, high: float) -> Markup:
    """Return a small bar of a share, with its interval as a whisker where it has a width."""
    parts = [
        tag("rect", class_="track", width=BAR_WIDTH, height=BAR_HEIGHT, rx=2),
        tag("rect", class_="fill", width=_round(value * BAR_WIDTH), height=BAR_HEIGHT, rx=2),
    ]
    if high > low:
        ends = [_round(end * BAR_WIDTH) for end in (low, high)]
        path = f"M{ends[0]} 1V7M{ends[1]} 1V7M{ends[0]} 4H{ends[1]}"
        parts.append(tag("path", class_="whisker", d=path))
    return tag("svg", parts, class_="bar", viewBox=f"0 0 {BAR_WIDTH} {BAR_HEIGHT}", aria_hidden="true")


def plot(points: Sequence[Point], name: str, axis: str, title: str) -> Markup:
    """Return the picture of `points`.

    Parameters
    ----------
    points : sequence of Point
        At least one, costs above 0.
    name : str
        Unique on its page, for ids.
    axis : str
        What the cost is, with its unit.
    title : str
        What the picture shows, for those who do not see it.
    """
    costs = ticks([point.cost for point in points])
    low, high = _score_range([point.score for point in points])
    frame = _Frame(math.log10(costs[0]), math.log10(costs[-1]), low, high)
    best = front([(point.cost, point.score) for point in points])
    told = "; ".join(f"{points[at].label}: {100 * points[at].score:.2f} % at {points[at].cost:,.4g}" for at in best)
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", f"{len(points)} points. On the Pareto front, by rising cost: {told}.", id=f"{name}-about"),
        _axes(frame, costs, axis),
        _front_line(frame, [points[at] for at in best]),
        [_dot(frame, point, at in best) for at, point in enumerate(points)],
        list(_labels(frame, points, best)),
        class_="plot",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="group",
        aria_labelledby=f"{name}-title {name}-about",
    )


@dataclass(frozen=True)
class _Frame:
    """Where costs (their logarithm) and scores come to lie."""

    first: float
    last: float
    low: float
    high: float

    def x(self, cost: float) -> float:
        return _round(LEFT + (math.log10(cost) - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT))

    def y(self, score: float) -> float:
        return _round(HEIGHT - BOTTOM - (score - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM))


def ticks(costs: Sequence[float]) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten, from below the least of `costs` to above the greatest."""
    least, most = min(costs), max(costs)
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        marks = [step * 10.0**power for power in powers for step in steps]
        first = max(at for at, mark in enumerate(marks) if mark <= least * 0.97 or at == 0)
        last = min(at for at, mark in enumerate(marks) if mark >= most * 1.03)
        found = marks[first : last + 1]
        if len(found) <= 8:
            break
    return found


def _score_range(scores: Sequence[float]) -> tuple[float, float]:
    """Return round limits around the scores, in steps of 0.1."""
    low, high = math.floor(min(scores) * 10 - 0.2) / 10, math.ceil(max(scores) * 10 + 0.2) / 10
    return max(0.0, low), min(1.0, max(high, low + 0.2))


def _axes(frame: _Frame, costs: Sequence[float], axis: str) -> Iterator[Markup]:
    bottom = HEIGHT - BOTTOM
    steps = round((frame.high - frame.low) * 10)
    for step in range(0, steps + 1, 2 if steps > 5 else 1):
        score = frame.low + step / 10
        y = frame.y(score)
        yield tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
        yield tag("text", f"{100 * score:.0f}", x=LEFT - 8, y=y + 4, text_anchor="end")
    for cost in costs:
        yield tag("line", class_="axis", x1=frame.x(cost), x2=frame.x(cost), y1=bottom, y2=bottom + 5)
        yield tag("text", _amount(cost), x=frame.x(cost), y=bottom + 19, text_anchor="middle")
    yield tag("path", class_="axis", d=f"M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}")
    yield tag("text", axis, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, text_anchor="middle")


def _front_line(frame: _Frame, best: Sequence[Point]) -> Markup | None:
    """Draw the front as steps: at each cost, the best score that it buys."""
    path = f"M{frame.x(best[0].cost)} {frame.y(best[0].score)}"
    path += "".join(f"H{frame.x(point.cost)}V{frame.y(point.score)}" for point in best[1:])
    return tag("path", class_="front", d=f"{path}H{WIDTH - RIGHT}")


def _dot(frame: _Frame, point: Point, best: bool) -> Markup:
    x, y = frame.x(point.cost), frame.y(point.score)
    told = f"{point.label}: {100 * point.score:.2f} % at {point.cost:,.4g}{', on the Pareto front' if best else ''}"
    parts = [
        tag("title", told),
        tag("circle", class_="ring", cx=x, cy=y, r=8) if best else None,
        tag("circle", class_="dot" if point.page else "dot elsewhere", cx=x, cy=y, r=5 if point.page else 4),
    ]
    if point.page:
        return tag("a", parts, href=point.page, aria_label=told)
    return tag("g", parts)


def _labels(frame: _Frame, points: Sequence[Point], best: Sequence[int]) -> Iterator[Markup]:
    """Name the points of the front and the entries, as far as there is room."""
    taken = [
        (frame.x(point.cost) - 8, frame.y(point.score) - 8, frame.x(point.cost) + 8, frame.y(point.score) + 8)
        for point in points
    ]
    named = sorted(range(len(points)), key=lambda at: (not points[at].page, at not in best, -points[at].score))
    for at in named:
        if not points[at].page and at not in best:
            continue
        label = points[at].label if len(points[at].label) <= 30 else f"{points[at].label[:29]}\u2026"
        x, y, size = frame.x(points[at].cost), frame.y(points[at].score), LETTER * len(label)
        for right, base in ((True, y - 9), (False, y - 9), (True, y + 19), (False, y + 19)):
            left = x + 4 if right else x - 4 - size
            box = (left, base - 11, left + size, base + 3)
            inside = left >= LEFT and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield tag(
                    "text",
                    _plain(label),
                    class_="label",
                    x=_round(x + 4 if right else x - 4),
                    y=_round(base),
                    text_anchor=None if right else "end",
                    aria_hidden="true",
                )
                break


Box = tuple[float, float, float, float]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())


def _amount(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g}M"
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def _round(value: float) -> float:
    return round(value, 2)
