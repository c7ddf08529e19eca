"""MMLU: Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding (arXiv 2009.03300)."""

from collections import Counter
from pathlib import Path

from evaluator.tasks.item import LETTERS, ChoiceTask, Item, check
from evaluator.tasks.likelihood_prompts import lettered
from evaluator.tasks.reference import at_once, first_letter, multiple_choice
from evaluator.tasks.rows import field, read_rows
from fedlora.errors import EvaluationError

__all__ = ["MMLU"]

INSTRUCTION = "Answer the following multiple choice question."
# As the benchmark groups them; it counts anatomy among STEM, and does not score "other".
SUBJECTS = {
    "stem": (
        "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
        "college_mathematics college_physics computer_security conceptual_physics electrical_engineering "
        "elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science "
        "high_school_mathematics high_school_physics high_school_statistics machine_learning"
    ),
    "social-sciences": (
        "econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics "
        "high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations "
        "security_studies sociology us_foreign_policy"
    ),
    "humanities": (
        "formal_logic high_school_european_history high_school_us_history high_school_world_history international_law "
        "jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law "
        "world_religions"
    ),
    "other": (
        "business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing "
        "medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology"
    ),
}
GROUPS = {subject: group for group, subjects in SUBJECTS.items() for subject in subjects.split()}


def read(file: Path) -> list[Item]:
    """Return the items of a file, in the order of the groups and of the subjects in them.

    Rows have ``question``, ``choices``, ``answer`` (0 to 3) and ``subject``, as cais/mmlu has them; or ``input``, ``A``
    to ``D``, ``target`` (a letter) and ``subject``.

    Raises
    ------
    EvaluationError
        If a row lacks a field, or its subject is unknown.
    """
    items: list[Item] = []
    seen: Counter[str] = Counter()
    for row in read_rows(file):
        subject = str(field(row, file, "subject"))
        place = f"{file}: {subject}, item {seen[subject]}"
        if subject not in GROUPS:
            raise EvaluationError(f"{place}: the subject is not one of MMLU's 57")
        answer = field(row, place, "answer", "target")
        choices = row["choices"] if "choices" in row else [field(row, place, letter) for letter in LETTERS]
        gold = LETTERS[int(answer)] if str(answer) in ("0", "1", "2", "3") else str(answer)
        question = str(field(row, place, "question", "input"))
        items.append(
            Item(
                f"{subject}/{seen[subject]}",
                INSTRUCTION,
                question,
                LETTERS,
                tuple(map(str, choices)),
                gold,
                GROUPS[subject],
            )
        )
        seen[subject] += 1
    order = list(GROUPS)
    return check(sorted(items, key=lambda item: order.index(item.id.partition("/")[0])), file)


MMLU = ChoiceTask(
    name="mmlu",
    title="MMLU",
    domain="general-nlp",
    hub="cais/mmlu",
    subset="all",
    split="test",
    read=read,
    prompt=multiple_choice,
    extract=first_letter,
    ask=lettered,
    settled=at_once,
    groups=("stem", "social-sciences", "humanities"),
)
