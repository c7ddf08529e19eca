"""FiQA 2018, task 1: Maia et al. 2018, WWW'18 Open Challenge: Financial Opinion Mining and Question Answering."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.tasks.item import Item, check
from evaluator.tasks.rows import field, quarter, read_rows
from evaluator.tasks.sentiments import sentiment_item, sentiment_task
from fedlora.errors import EvaluationError

__all__ = ["FIQA"]


def read(file: Path) -> list[Item]:
    """Return the reference's quarter of the annotations, in its order.

    Parameters
    ----------
    file : Path
        Rows with ``sentence``, ``sentiment_score`` and ``format`` (``post`` or else), all splits of the hub's set one
        after the other; or the folder of the organisers' files, each an object by id with ``sentence`` and ``info``,
        whose names say ``post`` or ``headline``. The hub's set has about 40 annotations more than those files.
    """
    rows = [row for one in _files(file) for row in _annotations(one)]
    return check((_item(place, row, file) for place, row in quarter(rows)), file)


def _files(file: Path) -> list[Path]:
    return sorted(file.iterdir()) if file.is_dir() else [file]


def _annotations(file: Path) -> list[Mapping[str, Any]]:
    form = "post" if "post" in file.name else "headline"
    found: list[Mapping[str, Any]] = []
    for row in read_rows(file):
        if "info" in row:
            found += [{"sentence": row["sentence"], "format": form, **annotation} for annotation in row["info"]]
        else:
            found.append(row)
    return found


def _item(place: int, row: Mapping[str, Any], file: Path) -> Item:
    where = f"{file}: item {place}"
    told = field(row, where, "sentiment_score")
    try:
        score = float(told)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{where}: the sentiment score {told!r} is not a number") from error
    gold = "negative" if score < -0.1 else "neutral" if score < 0.1 else "positive"
    of = "tweet" if row.get("format") == "post" else "news"
    return sentiment_item(str(place), of, str(field(row, where, "sentence")), gold)


FIQA = sentiment_task("fiqa", "FiQA", read, "pauri32/fiqa-2018", "train+validation+test")
