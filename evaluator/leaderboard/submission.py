"""Making an entry: an adapter, what it scores, what its base model scores, what its run has cost; signed."""

import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evaluator.leaderboard.columns import SCORINGS, TASKS
from evaluator.leaderboard.files import EVALUATION, MANIFEST, MODELS, SIGNATURE, digest, files_in, most_bytes
from evaluator.leaderboard.manifest import (
    LAYOUT,
    AdapterFacts,
    FileNote,
    Manifest,
    RunFigures,
)
from evaluator.leaderboard.signing import public_hex, sign
from evaluator.leaderboard.verification import inconsistency, verify
from evaluator.results.answer import read_answers
from evaluator.results.evaluation import Evaluation, read_evaluation
from evaluator.results.score import TaskScore, score
from fedlora.adapters import Adapter
from fedlora.adapters.card import RunFacts
from fedlora.adapters.checkpoint import file_sha256
from fedlora.adapters.exporting import export
from fedlora.adapters.folder import WEIGHTS
from fedlora.errors import EntryError, EvaluationError
from fedlora.folders import new_folder

__all__ = ["Submission", "submit"]


@dataclass(frozen=True)
class Submission:
    """What an entry is made of.

    Attributes
    ----------
    title, submitter : str
        What people read.
    domain : str
        What the adapter was trained for.
    adapter : Adapter
        The adapter, whole.
    results, base_results : Path
        What the evaluator has written of it, and of its base model alone.
    run : RunFigures or None
        What its ledger says.
    facts : RunFacts or None
        The same for the adapter's card.
    data : tuple of str
        Training sets, as the submitter names them.
    """

    title: str
    submitter: str
    domain: str
    adapter: Adapter
    results: Path
    base_results: Path
    run: RunFigures | None = None
    facts: RunFacts | None = None
    data: tuple[str, ...] = ()


def submit(submission: Submission, key: Ed25519PrivateKey, to: Path) -> Manifest:
    """Make the folder `to`, sign it, check it as anybody would, and return its manifest.

    Raises
    ------
    EntryError
        If results are missing, are of another adapter or base model, were scored otherwise, or are not of the same
        items; if the adapter is not one; or if the folder cannot be made. Nothing is left behind then.
    """
    results = dict(zip(MODELS, (submission.results, submission.base_results), strict=True))
    evaluations = {model: _evaluation(folder) for model, folder in results.items()}
    sha256 = file_sha256(submission.adapter.directory / WEIGHTS)
    if reason := inconsistency(evaluations["adapted"], evaluations["base"], sha256):
        raise EntryError(f"{submission.results} and {submission.base_results}: {reason}")
    _check_base_model(submission.adapter, evaluations["base"])
    places = _places(submission.results)
    with new_folder(to, error=EntryError) as unfinished:
        scores = {model: _copy(folder, unfinished / model, places) for model, folder in results.items()}
        (unfinished / "adapter").mkdir()
        export(submission.adapter, unfinished / "adapter", submission.facts, None)
        manifest = _manifest(submission, key, evaluations, scores, unfinished)
        content = manifest.to_json()
        Manifest.from_json(content)  # what a reader would refuse is refused here, by its key
        (unfinished / MANIFEST).write_bytes(content)
        (unfinished / SIGNATURE).write_bytes(sign(key, content))
        _make_readable(unfinished)
        dataclasses.replace(verify(unfinished, public_hex(key)), folder=to).check()
    return manifest


def _evaluation(results: Path) -> Evaluation:
    try:
        return read_evaluation((results / EVALUATION).read_bytes(), str(results / EVALUATION))
    except OSError as error:
        raise EntryError(
            f"{results} holds no results of an evaluation: {EVALUATION} cannot be read: {error.strerror}"
        ) from error
    except EvaluationError as error:
        raise EntryError(str(error)) from error


def _check_base_model(adapter: Adapter, base: Evaluation) -> None:
    if adapter.spec is not None and adapter.spec.base_model_sha256 != base.base_model_sha256:
        raise EntryError(
            f"{adapter.directory} is for the base model {adapter.spec.base_model_sha256}, and the results are of "
            f"{base.base_model_sha256}; score both with the adapter's own"
        )


def _places(results: Path) -> list[tuple[str, str]]:
    """Return task and scoring of all results in a folder, in the order of the boards."""
    places = [(task, scoring) for task in TASKS for scoring in SCORINGS if (results / task / scoring).is_dir()]
    if not places:
        raise EntryError(f"{results} holds no results: there is no folder TASK/SCORING of {', '.join(TASKS)}")
    return places


def _copy(results: Path, to: Path, places: Sequence[tuple[str, str]]) -> tuple[TaskScore, ...]:
    """Copy the results at `places`, and return their scores."""
    to.mkdir()
    shutil.copyfile(results / EVALUATION, to / EVALUATION)
    scores = []
    for task, scoring in places:
        kept = results / task / scoring
        missing = [name for name in ("answers.jsonl", "score.json") if not (kept / name).is_file()]
        if missing:
            raise EntryError(f"{kept} holds no whole result: no {' and no '.join(missing)}; score it to the end")
        (to / task / scoring).mkdir(parents=True)
        for name in ("answers.jsonl", "score.json"):
            shutil.copyfile(kept / name, to / task / scoring / name)
        scores.append(score(task, scoring, list(read_answers(to / task / scoring / "answers.jsonl"))))
    return tuple(scores)


def _manifest(
    submission: Submission,
    key: Ed25519PrivateKey,
    evaluations: Mapping[str, Evaluation],
    scores: Mapping[str, tuple[TaskScore, ...]],
    folder: Path,
) -> Manifest:
    adapter, spec = submission.adapter, submission.adapter.spec
    return Manifest(
        layout=LAYOUT,
        title=submission.title,
        submitter=submission.submitter,
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        public_key=public_hex(key),
        domain=submission.domain,
        adapter=AdapterFacts(
            digest(folder, f"adapter/{WEIGHTS}"),
            adapter.kind,
            adapter.rank,
            adapter.alpha,
            adapter.size,
            *((spec.recipe, spec.recipe_sha256, spec.tokenizer_sha256, spec.kit_version) if spec else ()),
        ),
        evaluations=evaluations,
        scores=scores,
        files=dict(_notes(folder)),
        data=submission.data,
        run=submission.run,
    )


def _notes(folder: Path) -> Iterator[tuple[str, FileNote]]:
    for path, size in sorted(files_in(folder)):
        if size is None or size > most_bytes(path):
            raise EntryError(
                f"{path} has no place in an entry, or is larger than the {most_bytes(path)} bytes it may have"
            )
        yield path, FileNote(size, digest(folder, path))


def _make_readable(folder: Path) -> None:
    """Let others read it, unlike what it was made from."""
    for entry in (folder, *folder.rglob("*")):
        entry.chmod(0o755 if entry.is_dir() else 0o644)
