"""FPB: the Financial PhraseBank, Malo et al. 2014 (arXiv 1307.5336), sentences that half of the annotators agree on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.tasks.item import CONVERTED, Item, check
from evaluator.tasks.rows import field, quarter, read_rows
from evaluator.tasks.sentiments import sentiment_item, sentiment_task
from fedlora.errors import EvaluationError

__all__ = ["FPB"]

LABELS = {"0": "negative", "1": "neutral", "2": "positive"}


def read(file: Path) -> list[Item]:
    """Return the reference's quarter of the sentences, in its order.

    Parameters
    ----------
    file : Path
        The makers' text file (``sentence@label``, Latin-1), or rows with ``sentence`` and ``label`` (0 negative,
        1 neutral, 2 positive).
    """
    rows = _lines(file) if file.suffix == ".txt" else read_rows(file)
    return check(
        (
            sentiment_item(str(place), "news", str(field(row, f"{file}: item {place}", "sentence")), _label(row, file))
            for place, row in quarter(rows)
        ),
        file,
    )


def _label(row: Mapping[str, Any], file: Path) -> str:
    told = str(field(row, file, "label"))
    return LABELS.get(told, told)


def _lines(file: Path) -> list[Mapping[str, Any]]:
    try:
        lines = file.read_bytes().decode("latin-1").splitlines()
    except OSError as error:
        raise EvaluationError(f"the evaluation set {file} cannot be read: {error}") from error
    split = [line.rpartition("@") for line in lines if line.strip()]
    return [{"sentence": sentence, "label": label} for sentence, _, label in split]


FPB = sentiment_task("fpb", "FPB", read, "takala/financial_phrasebank", "train", "sentences_50agree", CONVERTED)
