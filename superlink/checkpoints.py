"""Checkpoints of a run: what a new attempt goes on from.

A checkpoint is the folder ``checkpoints/round-0007``: the round's global adapter in PEFT's layout, its spec, what the
strategy goes on with where it keeps something (``strategy.safetensors``), and ``checkpoint.json``, which names every
other file with its hash. It is written under another name, made durable, and
put in its place in one step, inside a transaction of the ledger that a replaced attempt cannot enter (fencing). So
either the round is in the ledger as aggregated and its checkpoint is there, or neither.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedlora.adapters.checkpoint import LAYOUT, NOTE, changed_files, checkpoint_folders, file_sha256
from fedlora.errors import CheckpointError, WireError
from fedlora.folders import make_durable
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector
from superlink.adapters import join_adapter, write_adapter

__all__ = ["Checkpoint", "Checkpoints"]

STATE = "strategy.safetensors"
log = logging.getLogger("fedlora.superlink")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read back and found whole."""

    round: int
    adapter: Vector
    spec: AdapterSpec
    state: Mapping[str, Vector] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints in a run's folder.

    Parameters
    ----------
    directory : Path
        The folder ``checkpoints``.
    keep : int
        How many of the newest stay.
    """

    def __init__(self, directory: Path, keep: int = 3) -> None:
        self.directory = directory
        self.keep = keep

    def prepare(
        self, number: int, epoch: int, adapter: Vector, spec: AdapterSpec, state: Mapping[str, Vector] | None = None
    ) -> Path:
        """Write the checkpoint of round `number` under another name, durable on the disk, and return that folder.

        Parameters
        ----------
        number, epoch : int
            Round and attempt.
        adapter : Vector
            ``spec.size`` values.
        spec : AdapterSpec
            Of the adapter.
        state : mapping, optional
            What the strategy goes on with.

        Raises
        ------
        CheckpointError
            If the disk does not take it.
        """
        unfinished = self.directory / f".round-{number:04d}.epoch-{epoch}"
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700, parents=True)
            write_adapter(adapter, spec, unfinished)
            (unfinished / "spec.json").write_text(spec.to_json(), encoding="utf-8")
            if state:
                save_file(dict(state), unfinished / STATE)
            files = {file.name: file_sha256(file) for file in sorted(unfinished.iterdir())}
            about = {"layout": LAYOUT, "round": number, "epoch": epoch, "files": files}
            (unfinished / NOTE).write_text(json.dumps(about, indent=2), encoding="utf-8")
            for file in (*unfinished.iterdir(), unfinished):
                make_durable(file)
        except (OSError, SafetensorError) as error:  # a full disk is either, depending on who writes
            shutil.rmtree(unfinished, ignore_errors=True)
            raise CheckpointError(f"the checkpoint of round {number} cannot be written: {error}") from error
        return unfinished

    def place(self, unfinished: Path, number: int) -> Path:
        """Put a prepared checkpoint in its place, remove the oldest beyond `keep`, and return its folder."""
        final = self.directory / f"round-{number:04d}"
        try:
            shutil.rmtree(final, ignore_errors=True)  # one that an earlier attempt left and that was found damaged
            unfinished.rename(final)
            make_durable(self.directory)
        except OSError as error:
            raise CheckpointError(f"the checkpoint of round {number} cannot be put in place: {error}") from error
        for _, old in checkpoint_folders(self.directory)[self.keep :]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; a damaged one is named in the log and passed over."""
        for number, directory in checkpoint_folders(self.directory):
            try:
                return _read(number, directory)
            except CheckpointError as error:
                log.warning("%s; the one before it is taken", error)
        return None

    def newest_folder(self) -> Path:
        """Return the folder of the newest checkpoint.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        for _, directory in checkpoint_folders(self.directory):
            return directory
        raise CheckpointError(f"there is no checkpoint in {self.directory}")


def _read(number: int, directory: Path) -> Checkpoint:
    try:
        about = json.loads((directory / NOTE).read_text(encoding="utf-8"))
        if about["layout"] != LAYOUT:
            raise CheckpointError(f"checkpoint {directory} has layout {about['layout']}; this kit reads {LAYOUT}")
        for name in changed_files(directory, about["files"]):
            raise CheckpointError(f"checkpoint {directory} is damaged: {name} is not what was written")
        if about["round"] != number:
            raise CheckpointError(f"checkpoint {directory} is of round {about['round']}")
        spec = AdapterSpec.from_json((directory / "spec.json").read_text(encoding="utf-8"))
        tensors = load_file(directory / "adapter_model.safetensors")
        state = load_file(directory / STATE) if STATE in about["files"] else {}
        return Checkpoint(number, join_adapter(tensors, spec), spec, state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, WireError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {directory} is damaged: {error}") from error
