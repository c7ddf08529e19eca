"""Entries for the tests of the leaderboard: made-up answers, scored, submitted and signed by the real functions."""

import dataclasses
import json
import random
from pathlib import Path

import numpy as np

from evaluator.leaderboard.columns import BOARDS
from evaluator.leaderboard.files import MANIFEST, SIGNATURE
from evaluator.leaderboard.manifest import RunFigures
from evaluator.leaderboard.signing import create_key, read_key, sign
from evaluator.leaderboard.submission import Submission, submit
from evaluator.results.answer import Answer, append_answers
from evaluator.results.score import score
from fedlora.adapters import open_adapter
from fedlora.adapters.checkpoint import file_sha256
from fedlora.config import keyed
from fedlora.wire import AdapterSpec, TensorSpec
from superlink.checkpoints import Checkpoints

BASE_SHA256 = "b" * 64
MODULE = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
GROUPS = ("stem", "social-sciences", "humanities", "other")
LABELS = {"mmlu": "ABCD", "medmcqa": "ABCD", "medqa": "ABCD", "careqa": "ABCD", "pubmedqa": ("yes", "no", "maybe")}
SENTIMENTS = ("negative", "neutral", "positive")


def spec() -> AdapterSpec:
    return AdapterSpec(
        kit_version="0.1.0",
        base_model="tiny",
        tokenizer_sha256="c" * 64,
        base_model_sha256=BASE_SHA256,
        recipe="finance/quick",
        recipe_sha256="d" * 64,
        adapter="lora",
        alpha=8,
        tensors=(TensorSpec(MODULE.format("A"), (2, 3)), TensorSpec(MODULE.format("B"), (3, 2))),
    )


def make_adapter(folder: Path, value: float = 1.0) -> Path:
    """Make a checkpoint of a tiny adapter, as a run would, and return its folder."""
    checkpoints = Checkpoints(folder)
    vector = np.full(spec().size, value, np.float32)
    return checkpoints.place(checkpoints.prepare(1, 1, vector, spec()), 1)


def make_answers(task: str, scoring: str, n: int, accuracy: float, seed: int) -> list[Answer]:
    """Return `n` answers of which about `accuracy` are right; items are the same for all seeds."""
    dice, made = random.Random(f"{task} {seed}"), []
    for number in range(n):
        common = {"id": f"{task}-{number}", "group": GROUPS[number % 4] if task == "mmlu" else "", "prompt_tokens": 40}
        right = dice.random() < accuracy
        if any(column.task == task for column in BOARDS["code"].columns):
            made.append(Answer(text="x = 1", chosen="passed" if right else "failed", correct=right, **common))
            continue
        labels = tuple(LABELS.get(task, SENTIMENTS))
        gold = labels[number % len(labels)]
        chosen = gold if right else labels[(number + 1) % len(labels)]
        if scoring == "likelihood":
            said = {"likelihoods": {one: -1.0 - (one != chosen) for one in labels}, "tokens": dict.fromkeys(labels, 1)}
        else:
            said = {"text": f" {chosen}"}
        made.append(Answer(gold=gold, chosen=chosen, correct=right, **said, **common))
    return made


def make_results(
    folder: Path, places: dict[tuple[str, str], tuple[int, float]], *, adapter_sha256: str = "", seed: int = 0, **about
) -> Path:
    """Write what the evaluator would: by task and scoring, n and accuracy."""
    folder.mkdir(parents=True)
    evaluation = {
        "base-model": "tiny-llama",
        "base-model-sha256": BASE_SHA256,
        "adapter-sha256": adapter_sha256,
        "run": "",
        "kit-version": "0.1.0",
        "versions": {"torch": "2.9.1", "transformers": "5.0.0"},
        "precision": "fp4",
        "samples": 1,
        "limit": 0,
        "seed": 7,
        "created": "2026-11-23T12:00:00Z",
        **about,
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    for (task, scoring), (n, accuracy) in places.items():
        write_result(folder, task, scoring, make_answers(task, scoring, n, accuracy, seed))
    return folder


def write_result(folder: Path, task: str, scoring: str, answers: list[Answer]) -> None:
    place = folder / task / scoring
    place.mkdir(parents=True, exist_ok=True)
    (place / "answers.jsonl").unlink(missing_ok=True)
    append_answers(answers, place / "answers.jsonl")
    made = dataclasses.asdict(score(task, scoring, answers))
    (place / "score.json").write_text(json.dumps(keyed(made)))


def finance(
    n: int = 40, accuracy: float = 0.7, scoring: str = "flowertune"
) -> dict[tuple[str, str], tuple[int, float]]:
    return {(task, scoring): (n, accuracy) for task in ("fpb", "fiqa", "tfns")}


def figures(**changes) -> RunFigures:
    values = {
        "name": "tweets",
        "strategy": "fedavg",
        "rounds": 3,
        "clients": 50,
        "fraction": 0.1,
        "seed": 1,
        "upload_codec": "fp32",
        "broadcast_codec": "fp32",
        "payload_bytes": 52 * 2**20,
        "seconds": 90.5,
        "resident_bytes": 900 * 2**20,
    }
    return RunFigures(**{**values, **changes})


class Desk:
    """Where entries are made, each in a folder of its own below `folder`, by one key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.public = create_key(folder)

    def entry(
        self,
        name: str,
        places: dict[tuple[str, str], tuple[int, float]] | None = None,
        *,
        base: float = 0.4,
        seed: int = 0,
        **changes,
    ) -> Path:
        """Make an entry; `changes` are fields of the submission."""
        places = finance() if places is None else places
        adapter = make_adapter(self.folder / f"{name}-adapter", value=1.0 + seed)
        sha256 = file_sha256(adapter / "adapter_model.safetensors")
        untouched = {place: (n, base) for place, (n, _) in places.items()}
        values = {
            "title": name,
            "submitter": "A Lab",
            "domain": "finance",
            "adapter": open_adapter(adapter),
            "results": make_results(self.folder / f"{name}-results", places, adapter_sha256=sha256, seed=seed),
            "base_results": make_results(self.folder / f"{name}-base", untouched, seed=100),
            "run": figures(),
            **changes,
        }
        submit(Submission(**values), read_key(self.key), self.folder / "entries" / name)
        return self.folder / "entries" / name

    def sign_again(self, entry: Path, change) -> None:
        """Change an entry's manifest, hash its files anew, and sign it, as a submitter could."""
        document = json.loads((entry / MANIFEST).read_bytes())
        for path in document["files"]:
            content = entry / path
            if content.is_file() and not content.is_symlink():
                document["files"][path] = {"bytes": content.stat().st_size, "sha256": file_sha256(content)}
        change(document)
        content = json.dumps(document).encode()
        (entry / MANIFEST).write_bytes(content)
        (entry / SIGNATURE).write_bytes(sign(read_key(self.key), content))
