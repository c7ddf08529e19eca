"""TFNS: Twitter Financial News Sentiment (hub: zeroshot/twitter-financial-news-sentiment), its validation split."""

from pathlib import Path

from evaluator.tasks.item import Item, check
from evaluator.tasks.rows import field, read_rows
from evaluator.tasks.sentiments import sentiment_item, sentiment_task

__all__ = ["TFNS"]

LABELS = {"0": "negative", "1": "positive", "2": "neutral"}


def read(file: Path) -> list[Item]:
    """Return the items of a file whose rows have ``text`` and ``label`` (0 bearish, 1 bullish, 2 neutral)."""
    return check(
        (
            sentiment_item(str(number), "tweet", str(field(row, f"{file}: item {number}", "text")), _label(row, file))
            for number, row in enumerate(read_rows(file))
        ),
        file,
    )


def _label(row: object, file: Path) -> str:
    told = str(field(row, file, "label"))  # type: ignore[arg-type]
    return LABELS.get(told, told)


TFNS = sentiment_task("tfns", "TFNS", read, "zeroshot/twitter-financial-news-sentiment", "validation")
