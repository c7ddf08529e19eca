"""The four domains of the FlowerTune LLM Leaderboard, each defined once."""

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fedlora.errors import ConfigurationError

__all__ = ["DOMAINS", "Domain", "domain"]


@dataclass(frozen=True)
class Domain:
    """A field of knowledge that a federation trains for.

    Attributes
    ----------
    name : str
        The word that stands in files and on the command line.
    title : str
        The word that people read.
    sentiment_instruction : str
        The instruction given to records that hold only ``text`` and ``label``; empty where a domain has no such schema.
    sentiment_labels : tuple of str
        The answer for each numeric label, in the order of Twitter Financial News Sentiment (0 bearish, 1 bullish,
        2 neutral).
    """

    name: str
    title: str
    sentiment_instruction: str = ""
    sentiment_labels: tuple[str, ...] = ()

    def sample(self, split: str) -> Traversable:
        """Return the embedded sample file of ``split``: ``train`` or ``eval``."""
        return files("fedlora") / "samples" / self.name / f"{split}.jsonl"


DOMAINS = {
    entry.name: entry
    for entry in (
        Domain("general-nlp", "general NLP"),
        Domain(
            "finance",
            "finance",
            sentiment_instruction=(
                "What is the sentiment of this tweet? Please choose an answer from {negative/neutral/positive}."
            ),
            sentiment_labels=("negative", "positive", "neutral"),
        ),
        Domain("medical", "medical"),
        Domain("code", "code"),
    )
}


def domain(name: str) -> Domain:
    """Return the domain called `name`.

    Raises
    ------
    ConfigurationError
        If there is no such domain.
    """
    if name not in DOMAINS:
        raise ConfigurationError(f"domain {name!r} is not one of {', '.join(DOMAINS)}")
    return DOMAINS[name]
