"""PubMedQA: Jin et al. 2019 (arXiv 1909.06146), the 500 test questions of its labelled part, with their abstracts."""

import json
from pathlib import Path

from evaluator.tasks.item import CONVERTED, ChoiceTask, Item, check
from evaluator.tasks.likelihood_prompts import abstract
from evaluator.tasks.reference import at_once, statement, whole_word
from evaluator.tasks.rows import field, read_rows

__all__ = ["PUBMEDQA"]

LABELS = ("yes", "no", "maybe")
INSTRUCTION = (
    "As an expert doctor in clinical science and medical knowledge, can you tell me if the following statement is "
    "correct? Answer yes, no, or maybe."
)


def read(file: Path) -> list[Item]:
    """Return the items of a file, or of a folder that also says which of them are the test set.

    Parameters
    ----------
    file : Path
        Rows, or an object by PubMed id, with ``QUESTION``, ``CONTEXTS`` and ``final_decision``. In the makers' own
        file all 1,000 labelled questions stand; beside it in a folder, ``test_ground_truth.json``, an object by PubMed
        id, says which 500 of them are the test set.
    """
    truth = next(iter(file.glob("*test_ground_truth.json")), None) if file.is_dir() else None
    if truth is None:
        rows = read_rows(file)
    else:
        wanted = _ids(truth)
        others = [one for one in sorted(file.iterdir()) if one != truth]
        rows = [row for one in others for row in read_rows(one) if str(row.get("id")) in wanted]
    return check(
        (
            Item(
                str(field(row, file, "id", "pubid", "PMID") if {"id", "pubid", "PMID"} & row.keys() else number),
                INSTRUCTION,
                "\n".join([*map(str, field(row, file, "CONTEXTS")), str(field(row, file, "QUESTION"))]),
                LABELS,
                LABELS,
                str(field(row, file, "final_decision")),
            )
            for number, row in enumerate(rows)
        ),
        file,
    )


def _ids(truth: Path) -> set[str]:
    return set(json.loads(truth.read_text(encoding="utf-8")))


PUBMEDQA = ChoiceTask(
    name="pubmedqa",
    title="PubMedQA",
    domain="medical",
    hub="bigbio/pubmed_qa",
    subset="pubmed_qa_labeled_fold0_source",
    split="test",
    revision=CONVERTED,
    read=read,
    prompt=statement,
    extract=whole_word,
    ask=abstract,
    settled=at_once,
)
