"""Checking an entry: its signature, every file, and every score from the answers that it is made of."""

import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.leaderboard.comparison import Solved, solved_by_group
from evaluator.leaderboard.files import (
    EVALUATION,
    MANIFEST,
    MODELS,
    SIGNATURE,
    answers_path,
    digest,
    files_in,
    most_bytes,
    read,
)
from evaluator.leaderboard.manifest import Manifest, read_json
from evaluator.leaderboard.signing import fingerprint, signed_by
from evaluator.results.answer import Answer, read_answers
from evaluator.results.evaluation import Evaluation, read_evaluation
from evaluator.results.score import TaskScore, score
from fedlora.adapters import open_adapter
from fedlora.adapters.folder import CONFIG, WEIGHTS
from fedlora.config import from_mapping
from fedlora.errors import AdapterError, ConfigurationError, EntryError, EvaluationError

__all__ = ["Judge", "Problem", "Rerun", "Verification", "inconsistency", "verify"]

UNREAD = dict.fromkeys(("fpb", "fiqa", "tfns"), "neutral")  # what the benchmark takes for an answer that cannot be read
PLAIN = re.compile(r"[\w.]+", re.ASCII)
TOLERANCE = 1e-12  # of a score that another machine has computed from the same answers
Place = tuple[str, str, str]  # model, task and scoring
# Returns an answer as it is judged again from its text: arguments are task, scoring and the answer.
Judge = Callable[[str, str, Answer], Answer]
# Answers a task again: arguments are the entry's adapter folder (None for the base model), how it was scored, task and
# scoring.
Rerun = Callable[[Path | None, Evaluation, str, str], Iterable[Answer]]


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with an entry: in which file, and what."""

    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


@dataclass(frozen=True)
class Verification:
    """What came of checking an entry.

    Attributes
    ----------
    folder : Path
        The entry.
    id : str
        First 12 digits of its manifest's SHA-256; empty where there is none.
    manifest : Manifest or None
        What it says, where that can be read.
    key_sha256 : str
        Fingerprint of the key that it names.
    vouched : bool
        Whether the signer is the one that the caller has named; else anybody may have signed.
    problems : tuple of Problem
        What is wrong; empty if nothing is.
    files, answers : int
        How many were checked.
    solved : mapping
        By model, task and scoring, which items are right: of each group, and of all under the empty name.
    """

    folder: Path
    id: str = ""
    manifest: Manifest | None = None
    key_sha256: str = ""
    vouched: bool = False
    problems: tuple[Problem, ...] = ()
    files: int = 0
    answers: int = 0
    solved: Mapping[Place, Mapping[str, Solved]] = field(default_factory=dict)

    def check(self) -> "Verification":
        """Return this, if nothing is wrong.

        Raises
        ------
        EntryError
            With every problem.
        """
        if self.problems:
            listed = "\n".join(f"  - {problem}" for problem in self.problems)
            raise EntryError(f"the entry {self.folder} does not hold, {len(self.problems)} problem(s):\n{listed}")
        return self


def verify(folder: Path, public: str = "", *, judge: Judge | None = None, rerun: Rerun | None = None) -> Verification:
    """Check the entry in `folder`.

    Parameters
    ----------
    folder : Path
        The entry; nothing in it is believed before it is checked, and nothing is written.
    public : str
        The key that must have signed it, 64 hexadecimal digits; empty for the one that it names itself.
    judge : callable, optional
        Judges each answer again from its text. Without it, `correct` is held to the labels in the answer alone.
    rerun : callable, optional
        Lets the models answer again; what differs is a problem.

    Returns
    -------
    Verification
        With every problem that was found; it is never raised.
    """
    try:
        listed = dict(files_in(folder))
        content, signature = read(folder, MANIFEST), read(folder, SIGNATURE)
        manifest = Manifest.from_json(content)
    except EntryError as error:
        return Verification(folder, problems=(Problem(MANIFEST, str(error)),))
    unsigned = list(_signature_problems(manifest, content, signature, public))
    bad = list(_file_problems(folder, manifest, listed))
    broken = {problem.file for problem in bad}
    results = _Results(folder, manifest, broken, judge, rerun)
    problems = [*unsigned, *bad, *_evaluation_problems(folder, manifest, broken)]
    if not any(path.startswith("adapter/") for path in broken):
        problems += _adapter_problems(folder, manifest)
    problems += results.problems()
    return Verification(
        folder,
        hashlib.sha256(content).hexdigest()[:12],
        manifest,
        fingerprint(manifest.public_key),
        bool(public) and not unsigned,
        tuple(problems),
        len(manifest.files),
        sum(one[""].n for one in results.solved.values()),
        results.solved,
    )


def _signature_problems(manifest: Manifest, content: bytes, signature: bytes, public: str) -> Iterator[Problem]:
    if public and public != manifest.public_key:
        yield Problem(MANIFEST, "the entry names another key than the one that is asked for")
    if not signed_by(manifest.public_key, content, signature):
        yield Problem(SIGNATURE, f"is not the signature of {MANIFEST}: one of the two was changed")


def _file_problems(folder: Path, manifest: Manifest, listed: Mapping[str, int | None]) -> Iterator[Problem]:
    """Yield what is missing, too many, of another kind, too large, or not what was signed."""
    for path in sorted(set(listed) - set(manifest.files) - {MANIFEST, SIGNATURE}):
        yield Problem(path, "is not in the manifest")
    expected = {answers_path(model, one.task, one.scoring) for model in MODELS for one in manifest.scores[model]}
    for path in sorted(expected - set(manifest.files)):
        yield Problem(path, "is not in the manifest, though a score is made of it")
    for path, note in sorted(manifest.files.items()):
        if path in (MANIFEST, SIGNATURE) or not most_bytes(path):
            yield Problem(path, "has no place in an entry")  # nothing outside the folder is ever opened
        elif path not in listed:
            yield Problem(path, "is missing")
        elif listed[path] is None:
            yield Problem(path, "is no plain file")
        elif listed[path] != note.bytes:
            yield Problem(path, f"has {listed[path]} bytes, not the {note.bytes} that were signed")
        elif note.bytes > most_bytes(path):
            yield Problem(path, f"is larger than the {most_bytes(path)} bytes that it may have")
        elif (problem := _content_problem(folder, path, note.sha256)) is not None:
            yield problem


def _content_problem(folder: Path, path: str, sha256: str) -> Problem | None:
    try:
        return None if digest(folder, path) == sha256 else Problem(path, "is not what was signed: its SHA-256 differs")
    except EntryError as error:
        return Problem(path, str(error))


def _evaluation_problems(folder: Path, manifest: Manifest, broken: set[str]) -> Iterator[Problem]:
    """Yield where the notes of the two evaluations are not those of the manifest, or do not fit each other."""
    for model in MODELS:
        path = f"{model}/{EVALUATION}"
        if path in broken:
            continue
        try:
            if read_evaluation(read(folder, path)) != manifest.evaluations[model]:
                yield Problem(path, "is not what the manifest says")
        except EvaluationError as error:
            yield Problem(path, str(error))
    if reason := inconsistency(manifest.adapted, manifest.base, manifest.adapter.sha256):
        yield Problem(MANIFEST, reason)


def inconsistency(adapted: Evaluation, base: Evaluation, adapter_sha256: str) -> str:
    """Say why two evaluations are not those of an adapter and of its base model, scored alike; empty if they are."""
    if adapted.adapter_sha256 != adapter_sha256:
        return f"the adapter that was scored has the SHA-256 {adapted.adapter_sha256 or '(none)'}, not {adapter_sha256}"
    if base.adapter_sha256:
        return f"what stands for the base model was scored with the adapter {base.adapter_sha256}"
    for name in ("base_model_sha256", "precision", "samples", "limit", "seed"):
        ours, theirs = getattr(adapted, name), getattr(base, name)
        if ours != theirs:
            return f"the two were not scored alike: {name.replace('_', ' ')} {ours} against {theirs}"
    return ""


def _adapter_problems(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    file = f"adapter/{WEIGHTS}"
    try:
        patterns = read_json(read(folder, f"adapter/{CONFIG}")).get("alpha_pattern") or {}
        if not all(PLAIN.fullmatch(pattern) for pattern in patterns):
            yield Problem(f"adapter/{CONFIG}", "alpha_pattern may name modules here, and hold no regular expressions")
            return
        adapter = open_adapter(folder / "adapter")
        if (found := digest(folder, file)) != manifest.adapter.sha256:
            yield Problem(file, f"has the SHA-256 {found}, and the manifest's adapter {manifest.adapter.sha256}")
    except (AdapterError, EntryError, ValueError, TypeError) as error:
        yield Problem("adapter", str(error))
        return
    if adapter.spec is not None and adapter.spec.base_model_sha256 != manifest.base.base_model_sha256:
        yield Problem("adapter/spec.json", "is for another base model than the one that was scored")
    if (adapter.kind, adapter.rank, adapter.alpha, adapter.size) != (
        *(manifest.adapter.kind, manifest.adapter.rank, manifest.adapter.alpha),
        manifest.adapter.parameters,
    ):
        yield Problem("adapter", "its kind, rank, alpha or size is not what the manifest says")


@dataclass
class _Results:
    """The results of an entry, task by task.

    Attributes
    ----------
    folder, manifest : Path and Manifest
        The entry.
    broken : set of str
        Files that are not looked into.
    judge, rerun : callable or None
        As of `verify`.
    solved : dict
        Filled while problems are looked for.
    """

    folder: Path
    manifest: Manifest
    broken: set[str]
    judge: Judge | None
    rerun: Rerun | None
    solved: dict[Place, Mapping[str, Solved]] = field(default_factory=dict)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with answers and scores."""
        for model in MODELS:
            for stated in self.manifest.scores[model]:
                place = (model, stated.task, stated.scoring)
                if answers_path(*place) in self.broken:
                    continue
                try:
                    answers = self._answers(place)
                    self.solved[place] = solved_by_group(answers)
                    yield from self._judgement(place, answers)
                    yield from self._scores(place, stated, score(stated.task, stated.scoring, answers))
                    yield from self._answers_again(place, answers)
                except EvaluationError as error:
                    yield Problem(answers_path(*place), str(error))
        yield from self._pairs()

    def _answers(self, place: Place) -> list[Answer]:
        file = self.folder / answers_path(*place)
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - 1, 0))
            if stream.read() != b"\n":
                raise EntryError("is empty, or ends in the middle of a line")
        return list(read_answers(file))

    def _judgement(self, place: Place, answers: Sequence[Answer]) -> Iterator[Problem]:
        """Yield where an answer does not count as its labels, or its text, demand."""
        _, task, scoring = place
        wrong = [one.id for one in answers if not _judged_rightly(task, one)]
        if wrong:
            text = f"{len(wrong)} answers are not judged as their labels say, the first is {wrong[0]!r}"
            yield Problem(answers_path(*place), text)
        again = [one.id for one in answers if self.judge is not None and self.judge(task, scoring, one) != one]
        if again:
            text = f"{len(again)} answers are judged otherwise from their text, the first is {again[0]!r}"
            yield Problem(answers_path(*place), text)

    def _scores(self, place: Place, stated: TaskScore, made: TaskScore) -> Iterator[Problem]:
        """Yield where what is stated is not what the answers make."""
        model, task, scoring = place
        file = f"{model}/{task}/{scoring}/score.json"
        told = f"accuracy {made.accuracy.value:.4f} of n = {made.accuracy.n}, unparsable {made.unparsable:.4f}"
        if not _equal(dataclasses.asdict(stated), dataclasses.asdict(made)):
            text = f"the score of {model} in {task} by {scoring} is not what its answers make: {told}"
            yield Problem(MANIFEST, text)
        if file in self.broken:
            return
        try:
            kept = from_mapping(TaskScore, read_json(read(self.folder, file)), origin=file)
        except (ValueError, ConfigurationError, EntryError) as error:
            yield Problem(file, str(error))
            return
        if not _equal(dataclasses.asdict(kept), dataclasses.asdict(made)):
            yield Problem(file, f"is not what the answers make: {told}")

    def _answers_again(self, place: Place, answers: Sequence[Answer]) -> Iterator[Problem]:
        """Yield where the model answers otherwise today, if it is asked."""
        if self.rerun is None:
            return
        model, task, scoring = place
        adapter = self.folder / "adapter" if model == "adapted" else None
        found = self.rerun(adapter, self.manifest.evaluations[model], task, scoring)
        again = {(one.id, one.sample): one for one in found}
        kept = {(one.id, one.sample): one for one in answers}
        if again.keys() != kept.keys():
            yield Problem(answers_path(*place), f"{len(again.keys() ^ kept.keys())} items were answered once only")
        other = [key for key in kept.keys() & again.keys() if kept[key].chosen != again[key].chosen]
        if other:
            text = f"{len(other)} of {len(kept)} items are answered otherwise, the first is {min(other)}"
            yield Problem(answers_path(*place), text)

    def _pairs(self) -> Iterator[Problem]:
        """Yield where the base model was not asked what the adapter was asked."""
        ours, theirs = ({(one.task, one.scoring) for one in self.manifest.scores[model]} for model in MODELS)
        for task, scoring in sorted(ours ^ theirs):
            yield Problem(MANIFEST, f"{task} by {scoring} has a score of one of {' and '.join(MODELS)} alone")
        for task, scoring in sorted(ours & theirs):
            places = [(model, task, scoring) for model in MODELS if (model, task, scoring) in self.solved]
            pair = [self.solved[place][""] for place in places]
            if len({one.items_sha256 for one in pair}) > 1:
                counts = " and ".join(str(one.n) for one in pair)
                yield Problem(MANIFEST, f"{task} by {scoring}: adapter and base model answered other items, {counts}")


def _judged_rightly(task: str, answer: Answer) -> bool:
    """Say whether an answer counts as its labels demand; of a program, as it ended."""
    if not answer.gold:
        return answer.correct == (answer.chosen == "passed")
    if answer.likelihoods and answer.chosen not in answer.likelihoods:
        return False
    return answer.correct == ((answer.chosen or UNREAD.get(task)) == answer.gold)


def _equal(one: Any, other: Any) -> bool:
    """Say whether two values are the same, numbers up to the last bits."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
