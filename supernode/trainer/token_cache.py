"""A site's records as tokens: made once for each recipe, kept on the disk, and read from there as they are used.

::

    state/tokens/
        <key>/           named by all that decides about its contents
            ids.npy      tokens of all examples, one behind the other: uint16, or uint32 for large vocabularies
            starts.npy   where each example begins, and the last one ends: int64
            answers.npy  how many tokens of each are its answer: int32
            about.json   what became of the records, and the hashes of the other files

All of it is private as the shard is, and never leaves the site.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import transformers
from transformers import PreTrainedTokenizerBase

from fedlora.domains import Domain
from fedlora.errors import ShardError, TrainerError
from fedlora.folders import new_folder
from fedlora.language_model import BaseModel
from fedlora.recipes import Recipe
from fedlora.shards import Record, iterate_records, open_shard
from supernode.trainer.examples import Example
from supernode.trainer.tokens import Counts, Tokeniser

__all__ = ["ExamplesOnDisk", "ShardContent", "TokenCache"]

LAYOUT = 1
IDS, STARTS, ANSWERS, ABOUT = "ids.npy", "starts.npy", "answers.npy", "about.json"
RECORDS_AT_ONCE = 1000
SECONDS_BETWEEN_REPORTS = 5.0
log = logging.getLogger("fedlora.trainer")


class ShardContent:
    """The records of a shard folder or a plain data file, known by the hash of their bytes.

    Parameters
    ----------
    source : Path
        Where they are.
    domain : Domain
        What they are about.

    Raises
    ------
    ShardError
        If they cannot be read, or the folder is no shard of `domain`.
    """

    def __init__(self, source: Path, domain: Domain) -> None:
        self.source = source
        self.domain = domain
        self.file, self.claim = source, ""
        if source.is_dir():
            shard = open_shard(source, domain)
            self.file, self.claim = shard.data, shard.manifest.sha256
        self.sha256 = self._hash()

    @property
    def key(self) -> tuple[str, str, str]:
        """What decides which records these are: bytes that are not what their manifest says give another key."""
        return self.sha256, self.claim, self.domain.name

    def records(self) -> Iterator[Record]:
        """Yield the records.

        Raises
        ------
        ShardError
            If one cannot be read, or they are not those any more which were hashed.
        """
        yield from iterate_records(self.source, self.domain)
        if self._hash() != self.sha256:
            raise ShardError(f"{self.file}: was changed while it was read; start the trainer again")

    def _hash(self) -> str:
        try:
            with self.file.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ShardError(f"{self.file}: cannot be read: {error}") from error


class ExamplesOnDisk(Sequence[Example]):
    """Examples that lie in files; one is read when it is asked for.

    Parameters
    ----------
    ids, starts, answers : array
        As the files have them.
    """

    def __init__(self, ids: npt.NDArray[Any], starts: npt.NDArray[Any], answers: npt.NDArray[Any]) -> None:
        if len(starts) != len(answers) + 1 or starts[-1] != len(ids):
            raise ValueError("the files of a token cache do not fit each other")
        self.ids, self.starts, self.answers = ids, starts, answers

    def __len__(self) -> int:
        return len(self.answers)

    @overload
    def __getitem__(self, row: int) -> Example: ...

    @overload
    def __getitem__(self, row: slice) -> list[Example]: ...

    def __getitem__(self, row: int | slice) -> Example | list[Example]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        if row < 0:
            row += len(self)
        if not 0 <= row < len(self):
            raise IndexError(row)
        first, end = int(self.starts[row]), int(self.starts[row + 1])
        return Example(self.ids[first:end].astype(np.int64), int(self.answers[row]))


class TokenCache:
    """The tokens of one shard for the recipes of a site's policy.

    Parameters
    ----------
    directory : Path
        Folder that outlives the process. What no recipe of `recipes` asks for is removed from it.
    content : ShardContent
        The records.
    base : BaseModel
        Whose tokenizer it is.
    tokenizer : PreTrainedTokenizerBase
        The tokenizer.
    recipes : sequence of Recipe
        All that may be trained.

    Raises
    ------
    BaseModelError
        If the tokenizer does not do for one of the recipes.
    """

    def __init__(
        self,
        directory: Path,
        content: ShardContent,
        base: BaseModel,
        tokenizer: PreTrainedTokenizerBase,
        recipes: Sequence[Recipe],
    ) -> None:
        self.directory = directory
        self.content = content
        self.tokenizer_sha256 = base.tokenizer_sha256
        self.tokenisers = {self._place(recipe).name: Tokeniser(tokenizer, recipe) for recipe in recipes}
        self.ids_type = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
        for entry in directory.iterdir() if directory.is_dir() else ():
            if entry.name not in self.tokenisers:
                shutil.rmtree(entry, ignore_errors=True)

    def examples(self, recipe: Recipe) -> tuple[ExamplesOnDisk, Counts]:
        """Return the shard's examples under `recipe`, and what became of its records; tokenised if they are not yet.

        Raises
        ------
        ShardError
            If a record cannot be read, or none can be trained on.
        TrainerError
            If the disk does not take the tokens.
        """
        place = self._place(recipe)
        found = _opened(place)
        if found is None:
            if place.exists():
                log.warning("the tokens in %s are damaged, and are made again", place)
            with new_folder(place, error=TrainerError, replaceable=lambda _: True) as unfinished:
                self._write(self.tokenisers[place.name], unfinished)
            found = _opened(place)
        if found is None:
            raise TrainerError(f"the tokens in {place} are not what was written there; see to the disk")
        return found

    def _place(self, recipe: Recipe) -> Path:
        """Return where the tokens of a recipe lie: its name is the hash of all that decides about them."""
        asked = (recipe.template, recipe.question, recipe.end_of_text, recipe.length)
        key = (LAYOUT, self.content.key, self.tokenizer_sha256, transformers.__version__, asked)
        return self.directory / hashlib.sha256(json.dumps(key).encode()).hexdigest()

    def _write(self, tokeniser: Tokeniser, directory: Path) -> None:
        with (
            _Column(directory / IDS, self.ids_type) as ids,
            _Column(directory / STARTS, np.int64) as starts,
            _Column(directory / ANSWERS, np.int32) as answers,
        ):
            counts = self._fill(tokeniser, ids, starts, answers)
        if not counts.examples:
            raise ShardError(
                f"{self.content.source}: none of its {counts.records} records can be trained on under recipe "
                f"{tokeniser.recipe.name}: {counts.empty} have an answer of blanks, {counts.unanswered} no token of an "
                f"answer within {tokeniser.recipe.length} tokens"
            )
        hashes = {name: _file_hash(directory / name) for name in (IDS, STARTS, ANSWERS)}
        about = {"layout": LAYOUT, "counts": asdict(counts), "files": hashes}
        (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")

    def _fill(self, tokeniser: Tokeniser, ids: "_Column", starts: "_Column", answers: "_Column") -> Counts:
        """Write all examples into the columns, and return what became of the records."""
        counts, reported = Counts(), time.monotonic()
        records = self.content.records()
        starts.append([0])
        while batch := list(islice(records, RECORDS_AT_ONCE)):
            examples, some = tokeniser.examples(batch)
            starts.append(list(accumulate((len(example.ids) for example in examples), initial=ids.length))[1:])
            ids.append(list(chain.from_iterable(example.ids for example in examples)))
            answers.append([example.answer_length for example in examples])
            counts += some
            if time.monotonic() > reported + SECONDS_BETWEEN_REPORTS:
                log.info("recipe %s: %d records tokenised", tokeniser.recipe.name, counts.records)
                reported = time.monotonic()
        return counts


class _Column:
    """A one-dimensional array in NumPy's file format that is written piece by piece."""

    def __init__(self, file: Path, kind: npt.DTypeLike) -> None:
        self.kind = np.dtype(kind)
        self.length = 0
        self.stream = file.open("wb")
        self._head()

    def append(self, values: Sequence[int]) -> None:
        self.stream.write(np.asarray(values, dtype=self.kind).tobytes())
        self.length += len(values)

    def __enter__(self) -> "_Column":
        return self

    def __exit__(self, *_: object) -> None:
        with self.stream:
            self.stream.seek(0)
            self._head()

    def _head(self) -> None:
        """Write the header, which NumPy makes as long for every length of the array."""
        header = {"descr": np.lib.format.dtype_to_descr(self.kind), "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.stream, header)


def _opened(directory: Path) -> tuple[ExamplesOnDisk, Counts] | None:
    """Return what lies in a folder of the cache; None if it is not there or not as it was written."""
    try:
        about = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
        files = [directory / name for name in (IDS, STARTS, ANSWERS)]
        if any(_file_hash(file) != about["files"][file.name] for file in files):
            return None
        ids, starts, answers = (np.load(file, mmap_mode="r", allow_pickle=False) for file in files)
        return ExamplesOnDisk(ids, starts, answers), Counts(**about["counts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file_hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
