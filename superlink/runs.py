"""A run's folder: where everything about it lies."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from fedlora.errors import RunError
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector
from superlink.adapters import save_adapter

__all__ = ["RunFolder", "check_name"]

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def check_name(name: str) -> str:
    """Return `name` if it can name a run or a site.

    Raises
    ------
    RunError
        If it is not 1 to 64 small letters, digits and dashes.
    """
    if not NAME.fullmatch(name):
        raise RunError(f"{name!r} is no name: 1 to 64 of a-z, 0-9 and -, with a letter or digit at both ends")
    return name


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run `name` below `runs`."""

    runs: Path
    name: str

    @property
    def directory(self) -> Path:
        """The folder."""
        return self.runs / check_name(self.name)

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.directory / "ledger.sqlite"

    @property
    def adapter(self) -> Path:
        """Folder of the last aggregated adapter, in PEFT's layout."""
        return self.directory / "adapter"

    def create(self) -> None:
        """Make the folder if it is not there."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def save(self, number: int, vector: Vector, spec: AdapterSpec) -> None:
        """Write the adapter of round `number`, and what it is, over those of the round before."""
        save_adapter(vector, spec, self.adapter)
        about = {"run": self.name, "round": number, "spec_sha256": spec.sha256, "base_model": spec.base_model}
        file = self.directory / "run.json"
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        unfinished.replace(file)
