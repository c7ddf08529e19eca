"""Examining a base model, alone and with an adapter, in benchmarks; what is answered stays answered."""

import hashlib
import json
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import fedlora
from evaluator.results.answer import Answer, append_answers, read_answers
from evaluator.results.evaluation import EVALUATION, Evaluation, read_evaluation
from evaluator.results.score import TaskScore, score
from evaluator.sandbox.run import require
from evaluator.tasks.catalogue import TASKS, Asked, task
from evaluator.tasks.program import CodeTask
from fedlora.adapters.checkpoint import checkpoint_folders
from fedlora.adapters.folder import WEIGHTS, open_adapter
from fedlora.config import from_mapping, keyed
from fedlora.errors import ConfigurationError, EvaluationError
from fedlora.language_model import BaseModel
from fedlora.recipes.recipe import BasePrecision, ComputePrecision
from fedlora.rules import between

if TYPE_CHECKING:
    from evaluator.scoring.examiner import Examiner

__all__ = [
    "ANSWERS",
    "BASE",
    "SCORINGS",
    "Engine",
    "Examination",
    "Progress",
    "Scoring",
    "Sitting",
    "examine",
    "follow",
    "result",
    "results",
]

Scoring = Literal["flowertune", "likelihood", "greedy"]
Engine = Literal["transformers", "vllm"]
SCORINGS: tuple[Scoring, ...] = ("flowertune", "likelihood", "greedy")
DRAWN = {(name, "flowertune") for name, one in TASKS.items() if isinstance(one, CodeTask)}
BASE = "base"
LOOK_SECONDS = 2.0  # between looks for checkpoints
ANSWERS, SCORE = "answers.jsonl", "score.json"
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "tokenizers")
log = logging.getLogger("fedlora.evaluator")
EXTRA = {"transformers": "eval", "vllm": "vllm"}
Progress = Callable[[str, str, str, int, int], None]  # who, task, scoring, items answered, items


@dataclass(frozen=True)
class Examination:
    """What is to be examined, and how.

    Attributes
    ----------
    benchmarks : Mapping[str, Path]
        Names of tasks, and the file that each one's items are read from.
    base_model : BaseModel
        The base model.
    results : Path
        Folder that answers and scores go into; what stands there already is not answered again.
    adapters : Mapping[str, Path]
        Folders of adapters, by the name that their results get; without any, the base model alone is examined.
    run : str
        The run that the adapter is of, for the record.
    scorings : tuple of str
        ``flowertune`` as the reference does it, ``likelihood`` by the labels' likelihoods, ``greedy`` of programs that
        are not drawn; of each task those that it has.
    samples : int
        Programs that are drawn for each item, for pass@k.
    limit : int
        Most items of a task, drawn by `seed`; 0 for all.
    seed : int
        For the draw of items, and of programs.
    base_precision, compute_precision : str
        As in a recipe. The reference has 4-bit weights for the boards of general NLP, finance and medical.
    threads : int
        Cores to use.
    batch_tokens : int
        Most tokens of a batch, padding included.
    engine : str
        What computes: ``transformers``, or ``vllm``.
    """

    benchmarks: Mapping[str, Path]
    base_model: BaseModel
    results: Path
    adapters: Mapping[str, Path] = field(default_factory=dict)
    run: str = ""
    scorings: tuple[Scoring, ...] = SCORINGS
    samples: Annotated[int, between(1, 1000)] = 1
    limit: Annotated[int, between(0, 10**9)] = 0
    seed: int = 0
    base_precision: BasePrecision = "bf16"
    compute_precision: ComputePrecision = "fp32"
    threads: int = 2
    batch_tokens: int = 4096
    engine: Engine = "transformers"


class Sitting:
    """One sitting: items are read at its begin, and the model is loaded once, when the first answer is wanted.

    Parameters
    ----------
    examination : Examination
        What to do.
    progress : callable
        Is told of each batch.

    Raises
    ------
    EvaluationError
        If an item cannot be asked.
    """

    def __init__(self, examination: Examination, progress: Progress) -> None:
        self.examination = examination
        self.progress = progress
        self.items: dict[str, list[Asked]] = {
            name: _drawn(task(name).read(file), examination) for name, file in examination.benchmarks.items()
        }
        languages = {one.language for name in self.items if isinstance(one := task(name), CodeTask)}
        if languages:
            require(*sorted(languages))

    def score(self, who: str, adapter: Path | None = None) -> list[TaskScore]:
        """Answer all items that have no answer yet below `who` in the results, and return the scores.

        Raises
        ------
        EvaluationError
            If the adapter does not fit, or the folder holds the results of something else.
        BaseModelError
            If the base model cannot be loaded.
        """
        self.begin(who, adapter)
        return [
            self.answer(who, adapter, name, scoring)
            for name in self.items
            for scoring in self.examination.scorings
            if scoring in task(name).scorings
        ]

    def scored(self, who: str) -> bool:
        """Say whether all scores below `who` stand there."""
        return all(
            (self.examination.results / who / name / scoring / SCORE).exists()
            for name in self.items
            for scoring in self.examination.scorings
            if scoring in task(name).scorings
        )

    def begin(self, who: str, adapter: Path | None = None) -> None:
        """Write what the results below `who` are of, or hold what stands there to it."""
        _begin(self.examination.results / who, _evaluation(self.examination, adapter))

    def answer(self, who: str, adapter: Path | None, name: str, scoring: str) -> TaskScore:
        """Answer the items of one task by one scoring that have no answer yet, and return the score; after `begin`."""
        folder, asked = self.examination.results / who / name / scoring, self.items[name]
        folder.mkdir(parents=True, exist_ok=True)
        samples = self.examination.samples if (name, scoring) in DRAWN else 1
        there = _answered(folder / ANSWERS, asked)
        rest = [item for item in asked if any((item.id, sample) not in there for sample in range(samples))]
        if rest:
            with self._examiner.wear(adapter):
                for batch in self._examiner.answers(task(name), scoring, rest, samples):
                    new = {(answer.id, answer.sample): answer for answer in batch}
                    append_answers((answer for key, answer in new.items() if key not in there), folder / ANSWERS)
                    there = {**new, **there}
                    self.progress(who, name, scoring, len(there), len(asked) * samples)
        made = score(name, scoring, [there[item.id, sample] for item in asked for sample in range(samples)])
        _write(folder / SCORE, made)
        return made

    @cached_property
    def _examiner(self) -> "Examiner":
        examination = self.examination
        os.environ.update(OMP_NUM_THREADS=str(examination.threads), OMP_WAIT_POLICY="PASSIVE")
        os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
        if examination.engine == "vllm":
            from evaluator.scoring.vllm import VllmExaminer

            held, computed = examination.base_precision, examination.compute_precision
            if held != computed:
                raise EvaluationError(
                    f"vLLM computes in what weights are held in: not {computed} with weights in {held}"
                )
            return VllmExaminer(
                examination.base_model, precision=held, seed=examination.seed, threads=examination.threads
            )
        from evaluator.scoring.examiner import Examiner
        from fedlora.language_model.loading import load

        model, tokenizer = load(
            examination.base_model, precision=examination.base_precision, compute=examination.compute_precision
        )
        return Examiner(
            model,
            tokenizer,
            batch_tokens=examination.batch_tokens,
            seed=examination.seed,
            threads=examination.threads,
        )


def examine(examination: Examination, progress: Progress) -> dict[str, list[TaskScore]]:
    """Score the base model and each adapter; see `Sitting`, also for what is raised."""
    sitting = Sitting(examination, progress)
    for who, adapter in examination.adapters.items():
        sitting.begin(who, adapter)  # one that does not fit is named before anything is answered
    return {who: sitting.score(who, adapter) for who, adapter in {BASE: None, **examination.adapters}.items()}


def follow(
    examination: Examination, checkpoints: Path, every: int, ended: Callable[[], bool], progress: Progress
) -> None:
    """Score the base model, and the adapter of each round that is there or comes, until the run has ended.

    Parameters
    ----------
    examination : Examination
        What to do, but for the adapters.
    checkpoints : Path
        The folder of the run's checkpoints.
    every : int
        Rounds divisible by this are scored, and the last one.
    ended : callable
        Says whether the run goes no further.
    progress : callable
        Is told of each batch.
    """
    sitting = Sitting(examination, progress)
    sitting.score(BASE)
    done: set[int] = set()
    while True:
        over = ended()  # asked before the look at the checkpoints, of which the last may come in between
        found = sorted(checkpoint_folders(checkpoints))
        for number, folder in found:
            last = over and number == found[-1][0]
            if number not in done and (number % every == 0 or last) and folder.is_dir():  # the run removes old ones
                sitting.score(folder.name, folder)
                done.add(number)
        for number in range(every, found[-1][0] + 1 if found else 0, every):
            if number not in done and not (checkpoints / f"round-{number:04d}").exists():
                if not sitting.scored(f"round-{number:04d}"):
                    log.warning("round %d is not scored in full: its checkpoint was removed before that", number)
                done.add(number)
        if over:
            return
        time.sleep(LOOK_SECONDS)


def _drawn(items: Sequence[Asked], examination: Examination) -> list[Asked]:
    """Return as many items as are wanted, in their order."""
    if not 0 < examination.limit < len(items):
        return list(items)
    places = random.Random(examination.seed).sample(range(len(items)), examination.limit)  # noqa: S311 - a draw
    return [items[place] for place in sorted(places)]


def _evaluation(examination: Examination, folder: Path | None) -> Evaluation:
    """Describe what is examined; the adapter is held to the base model."""
    model, adapter_sha256 = examination.base_model, ""
    if folder is not None:
        adapter = open_adapter(folder)
        made_for = adapter.spec.base_model_sha256 if adapter.spec else model.sha256
        if made_for != model.sha256:
            raise EvaluationError(
                f"the adapter {folder} was trained on {adapter.base_model} with the hash {made_for}, "
                f"not on {model.name} with {model.sha256}; name that base model with --base-model"
            )
        adapter_sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    return Evaluation(
        base_model=model.name,
        base_model_sha256=model.sha256,
        adapter_sha256=adapter_sha256,
        run=examination.run if folder else "",
        kit_version=fedlora.__version__,
        versions=_versions(examination.engine),
        precision=f"{examination.base_precision}, computed in {examination.compute_precision}",
        samples=examination.samples,
        limit=examination.limit,
        seed=examination.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _versions(engine: Engine) -> dict[str, str]:
    """Return the versions of the libraries that compute; another engine's answers are never mixed with these."""
    try:
        return {name: version(name) for name in (*LIBRARIES, *(("vllm",) if engine == "vllm" else ()))}
    except PackageNotFoundError as error:
        raise EvaluationError(
            f"{error.name} is not installed here; run: pip install 'fedlora[{EXTRA[engine]}]'"
        ) from error


def _begin(folder: Path, evaluation: Evaluation) -> None:
    """Write what the results are of, or hold what stands there to it."""
    file = folder / EVALUATION
    if file.exists():
        there = read_evaluation(file.read_bytes(), str(file))
        if replace(there, created=evaluation.created) != evaluation:
            differing = [
                key for key, value in asdict(evaluation).items() if key != "created" and getattr(there, key) != value
            ]
            raise EvaluationError(
                f"{folder} holds results with another {', '.join(differing)}; name another folder for these"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write(file, evaluation)


def _answered(file: Path, items: Sequence[Asked]) -> dict[tuple[str, int], Answer]:
    """Return the answers that stand there; what a kill cut in two is cut off, to be answered again."""
    if not file.exists():
        return {}
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        file.write_bytes(whole)
    there = {(answer.id, answer.sample): answer for answer in read_answers(file)}
    strangers = {identity for identity, _ in there} - {item.id for item in items}
    if strangers:
        raise EvaluationError(f"{file} answers an item that is not among those asked: {min(strangers)!r}")
    return there


def _write(file: Path, what: Evaluation | TaskScore) -> None:
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(keyed(asdict(what)), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(file)


def results(folder: Path) -> Iterator[tuple[str, Evaluation, list[TaskScore]]]:
    """Yield of each folder of results below `folder` its name, what it is of, and its scores; the base model first.

    Raises
    ------
    EvaluationError
        If there is none, or a file is something else.
    """
    files = sorted(folder.glob(f"*/{EVALUATION}"), key=lambda file: _order(file.parent.name))
    if not files:
        raise EvaluationError(f"{folder} holds no results of `fedlora benchmark run`")
    for file in files:
        yield file.parent.name, *result(file.parent)


def _order(name: str) -> tuple[bool, int, str]:
    """Return what folders of results are sorted by: the base model first, then rounds by their number."""
    return name != BASE, len(name), name


def result(folder: Path) -> tuple[Evaluation, list[TaskScore]]:
    """Return what one folder of results is of, and its scores.

    Raises
    ------
    EvaluationError
        If a file is something else.
    """
    file = folder / EVALUATION
    try:
        evaluation = read_evaluation(file.read_bytes(), str(file))
        scores = [
            from_mapping(TaskScore, json.loads(one.read_text(encoding="utf-8")), origin=str(one))
            for one in sorted(folder.glob(f"*/*/{SCORE}"))
        ]
    except (OSError, ValueError, ConfigurationError) as error:
        raise EvaluationError(f"{folder} holds something else than results: {error}") from error
    return evaluation, scores
