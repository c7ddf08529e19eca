"""Judging answers again from their texts, and letting models answer again, with the items of an entry's benchmarks."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from evaluator.examination import ANSWERS, Examination, Progress, Sitting
from evaluator.results.answer import Answer, read_answers
from evaluator.results.evaluation import Evaluation
from evaluator.tasks.catalogue import Asked, task
from evaluator.tasks.execution import judge
from evaluator.tasks.item import ChoiceTask, Item
from evaluator.tasks.program import CodeItem, CodeTask
from fedlora.errors import EvaluationError
from fedlora.language_model import obtain

__all__ = ["Again"]

PRECISION = ", computed in "  # between the two parts of an evaluation's precision


class Again:
    """Answers and judges again; its methods are what `evaluator.leaderboard.verification.verify` wants.

    Parameters
    ----------
    files : mapping
        Names of benchmarks, and the file of each one's items. Of others nothing is judged again.
    work : Path
        Folder that new answers go into.
    progress : callable
        Is told of each batch.
    threads : int
        Cores to use.
    base_model : str
        Where the base model is; empty for where its name leads. It must have the hash that the entry states.

    Raises
    ------
    EvaluationError
        If items cannot be read.
    """

    def __init__(
        self, files: Mapping[str, Path], work: Path, progress: Progress, threads: int = 2, base_model: str = ""
    ) -> None:
        self.files = files
        self.work = work
        self.progress = progress
        self.threads = threads
        self.base_model = base_model
        self.items: dict[str, dict[str, Asked]] = {
            name: {item.id: item for item in task(name).read(file)} for name, file in files.items()
        }
        self.sittings: dict[str, Sitting] = {}

    def judge(self, name: str, scoring: str, answer: Answer) -> Answer:
        """Return an answer as it is judged from its likelihoods or its text; programs are run.

        Raises
        ------
        EvaluationError
            If the benchmark has no such item.
        """
        if name not in self.items:
            return answer
        of, item = task(name), self.items[name].get(answer.id)
        if isinstance(of, CodeTask) and isinstance(item, CodeItem):
            (judged,) = judge(of, [(item, [answer.text])])
            return replace(answer, chosen=judged.chosen, correct=judged.correct)
        if not (isinstance(of, ChoiceTask) and isinstance(item, Item)):
            raise EvaluationError(f"{name} has no item {answer.id!r} in {self.files[name]}")
        if scoring == "likelihood":
            chosen = max(item.labels, key=lambda label: answer.likelihoods.get(label, float("-inf")))
        else:
            chosen = of.extract(item, answer.text)
        return replace(answer, gold=item.gold, chosen=chosen, correct=chosen == item.gold)

    def rerun(self, adapter: Path | None, evaluation: Evaluation, name: str, scoring: str) -> Iterable[Answer]:
        """Return the answers of a model of today to what it was asked then.

        Raises
        ------
        EvaluationError
            If there are no items, or the model cannot answer.
        BaseModelError
            If the base model is not here.
        """
        if name not in self.files:
            raise EvaluationError(f"cannot be answered again without its items: name them with --set {name}=FILE")
        who = "adapted" if adapter else "base"
        sitting = self._sitting(evaluation)
        sitting.begin(who, adapter)
        sitting.answer(who, adapter, name, scoring)
        return list(read_answers(sitting.examination.results / who / name / scoring / ANSWERS))

    def _sitting(self, evaluation: Evaluation) -> Sitting:
        """Return a sitting as the entry's was; base model and adapter share it, and the model in memory with it."""
        key = f"{evaluation.base_model_sha256} {evaluation.precision} {evaluation.limit} {evaluation.seed}"
        if key not in self.sittings:
            model = obtain(self.base_model or evaluation.base_model).check(evaluation.base_model_sha256)
            held, _, computed = evaluation.precision.partition(PRECISION)
            results = self.work / str(len(self.sittings))
            shutil.rmtree(results, ignore_errors=True)
            examination = Examination(
                benchmarks=self.files,
                base_model=model,
                results=results,
                samples=evaluation.samples,
                limit=evaluation.limit,
                seed=evaluation.seed,
                base_precision=held,  # type: ignore[arg-type]  # what an evaluation says is one of them
                compute_precision=computed,  # type: ignore[arg-type]
                threads=self.threads,
            )
            self.sittings[key] = Sitting(examination, self.progress)
        return self.sittings[key]
