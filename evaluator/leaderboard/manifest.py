"""The manifest of an entry: what was trained, at what cost, what it scores, and the hash of every file."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from evaluator.leaderboard.columns import SCORINGS, TASKS
from evaluator.leaderboard.files import MODELS
from evaluator.results.evaluation import Evaluation
from evaluator.results.score import TaskScore
from fedlora.config import from_mapping, key_of
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError, EntryError
from fedlora.rules import Rule, above, at_least, between, matching, one_of, share

__all__ = ["LAYOUT", "AdapterFacts", "FileNote", "Manifest", "RunFigures", "read_json"]

LAYOUT = 1  # version of the entry's layout
SHA256 = matching("[0-9a-f]{64}", "a SHA-256, 64 hexadecimal digits")
LINE = Rule(
    "one line of 1 to 120 letters, without control characters",
    lambda text: 0 < len(text) <= 120 and text.isprintable() and text == text.strip(),
    {"minLength": 1, "maxLength": 120},
)
TIME = matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)", "a time in UTC such as 2026-11-23T12:00:00Z")
Amount = Annotated[int, between(0, 2**63 - 1)]
Figure = Annotated[float, at_least(0.0)]
Value = str | bool | int | float | tuple[str, ...]


@dataclass(frozen=True)
class FileNote:
    """Size and hash of a file."""

    bytes: Amount
    sha256: Annotated[str, SHA256]


@dataclass(frozen=True)
class AdapterFacts:
    """What the adapter is.

    Attributes
    ----------
    sha256 : str
        Hash of its tensors' file.
    kind : str
        lora, rslora or dora.
    rank : int
        Rank.
    alpha : float
        LoRA's alpha.
    parameters : int
        Values in it.
    recipe, recipe_sha256, tokenizer_sha256, kit_version : str
        What its spec says; empty for an adapter that the kit has not trained.
    """

    sha256: Annotated[str, SHA256]
    kind: Annotated[str, one_of(("lora", "rslora", "dora"))]
    rank: Annotated[int, at_least(1)]
    alpha: Annotated[float, above(0.0)]
    parameters: Annotated[int, at_least(1)]
    recipe: str = ""
    recipe_sha256: str = ""
    tokenizer_sha256: str = ""
    kit_version: str = ""


@dataclass(frozen=True)
class RunFigures:
    """What the coordinator's ledger says of the run. A figure that nobody has told is absent, never 0.

    Attributes
    ----------
    name, strategy : str
        Which run, and how updates were aggregated, with the strategy's options.
    rounds : int
        Aggregated rounds up to the adapter.
    clients : int
        Sites of the run.
    fraction : float
        Share of them that is wanted in each round.
    seed : int
        Decides the first adapter and whose turn it is.
    upload_codec, broadcast_codec : str
        How updates and the global adapter became bytes.
    recipe : mapping
        Every value of the recipe, by its keys.
    payload_bytes : int
        Both directions, all attempts, as the coordinator has counted them.
    wire_bytes : int
        The same of TCP streams, as the nodes have counted them.
    seconds : float
        Wall-clock of all attempts.
    train_seconds, gpu_seconds, gpu_joules : float
        Sums over the sites.
    gpu_peak_bytes : int
        The most that one site's trainer has held on its GPUs since it started.
    resident_bytes : int
        The largest resident memory of a trainer, each as told last.
    """

    name: Annotated[str, LINE]
    strategy: Annotated[str, LINE]
    rounds: Amount
    clients: Annotated[int, at_least(1)]
    fraction: Annotated[float, share()]
    seed: int
    upload_codec: str
    broadcast_codec: str
    recipe: Mapping[str, Value] = field(default_factory=dict)
    payload_bytes: Amount | None = None
    wire_bytes: Amount | None = None
    seconds: Figure | None = None
    train_seconds: Figure | None = None
    gpu_seconds: Figure | None = None
    gpu_joules: Figure | None = None
    gpu_peak_bytes: Amount | None = None
    resident_bytes: Amount | None = None


@dataclass(frozen=True)
class Manifest:
    """What an entry says of itself.

    Attributes
    ----------
    layout : int
        Version of the entry's layout.
    title, submitter : str
        What people read; chosen by whoever submits.
    created : str
        When the entry was made, in UTC.
    public_key : str
        Of the submitter, 64 hexadecimal digits.
    domain : str
        What the adapter was trained for.
    adapter : AdapterFacts
        What it is.
    run : RunFigures or None
        How it came about; None of an adapter that no run of the kit has made.
    data : tuple of str
        Training sets, as the submitter names them: nobody can check that, for records stay at their sites.
    evaluations : mapping
        How the base model was scored with the adapter (``adapted``) and without it (``base``).
    scores : mapping
        Scores of both.
    files : mapping
        Size and hash of every file but the manifest and its signature, by path.
    """

    layout: int
    title: Annotated[str, LINE]
    submitter: Annotated[str, LINE]
    created: Annotated[str, TIME]
    public_key: Annotated[str, SHA256]
    domain: Annotated[str, one_of(DOMAINS)]
    adapter: AdapterFacts
    evaluations: Mapping[str, Evaluation]
    scores: Mapping[str, tuple[TaskScore, ...]]
    files: Mapping[str, FileNote]
    data: tuple[Annotated[str, LINE], ...] = ()
    run: RunFigures | None = None

    def __post_init__(self) -> None:
        if self.layout != LAYOUT:
            raise ValueError(f"layout {self.layout} is not {LAYOUT}, which this kit reads: use the newer kit")
        for name in ("evaluations", "scores"):
            if set(getattr(self, name)) != set(MODELS):
                raise ValueError(f"{name} must be of {' and '.join(MODELS)}")
        for model, scores in self.scores.items():
            named = [(one.task, one.scoring) for one in scores]
            if len(set(named)) < len(named) or not named:
                raise ValueError(f"scores of {model} are none, or stand there twice")
            if unknown := [one for one in named if one[0] not in TASKS or one[1] not in SCORINGS]:
                raise ValueError(f"scores of {model} are of {unknown[0]}, which is on no board")

    @property
    def base(self) -> Evaluation:
        """How the base model was scored."""
        return self.evaluations["base"]

    @property
    def adapted(self) -> Evaluation:
        """How it was scored with the adapter."""
        return self.evaluations["adapted"]

    def by_task(self, model: str, scoring: str) -> dict[str, TaskScore]:
        """Return a model's scores of one scoring by task."""
        return {one.task: one for one in self.scores[model] if one.scoring == scoring}

    def to_json(self) -> bytes:
        """Return the file; the same manifest gives the same bytes."""
        return (json.dumps(_plain(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Manifest":
        """Read a manifest that somebody else has written.

        Raises
        ------
        EntryError
            With everything that is wrong in it.
        """
        try:
            return from_mapping(cls, read_json(content), origin="the manifest")
        except (ValueError, ConfigurationError) as error:
            raise EntryError(f"manifest.json cannot be read: {error}") from error


def read_json(content: bytes) -> dict[str, Any]:
    """Return the table that somebody else's JSON holds; a number that is none is refused.

    Raises
    ------
    ValueError
        If it is something else, or nested too deeply.
    """
    try:
        found = json.loads(content, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no table")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _plain(value: Any) -> Any:
    """Return dataclasses as tables by their keys; what is unknown is left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = {key_of(one.name): getattr(value, one.name) for one in dataclasses.fields(value)}
        return {key: _plain(item) for key, item in pairs.items() if item is not None}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
