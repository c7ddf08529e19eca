"""Reading ``federation.toml``: everything that is wrong at once, each with its place."""

import dataclasses
import os
import sys
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlora.config import Problem, examine, key_of, load_toml, refuse
from fedlora.federation.checks import check
from fedlora.federation.description import Federation
from fedlora.federation.lines import key_lines, line_of
from fedlora.federation.presets import PRESETS
from fedlora.federation.provenance import (
    Origin,
    Override,
    Source,
    apply,
    item_table,
    leaves,
    nested_table,
    plain,
    resolve,
)

__all__ = ["FILE", "Resolved", "read_federation"]

FILE = "federation.toml"


@dataclass(frozen=True)
class Resolved:
    """A federation, and where each of its values comes from.

    Attributes
    ----------
    federation : Federation
        What the file says, with everything that it leaves to others.
    origins : mapping
        Where the value of each path comes from.
    """

    federation: Federation
    origins: Mapping[str, Origin]

    def values(self) -> dict[str, tuple[Any, Origin]]:
        """Return each value as TOML has it, and where it comes from, by its path and in the order of the tables."""
        found = leaves(plain(self.federation))
        return {path: (value, self.origins[path]) for path, value in found.items()}


def read_federation(file: Path, overrides: Iterable[Override] = ()) -> Resolved:
    """Read `file`, and lay `overrides` over it, the later ones on top.

    Raises
    ------
    ConfigurationError
        If the file is missing or not TOML, or with everything that is wrong: its line or where else it comes from,
        its dotted path, the value and what is allowed.
    """
    text, table = load_toml(file)
    lines = key_lines(text)
    origins: dict[str, Origin] = {}
    overrides = list(overrides)
    preset = next((over.text for over in reversed(overrides) if over.keys == ("preset",)), str(table.get("preset")))
    given = PRESETS[preset].values if preset in PRESETS else {}
    layers = [(Origin(Source.PRESET, preset), given), (Origin(Source.FILE), table)]
    values = resolve(Federation, layers, origins)
    problems = apply(Federation, values, overrides, origins)
    origins = {path: _in_file(origin, path, lines) for path, origin in origins.items()}
    federation, wrong = examine(Federation, values, file.absolute().parent)
    problems += wrong
    problems += check(_sound(Federation, values, {problem.path for problem in problems}))
    if federation is None or problems:
        raise refuse(str(file), _placed(problems, origins, lines))
    return Resolved(_with_model_beside(file, federation), origins)


def _with_model_beside(file: Path, federation: Federation) -> Federation:
    """Take a base model for the folder of this name beside the file, where there is one: paths are relative to it."""
    folder = file.absolute().parent / federation.base_model
    there = os.path.isfile(folder / "config.json")  # noqa: PTH113 - Path.is_file raises for a name that is too long
    return dataclasses.replace(federation, base_model=str(folder)) if there else federation


def _in_file(origin: Origin, path: str, lines: Mapping[str, int]) -> Origin:
    line = line_of(path, lines)
    return Origin(Source.FILE, f"line {line}") if origin.source is Source.FILE and line else origin


def _placed(problems: list[Problem], origins: Mapping[str, Origin], lines: Mapping[str, int]) -> list[str]:
    """Return the problems with their places, in the order of the file; those from elsewhere come last."""
    placed = []
    for problem in problems:
        origin = next((origins[path] for path in _around(problem.path) if path in origins), Origin(Source.DEFAULT))
        line = line_of(problem.path, lines)
        if origin.source in (Source.FILE, Source.DEFAULT):
            place, order = f"line {line}" if line else "", line or 0
        else:
            place, order = str(origin), sys.maxsize
        placed.append((order, f"{place}: {problem}" if place else str(problem)))
    return [said for _, said in sorted(placed, key=lambda one: one[0])]


def _around(path: str) -> Iterable[str]:
    """Yield the path, and the lists that it is an entry of."""
    yield path
    while path.endswith("]"):
        path = path.rpartition("[")[0]
        yield path


def _sound(schema: type[Any], values: Any, wrong: set[str], path: str = "") -> dict[str, Any]:
    """Return the values of a table with None for all that is wrong or missing."""
    sound: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(schema, include_extras=True).items():
        key = key_of(name)
        here = f"{path}.{key}" if path else key
        value = values.get(key) if isinstance(values, Mapping) else None
        if (below := nested_table(hint)) is not None:
            sound[key] = _sound(below, value, wrong, here)
        elif here in wrong:
            sound[key] = None
        elif isinstance(value, list):
            item = item_table(hint)
            entries = [(f"{here}[{number}]", entry) for number, entry in enumerate(value)]
            sound[key] = [
                _sound(item, entry, wrong, place) if item else None if place in wrong else entry
                for place, entry in entries
            ]
        else:
            sound[key] = value
    return sound
