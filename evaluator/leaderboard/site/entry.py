"""An entry's page: its scores beside the base model's, its cost, its rules, its evidence, and how to check all that."""

from collections.abc import Iterable, Iterator, Sequence

from evaluator.leaderboard.columns import APART, BOARDS, SCORINGS, mean
from evaluator.leaderboard.comparison import Solved, compare
from evaluator.leaderboard.manifest import Manifest, RunFigures
from evaluator.leaderboard.rules import Outcome
from evaluator.leaderboard.site.board import TITLES
from evaluator.leaderboard.site.frame import DASH, Heading, facts, number, percent, score_cell, table
from evaluator.leaderboard.site.markup import Child, Markup, said, tag
from evaluator.leaderboard.standings import Entry
from evaluator.results.score import Share, TaskScore
from fedlora.domains import DOMAINS
from fedlora.recipes import PRESETS

__all__ = ["entry_page", "probability"]

MEBI = 2**20
OUTCOMES = {
    Outcome.KEPT: "kept",
    Outcome.BROKEN: "broken",
    Outcome.DIFFERS: "differs, which is allowed",
    Outcome.UNKNOWN: "unknown",
}
P_NOTE = (
    "p is of McNemar's exact test on the items that one of the two alone has solved. Of twenty such tests one falls "
    "below 0.05 by chance alone."
)


def entry_page(entry: Entry, entries: Sequence[Entry]) -> Iterator[Markup]:
    """Yield the content of an entry's page."""
    one = entry.manifest
    yield tag("h1", said(one.title))
    yield tag("p", "By ", said(one.submitter), f", {one.created[:10]}, for {BOARDS[one.domain].title}.", class_="lead")
    for scoring in SCORINGS:
        if one.by_task("adapted", scoring):
            yield tag("h2", TITLES[scoring], id=scoring)
            yield _scores(entry, scoring)
    yield tag("p", P_NOTE, class_="small")
    yield tag("h2", "The benchmark's rules")
    yield _rules(entry)
    yield tag("h2", "What it is, and what it cost")
    yield facts(_facts(entry))
    if one.run is not None and one.run.recipe:
        values = (
            (said(key), said(", ".join(value) if isinstance(value, tuple) else str(value)))
            for key, value in sorted(one.run.recipe.items())
        )
        yield tag("details", tag("summary", "Every value of the recipe"), facts(values))
    others = [other for other in entries if other.id != entry.id]
    if comparisons := list(_against(entry, others)):
        yield tag("h2", "Against other entries")
        yield _against_table(comparisons)
    yield tag("h2", "Evidence")
    yield from _evidence(entry)


def _scores(entry: Entry, scoring: str) -> Markup:
    headings = [
        Heading("Test"),
        Heading("With the adapter", True),
        Heading("Base model alone", True),
        Heading("Difference", True),
        Heading("p", True),
        Heading("n", True),
        Heading("Unparsable", True),
        Heading("Prompts cut", True),
    ]
    caption = "Accuracy in percent with 95 % intervals; the same items for both."
    return table(f"{scoring}-scores", caption, headings, _score_rows(entry, scoring))


def _score_rows(entry: Entry, scoring: str) -> Iterator[Markup]:
    ours, base = (entry.manifest.by_task(model, scoring) for model in ("adapted", "base"))
    for board in BOARDS.values():
        pair = tuple(entry.shares(board, scoring, model) for model in ("adapted", "base"))
        means = tuple(mean(shares) for shares in pair)
        if means[0] and means[1]:
            yield _score_row(f"{board.title[0].upper()}{board.title[1:]}, mean", means, strong=True)
        for column, first, second in zip(board.columns, *pair, strict=True):
            if first and second:
                solved = [_solved(entry, column.task, column.group, scoring, model) for model in ("adapted", "base")]
                yield _score_row(column.title, (first, second), solved, (ours[column.task], base[column.task]))
        for (task, group), title in APART.items():
            if any(column.task == task for column in board.columns) and task in ours and group in ours[task].groups:
                both = (ours[task].groups[group], base[task].groups.get(group))
                solved = [_solved(entry, task, group, scoring, model) for model in ("adapted", "base")]
                yield _score_row(f"{title} (in no mean)", both, solved)


def _solved(entry: Entry, task: str, group: str, scoring: str, model: str = "adapted") -> Solved | None:
    return entry.solved.get((model, task, scoring), {}).get(group)


def _score_row(
    title: str,
    pair: tuple[Share | None, ...],
    solved: Sequence[Solved | None] = (),
    scores: tuple[TaskScore, ...] = (),
    *,
    strong: bool = False,
) -> Markup:
    first, second = pair
    paired = compare(*solved) if solved else None
    unparsable = [percent(one.unparsable) for one in scores]
    return tag(
        "tr",
        tag("th", tag("span", title, class_="name") if strong else title, scope="row"),
        [score_cell(one, _interval(one), strong=strong) for one in pair],
        tag("td", f"{100 * (first.value - second.value):+.2f}" if first and second else DASH, class_="n"),
        tag("td", probability(paired.p) if paired else DASH, class_="n"),
        tag("td", f"{first.n:,}" if first else DASH, class_="n"),
        tag("td", f"{unparsable[0]} %" if scores else DASH, _base_too(unparsable), class_="n"),
        tag("td", f"{scores[0].cut:,}" if scores else DASH, class_="n"),
    )


def _interval(share: Share | None) -> Markup | None:
    return tag("span", f"{percent(share.low)} to {percent(share.high)}", class_="sub") if share else None


def _base_too(unparsable: Sequence[str]) -> Markup | None:
    return tag("span", f"base {unparsable[1]} %", class_="sub") if unparsable else None


def probability(p: float) -> str:
    """Return a p value as people read it."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _rules(entry: Entry) -> Markup:
    rows = (
        tag(
            "tr",
            tag("th", one.rule, scope="row"),
            tag("td", tag("span", OUTCOMES[one.outcome], class_=f"mark {one.outcome}")),
            tag("td", said(one.found)),
            tag("td", one.allowed),
        )
        for one in entry.rulings
    )
    headings = [Heading(text) for text in ("Rule", "Outcome", "Here", "Allowed")]
    caption = f"As the board has them for {BOARDS[entry.manifest.domain].title}. A breach is shown, not hidden."
    return table("rules", caption, headings, rows)


def _facts(entry: Entry) -> list[tuple[str, Child]]:
    one, adapter = entry.manifest, entry.manifest.adapter
    versions = ", ".join(f"{name} {version}" for name, version in sorted(one.adapted.versions.items()))
    scored = f"{one.adapted.precision}, seed {one.adapted.seed}"
    return [
        ("base model", said(one.base.base_model)),
        ("adapter", f"{adapter.kind}, rank {adapter.rank}, alpha {adapter.alpha:g}, {adapter.parameters:,} values"),
        ("recipe", said(adapter.recipe) if adapter.recipe else None),
        *(_run_facts(one.run) if one.run else [("run", "not told: the adapter is of no run of the kit")]),
        ("training data", said(", ".join(one.data)) if one.data else "not told"),
        ("trained with", said(f"fedlora {adapter.kit_version}") if adapter.kit_version else None),
        ("scored with", said(f"fedlora {one.adapted.kit_version}; {versions}")),
        ("scored in", said(scored)),
    ]


def _run_facts(run: RunFigures) -> list[tuple[str, Child]]:
    codecs = f"updates {run.upload_codec}, broadcasts {run.broadcast_codec}"
    return [
        ("run", said(run.name)),
        ("strategy", said(run.strategy)),
        ("rounds", f"{run.rounds:,}"),
        ("clients", f"{run.clients:,}, of which a share of {run.fraction:g} trains in each round"),
        ("seed", str(run.seed)),
        ("codecs", said(codecs)),
        ("payload, both directions", _mebi(run.payload_bytes)),
        ("on the wire, both directions", _mebi(run.wire_bytes)),
        ("seconds, wall-clock", _amount(run.seconds)),
        ("seconds of training, all sites", _amount(run.train_seconds)),
        ("GPU-seconds, all sites", _amount(run.gpu_seconds)),
        ("GPU energy, all sites", _amount(run.gpu_joules, "J")),
        ("GPU memory, most of a site", _mebi(run.gpu_peak_bytes)),
        ("resident memory of a trainer", _mebi(run.resident_bytes)),
    ]


def _mebi(value: int | None) -> str:
    return "not told" if value is None else f"{number(value / MEBI, 2)} MiB ({value:,} bytes)"


def _amount(value: float | None, unit: str = "s") -> str:
    return "not told" if value is None else f"{number(value, 1)} {unit}"


Line = tuple[Entry, str, str, Share, Share, Solved | None, Solved | None]


def _against(entry: Entry, others: Iterable[Entry]) -> Iterator[Line]:
    """Yield the tests of the entry's domain that others have answered, too."""
    board = BOARDS[entry.manifest.domain]
    for other in others:
        for scoring in SCORINGS:
            ours, theirs = entry.shares(board, scoring), other.shares(board, scoring)
            for column, first, second in zip(board.columns, ours, theirs, strict=True):
                if first and second:
                    pair = [_solved(one, column.task, column.group, scoring) for one in (entry, other)]
                    yield other, TITLES[scoring], column.title, first, second, pair[0], pair[1]


def _against_table(lines: Sequence[Line]) -> Markup:
    headings = [
        Heading("Other entry", False, "ascending"),
        Heading("Test", False, "ascending"),
        Heading("This entry", True, "descending"),
        Heading("The other", True, "descending"),
        Heading("Only this : only the other", True),
        Heading("p", True, "ascending"),
    ]
    return table("against", P_NOTE, headings, map(_against_row, lines), sortable=True)


def _against_row(line: Line) -> Markup:
    other, scoring, title, first, second, *solved = line
    paired = compare(*solved)
    alone = f"{paired.first_only:,} : {paired.second_only:,}" if paired else "other items"
    return tag(
        "tr",
        tag("th", tag("a", said(other.manifest.title), href=other.page), scope="row"),
        tag("td", title, tag("span", scoring, class_="sub")),
        tag("td", percent(first.value), class_="n", data_value=f"{first.value:.6f}"),
        tag("td", percent(second.value), class_="n", data_value=f"{second.value:.6f}"),
        tag("td", alone, class_="n"),
        tag(
            "td", probability(paired.p) if paired else DASH, class_="n", data_value=f"{paired.p:.3e}" if paired else ""
        ),
    )


def _evidence(entry: Entry) -> Iterator[Markup]:
    one = entry.manifest
    yield facts(
        (name, tag("span", value, class_="hash"))
        for name, value in (
            ("entry", entry.id),
            ("signed by the key", entry.key_sha256),
            ("adapter, SHA-256", one.adapter.sha256),
            ("base model, SHA-256", one.base.base_model_sha256),
            ("recipe, SHA-256", one.adapter.recipe_sha256),
        )
        if value
    )
    yield tag(
        "p",
        "The entry holds the answers of both models to every item. Whoever has its folder checks the signature, the "
        "files and the scores with the first of these lines, and looks into the adapter with the second:",
    )
    yield tag("pre", tag("code", _commands(one)), tabindex=0, role="region", aria_label="Commands")
    yield tag("details", tag("summary", f"{len(one.files)} files with their hashes"), _files(one))


def _commands(one: Manifest) -> str:
    """Return lines to copy; of what the entry says, only names of the kit's benchmarks and recipes get into them."""
    sets = " ".join(f"--set {task}=FILE" for task in dict.fromkeys(score.task for score in one.scores["adapted"]))
    lines = [
        "fedlora leaderboard verify ENTRY --key submitter.pub",
        f"fedlora leaderboard verify ENTRY --key submitter.pub {sets} --rerun",
        "fedlora adapter show ENTRY/adapter",
    ]
    if one.adapter.recipe in {f"{domain}/{preset}" for domain in DOMAINS for preset in PRESETS}:
        lines.append(f"fedlora recipe show {one.adapter.recipe}")
    return "\n".join(lines)


def _files(one: Manifest) -> Markup:
    rows = (
        tag(
            "tr",
            tag("th", path, scope="row", class_="hash"),
            tag("td", f"{note.bytes:,}", class_="n"),
            tag("td", note.sha256, class_="hash"),
        )
        for path, note in sorted(one.files.items())
    )
    headings = [Heading("File"), Heading("Bytes", True), Heading("SHA-256")]
    return table("files", "What the signature covers, beside the manifest itself.", headings, rows)
