"""Configuration files as frozen dataclasses: every error at once, unknown keys are errors."""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast

from fedlora.errors import ConfigurationError

__all__ = ["from_mapping", "read_toml"]

Settings = TypeVar("Settings")
_MISSING = object()


def read_toml(schema: type[Settings], file: Path) -> Settings:
    """Read `file` into `schema`.

    Parameters
    ----------
    schema : type
        A frozen dataclass; nested dataclasses are tables of the file.
    file : Path
        A TOML file. Relative paths in it are relative to the file's folder.

    Raises
    ------
    ConfigurationError
        If the file is missing or not TOML, or with every wrong key and value in it, each by its dotted path.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error
    return from_mapping(schema, table, origin=str(file), base=file.parent)


def from_mapping(
    schema: type[Settings], values: Mapping[str, Any], *, origin: str, base: Path | None = None
) -> Settings:
    """Build `schema` from `values`; see `read_toml`, with `origin` named in the error and `base` for paths."""
    problems: list[str] = []
    result = _table(schema, values, "", base, problems)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise ConfigurationError(f"{origin} has {len(problems)} problem(s):\n{listed}")
    return cast("Settings", result)


def _table(schema: type[Any], values: Mapping[str, Any], path: str, base: Path | None, problems: list[str]) -> object:
    before = len(problems)
    hints = typing.get_type_hints(schema)
    fields = {field.name.replace("_", "-"): field for field in dataclasses.fields(schema)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(sorted(fields))}"
            problems.append(f"{path}{key}: unknown key; {advice}")
    arguments: dict[str, Any] = {}
    for key, field in fields.items():
        if key in values:
            arguments[field.name] = _value(hints[field.name], values[key], f"{path}{key}", base, problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"{path}{key}: missing")
    if len(problems) > before:
        return _MISSING
    try:
        return schema(**arguments)
    except (ValueError, ConfigurationError) as error:  # a dataclass refuses in __post_init__ what its types admit
        problems.append(f"{path.rstrip('.') or schema.__name__}: {error}")
        return _MISSING


def _value(hint: Any, value: Any, path: str, base: Path | None, problems: list[str]) -> Any:
    if typing.get_origin(hint) in (Union, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return _table(cast("type[Any]", hint), value, f"{path}.", base, problems)
        return _wrong(path, value, "a table", problems)
    if typing.get_origin(hint) is Literal:
        allowed = typing.get_args(hint)
        return value if value in allowed else _wrong(path, value, f"one of {', '.join(allowed)}", problems)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            return _wrong(path, value, "a list", problems)
        item = typing.get_args(hint)[0]
        return tuple(_value(item, one, f"{path}[{i}]", base, problems) for i, one in enumerate(value))
    if hint is Path:
        if not isinstance(value, str) or not value:
            return _wrong(path, value, "a path", problems)
        try:
            written = Path(value).expanduser()
        except RuntimeError:  # ~somebody who is not there
            return _wrong(path, value, "a path of a user of this machine", problems)
        return written if base is None or written.is_absolute() else base / written
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        return _wrong(
            path,
            value,
            {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}[hint],
            problems,
        )
    return value


def _wrong(path: str, value: object, allowed: str, problems: list[str]) -> object:
    problems.append(f"{path}: {value!r} is not {allowed}")
    return _MISSING
