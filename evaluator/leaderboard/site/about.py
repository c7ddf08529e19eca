"""The page that says how to read the others."""

from collections.abc import Iterator

from evaluator.leaderboard.columns import BOARDS, SCORINGS
from evaluator.leaderboard.published import TAGS, published_rows
from evaluator.leaderboard.rules import COMMUNICATION_MIB, DOMAIN_RULES
from evaluator.leaderboard.site.board import TITLES
from evaluator.leaderboard.site.frame import Heading, facts, table
from evaluator.leaderboard.site.markup import Markup, tag

__all__ = ["about_page"]

CHECKED = (
    "An entry is a folder: a manifest, the adapter, and the answers of the adapted and of the untouched base model to "
    "every item, each file hashed and the manifest signed. When this site was built, the signature, every hash and "
    "every score were checked. That the models would give these answers again was not: for that, score the adapter "
    "yourself. Who a key belongs to is for you to know; compare its fingerprint by another way."
)
NUMBERS = (
    "Scores are accuracies in percent. Intervals are Wilson's, 95 %; that of a mean follows from its columns' own. "
    "It tells of the choice of items, not of how training would turn out with another seed. Unparsable answers count "
    "as wrong, but in finance the benchmark takes them for neutral, and so does its scoring here."
)
COST = (
    "MiB are adapters in both directions over all rounds and attempts, as the coordinator counted them; the benchmark "
    "prints the same unit as MB. Memory is the most that one site's trainer has held on its GPUs since it started, or "
    "without a GPU what it held in memory when it told last. What nobody has told is a dash."
)
ELSEWHERE = (
    "{rows} rows are facts from other pages: published elsewhere, not re-checked. They have no rank, and no interval, "
    "for their answers are not at hand. Their sources:"
)


def about_page() -> Iterator[Markup]:
    """Yield the content of the page."""
    yield tag("h1", "How to read it")
    yield tag("h2", "What was checked")
    yield tag("p", CHECKED)
    yield tag("h2", "Two scorings")
    for scoring, text in SCORINGS.items():
        yield tag("p", tag("strong", TITLES[scoring], ". "), text)
    yield tag("h2", "Numbers")
    yield tag("p", NUMBERS)
    yield tag("p", COST)
    yield tag("h2", "Rules")
    yield tag(
        "p",
        f"The benchmark allows {COMMUNICATION_MIB:,} MiB of adapters in all, asks for every score of a domain on whole "
        "test sets, and has these for each domain. Which data trained an adapter is the submitter's word: records stay "
        "at their sites.",
    )
    yield _rules()
    yield tag("h2", "Published elsewhere")
    yield tag("p", ELSEWHERE.format(rows=len(published_rows())))
    yield facts((source, text) for source, text in TAGS.items())


def _rules() -> Markup:
    rows = (
        tag(
            "tr",
            tag("th", BOARDS[name].title, scope="row"),
            tag("td", str(rules.clients), class_="n"),
            tag("td", f"{rules.fraction:g}", class_="n"),
            tag("td", " or ".join(rules.precisions) or "any"),
            tag("td", " = ".join(rules.data)),
        )
        for name, rules in DOMAIN_RULES.items()
    )
    headings = [
        Heading("Domain"),
        Heading("Clients", True),
        Heading("Sampled fraction", True),
        Heading("Base model scored in"),
        Heading("Training data"),
    ]
    caption = "The sampled fraction is the challenge's own; the board leaves it free."
    return table("domain-rules", caption, headings, rows)
