"""Configuration files as frozen dataclasses: every error at once, unknown keys are errors.

A field may bear rules besides its type: ``Annotated[int, between(1, 65535)]``, see `fedlora.rules`.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast

from fedlora.errors import ConfigurationError
from fedlora.rules import Rule, suggestion

__all__ = ["Problem", "examine", "from_mapping", "hold_to_rules", "key_of", "keyed", "load_toml", "read_toml", "refuse"]

Settings = TypeVar("Settings")
_MISSING = object()
_PLAIN = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, by its dotted path in the file."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


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
    return from_mapping(schema, load_toml(file)[1], origin=str(file), base=file.parent)


def load_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of `file` and what it says.

    Raises
    ------
    ConfigurationError
        If the file is missing or not TOML; says where.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        end = f"at line {len(lines)}, column {len(lines[-1]) + 1}, the end of the file"
        raise ConfigurationError(f"{file} is not TOML: {str(error).replace('at end of document', end)}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists of lists of lists
        raise ConfigurationError(f"{file} cannot be read: {error}") from error


def from_mapping(
    schema: type[Settings], values: Mapping[str, Any], *, origin: str, base: Path | None = None
) -> Settings:
    """Build `schema` from `values`; see `read_toml`, with `origin` named in the error and `base` for paths."""
    result, problems = examine(schema, values, base)
    if result is None:
        raise refuse(origin, problems)
    return result


def refuse(origin: str, problems: Sequence[object]) -> ConfigurationError:
    """Return the error that lists `problems`."""
    listed = "\n".join(f"  - {problem}" for problem in problems)
    text = f"{origin} has {len(problems)} problem(s):\n{listed}"
    return ConfigurationError(text.encode("utf-8", "backslashreplace").decode())  # JSON may have halves of characters


def examine(
    schema: type[Settings], values: Mapping[str, Any], base: Path | None = None
) -> tuple[Settings | None, list[Problem]]:
    """Return what `values` say, or nothing, and everything that is wrong with them; see `from_mapping`."""
    problems: list[Problem] = []
    result = _table(schema, values, "", base, problems)
    return (None if problems else cast("Settings", result)), problems


def hold_to_rules(instance: Any) -> None:
    """Check a dataclass that was not read but made: each of its values, by type and rules.

    Raises
    ------
    ConfigurationError
        With every value that is wrong.
    """
    problems: list[Problem] = []
    for name, hint in typing.get_type_hints(type(instance), include_extras=True).items():
        _value(hint, getattr(instance, name), key_of(name), None, problems)
    if problems:
        raise ConfigurationError("; ".join(map(str, problems)))


def keyed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a dataclass's fields by their keys in the file."""
    return {key_of(name): value for name, value in values.items()}


def key_of(field_name: str) -> str:
    """Return the key in the file of a dataclass's field."""
    return field_name.replace("_", "-")


def _table(schema: type[Any], values: Mapping[str, Any], path: str, base: Path | None, problems: list[Problem]) -> Any:
    before = len(problems)
    hints = typing.get_type_hints(schema, include_extras=True)
    fields = {key_of(field.name): field for field in dataclasses.fields(schema)}
    for key in values:
        if key not in fields:
            advice = suggestion(key, fields) or f"allowed: {', '.join(sorted(fields))}"
            problems.append(Problem(f"{path}{key}", f"unknown key; {advice}"))
    arguments: dict[str, Any] = {}
    for key, field in fields.items():
        if key in values:
            arguments[field.name] = _value(hints[field.name], values[key], f"{path}{key}", base, problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            rules = _rules(hints[field.name])
            must = f"; it must be {rules[0].allowed}" if rules else ""
            problems.append(Problem(f"{path}{key}", f"missing{must}"))
    if len(problems) > before:
        return _MISSING
    try:
        return schema(**arguments)
    except (ValueError, ConfigurationError) as error:  # a dataclass refuses in __post_init__ what its types admit
        problems.append(Problem(path.rstrip(".") or schema.__name__, str(error)))
        return _MISSING


def _value(hint: Any, value: Any, path: str, base: Path | None, problems: list[Problem]) -> Any:
    kind = typing.get_origin(hint)
    if kind is Annotated:
        return _ruled(hint, value, path, base, problems)
    if kind in (Union, types.UnionType):
        return _either(hint, value, path, base, problems)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return _table(cast("type[Any]", hint), value, f"{path}.", base, problems)
        return _wrong(path, value, "a table", problems)
    if kind is Literal:
        allowed = typing.get_args(hint)
        return value if value in allowed else _wrong(path, value, _expected(hint), problems, allowed)
    if kind is tuple:
        if not isinstance(value, list | tuple):
            return _wrong(path, value, "a list", problems)
        item = typing.get_args(hint)[0]
        return tuple(_value(item, one, f"{path}[{i}]", base, problems) for i, one in enumerate(value))
    if kind is Mapping:
        if not isinstance(value, Mapping):
            return _wrong(path, value, "a table", problems)
        inner = typing.get_args(hint)[1]
        return {str(key): _value(inner, one, f"{path}.{key}", base, problems) for key, one in value.items()}
    if hint is Path:
        return _path(value, path, base, problems)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        return _wrong(path, value, _expected(hint), problems)
    return value


def _ruled(hint: Any, value: Any, path: str, base: Path | None, problems: list[Problem]) -> Any:
    """Read a value that bears rules; of the wrong type, it is told what the rules allow."""
    rules = _rules(hint)
    own: list[Problem] = []
    built = _value(typing.get_args(hint)[0], value, path, base, own)
    if own and not (rules and own[0].path == path):  # a list's items speak for themselves
        problems += own
        return _MISSING
    broken = rules[:1] if own else [rule for rule in rules if not rule.holds(built)]
    return _wrong(path, value, broken[0].allowed, problems, broken[0].choices) if broken else built


def _either(hint: Any, value: Any, path: str, base: Path | None, problems: list[Problem]) -> Any:
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    if len(kinds) == 1:
        return _value(kinds[0], value, path, base, problems)
    for kind in kinds:
        own: list[Problem] = []
        built = _value(kind, value, path, base, own)
        if not own:
            return built
    return _wrong(path, value, _expected(hint), problems)


def _path(value: Any, path: str, base: Path | None, problems: list[Problem]) -> Any:
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value:
        return _wrong(path, value, _expected(Path), problems)
    try:
        written = Path(value).expanduser()
    except RuntimeError:  # ~somebody who is not there
        return _wrong(path, value, "a path of a user of this machine", problems)
    return written if base is None or written.is_absolute() else base / written


def _rules(hint: Any) -> list[Rule]:
    return [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Rule)]


def _expected(hint: Any) -> str:
    """Say what a value of this type is."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_expected(kind) for kind in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        words = typing.get_args(hint)
        return f"one of {', '.join(words)}" if len(words) > 1 else repr(words[0])
    return _PLAIN.get(hint, "a value")


def _wrong(path: str, value: object, allowed: str, problems: list[Problem], choices: Sequence[str] = ()) -> object:
    near = suggestion(value, choices)
    problems.append(Problem(path, f"{value!r} is not {allowed}{near and '; ' + near}"))
    return _MISSING
