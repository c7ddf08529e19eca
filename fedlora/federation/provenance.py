"""Which of five sources gives each value: default, preset, file, environment, command line; the later ones win."""

import dataclasses
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fedlora.config import Problem, key_of
from fedlora.recipes import Recipe, preset_values

__all__ = [
    "Origin",
    "Override",
    "Source",
    "apply",
    "item_table",
    "leaves",
    "nested_table",
    "plain",
    "preset_layers",
    "resolve",
]

# By what an entry of a list of tables is called in an override, besides its number.
CALLED_BY = ("name", "domain")


class Source(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    PRESET = "preset"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Origin:
    """Where a value comes from, and where there: name of the preset or the variable, or line of the file."""

    source: Source
    where: str = ""

    def __str__(self) -> str:
        return f"{self.source}, {self.where}" if self.where else str(self.source)


@dataclass(frozen=True)
class Override:
    """One value from outside of the file.

    Attributes
    ----------
    keys : tuple of str
        The keys on the way to it; an entry of a list of tables is called by its name, its domain or its number.
    text : str
        The value, as TOML, or as it stands where a text is wanted.
    origin : Origin
        Where it comes from.
    """

    keys: tuple[str, ...]
    text: str
    origin: Origin

    @classmethod
    def from_environment(cls, variable: str, text: str) -> "Override":
        """Read the variable ``FEDLORA__TABLE__KEY``."""
        keys = tuple(part.lower().replace("_", "-") for part in variable.split("__")[1:])
        return cls(keys, text, Origin(Source.ENVIRONMENT, variable))

    @classmethod
    def from_command_line(cls, key: str, text: str) -> "Override":
        """Read the option ``--set table.key=value``."""
        keys = tuple(key.replace("[", ".").replace("]", "").split("."))
        return cls(keys, text, Origin(Source.COMMAND_LINE))


def resolve(
    schema: type[Any],
    layers: Sequence[tuple[Origin, Mapping[str, Any]]],
    origins: dict[str, Origin],
    path: str = "",
) -> dict[str, Any]:
    """Return the values of `layers`, lowest first, above the defaults of `schema`, as TOML would have them.

    Tables are merged key by key; a list is taken whole. Nothing is checked: what is wrong is found by reading the
    result. `origins` gets where each value comes from, by path.
    """
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(schema, include_extras=True)
    fields = {key_of(field.name): field for field in dataclasses.fields(schema)}
    unknown = {key: None for _, table in layers for key in table if key not in fields}
    for key in (*fields, *unknown):
        here = f"{path}.{key}" if path else key
        given = [(origin, table[key]) for origin, table in layers if key in table]
        hint = hints[fields[key].name] if key in fields else None
        below = nested_table(hint)
        if below is not None and all(isinstance(value, Mapping) for _, value in given):
            values[key] = resolve(below, given, origins, here)
        elif given:
            origin, value = given[-1]
            origins[here] = origin
            item = item_table(hint)
            values[key] = value if item is None else _entries(item, value, origin, origins, here)
        elif (default := _default(fields[key])) is not dataclasses.MISSING:
            origins[here] = Origin(Source.DEFAULT)
            values[key] = plain(default)
    return values


def _entries(schema: type[Any], value: Any, origin: Origin, origins: dict[str, Origin], path: str) -> Any:
    if not isinstance(value, list):
        return value
    return [
        resolve(schema, [*preset_layers(schema, entry), (origin, entry)], origins, f"{path}[{number}]")
        if isinstance(entry, Mapping)
        else entry
        for number, entry in enumerate(value)
    ]


def preset_layers(schema: type[Any], entry: Mapping[str, Any]) -> list[tuple[Origin, Mapping[str, Any]]]:
    """Return what lies below an entry of a list of tables: a recipe's preset."""
    if schema is not Recipe:
        return []
    preset = str(entry.get("preset", Recipe.preset))
    values = preset_values(preset, str(entry.get("domain")))
    return [(Origin(Source.PRESET, preset), {key_of(name): plain(value) for name, value in values.items()})]


def apply(
    schema: type[Any], values: dict[str, Any], overrides: Sequence[Override], origins: dict[str, Origin]
) -> list[Problem]:
    """Put `overrides` into `values`, and return which of them lead nowhere."""
    problems = []
    for override in overrides:
        try:
            _put(schema, values, override, origins)
        except KeyError as error:
            problem = Problem(".".join(override.keys), str(error.args[0]))
            problems.append(problem)
            origins.setdefault(problem.path, override.origin)
    return problems


def _put(schema: type[Any], values: dict[str, Any], override: Override, origins: dict[str, Origin]) -> None:
    table: Any = values
    about: type[Any] | None = schema
    path, keys = "", list(override.keys)
    while keys:
        key = keys.pop(0)
        about_of_table = about
        hints = typing.get_type_hints(about, include_extras=True) if about else {}
        hint = hints.get(key.replace("-", "_"))
        path = f"{path}.{key}" if path else key
        about = nested_table(hint)
        item = item_table(hint)
        if not keys:
            if about or item:
                raise KeyError("is a table; an override sets one value of it")
            table[key] = _read(hint, override.text)
            origins[path] = override.origin
            if about_of_table is Recipe and key in ("preset", "domain"):
                _lay_anew(table, path.rpartition(".")[0], origins)
            return
        if item is not None and isinstance(table.get(key), list):
            number = _number(table[key], keys.pop(0))
            table, about, path = table[key][number], item, f"{path}[{number}]"
        elif about is not None and isinstance(table.get(key), dict):
            table = table[key]
        else:
            raise KeyError(f"{path} is no table")
    raise KeyError("is a table; an override sets one value of it")


def _lay_anew(table: dict[str, Any], path: str, origins: dict[str, Origin]) -> None:
    """Replace what a recipe has from its preset and the defaults, once an override has named another preset."""
    chosen = {
        key: value
        for key, value in table.items()
        if origins[f"{path}.{key}"].source not in (Source.DEFAULT, Source.PRESET)
    }
    below: dict[str, Origin] = {}
    table.update(resolve(Recipe, [*preset_layers(Recipe, chosen), (Origin(Source.FILE), chosen)], below, path))
    origins.update({where: origin for where, origin in below.items() if origin.source is not Source.FILE})


def _number(entries: list[Any], wanted: str) -> int:
    """Return the place of the entry that is called `wanted`."""
    tables = {number: entry for number, entry in enumerate(entries) if isinstance(entry, dict)}
    for name in CALLED_BY:
        for number, entry in tables.items():
            if entry.get(name) == wanted:
                return number
        if any(name in entry for entry in tables.values()):
            break  # sites are called by their names, although they have a domain as well
    if wanted.isdecimal() and int(wanted) in tables:
        return int(wanted)
    for number, entry in tables.items():
        if wanted == f"{entry.get('domain')}/{entry.get('preset')}":
            return number
    called = [str(entry.get("name", entry.get("domain", ""))) for entry in tables.values()]
    raise KeyError(f"nothing is called {wanted!r}; there are: {', '.join(called)}")


def _read(hint: Any, text: str) -> Any:
    """Read the text of an override: as it stands where a text is wanted, else as TOML if it is some."""
    kind = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    if kind in (str, Path):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def leaves(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return every value that is no table, by its path."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            found |= leaves(value, here)
        elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            for number, entry in enumerate(value):
                found |= leaves(entry, f"{here}[{number}]")
        else:
            found[here] = value
    return found


def plain(value: Any) -> Any:
    """Return a value of a dataclass as TOML has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key_of(field.name): plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def nested_table(hint: Any) -> type[Any] | None:
    """Return the dataclass of a key that is a table, or None."""
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def item_table(hint: Any) -> type[Any] | None:
    """Return the dataclass of a key that is a list of tables, or None."""
    hint = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    return nested_table(typing.get_args(hint)[0]) if typing.get_origin(hint) is tuple else None


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
