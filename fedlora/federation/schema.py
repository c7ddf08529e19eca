"""What the dataclasses of a federation say about its file: a JSON schema for editors, tables for the documentation."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from fedlora.config import key_of
from fedlora.federation.description import Federation
from fedlora.federation.provenance import item_table, nested_table, plain
from fedlora.rules import Rule

__all__ = ["has_default", "json_schema", "key_tables", "meanings", "shown"]

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}


def meanings(schema: type[Any]) -> dict[str, str]:
    """Return what each field of a dataclass means, as its docstring says under ``Attributes``."""
    _, _, section = inspect.cleandoc(schema.__doc__ or "").partition("Attributes\n----------\n")
    entries = re.findall(r"^(\w+) : .*\n((?:    .*(?:\n|$))+)", section, re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "") for name, text in entries}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of ``federation.toml``, for editors that know how to hold TOML to one."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "federation.toml of fedlora"}
    return {**head, **_table(Federation)}


def _table(schema: type[Any]) -> dict[str, Any]:
    hints, said = typing.get_type_hints(schema, include_extras=True), meanings(schema)
    properties, required = {}, []
    for field in dataclasses.fields(schema):
        key, hint = key_of(field.name), hints[field.name]
        properties[key] = {"description": said[field.name], **_type(hint)}
        if has_default(field):
            if nested_table(hint) is None:
                properties[key]["default"] = plain(_default(field))
        else:
            required.append(key)
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _type(hint: Any) -> dict[str, Any]:
    kind, arguments = typing.get_origin(hint), typing.get_args(hint)
    if kind is Annotated:
        return _ruled(_type(arguments[0]), [extra for extra in arguments[1:] if isinstance(extra, Rule)])
    if kind in (Union, types.UnionType):
        return {"anyOf": [_type(one) for one in arguments]}
    if kind is Literal:
        return {"enum": list(arguments)}
    if kind is tuple:
        return {"type": "array", "items": _type(arguments[0])}
    if hint is Path:
        return {"type": "string", "minLength": 1}
    table = nested_table(hint)
    return _table(table) if table else {"type": _JSON_TYPES[hint]}


def _ruled(about: dict[str, Any], rules: list[Rule]) -> dict[str, Any]:
    extra = {
        key: list(value) if isinstance(value, tuple) else value for rule in rules for key, value in rule.schema.items()
    }
    return {**about, **extra}


def key_tables() -> str:
    """Return every key, its type, default and meaning, as tables in Markdown."""
    return "\n".join(_key_table(Federation, "", "The file"))


def _key_table(schema: type[Any], path: str, title: str) -> Iterator[str]:
    hints, said = typing.get_type_hints(schema, include_extras=True), meanings(schema)
    yield from (f"### {title}", "", "| key | type | default | meaning |", "|---|---|---|---|")
    below = []
    for field in dataclasses.fields(schema):
        key, hint = key_of(field.name), hints[field.name]
        here = f"{path}.{key}" if path else key
        if table := nested_table(hint):
            below.append((table, here, f"`[{here}]`: {said[field.name]}"))
        elif table := item_table(hint):
            below.append((table, here, f"`[[{here}]]`: {said[field.name]}"))
        else:
            default = f"`{shown(plain(_default(field)))}`" if has_default(field) else "none: must be set"
            yield f"| `{key}` | {_words(hint)} | {default} | {said[field.name]} |"
    yield ""
    for table, here, heading in below:
        yield from _key_table(table, here, heading)


def _words(hint: Any) -> str:
    """Say what a value is: by its rule, which says more, or by its type."""
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Rule):
            return re.sub(r"^an? ", "", extra.allowed)
    kind, arguments = typing.get_origin(hint), typing.get_args(hint)
    if kind is tuple:
        return f"list; each is {_words(arguments[0])}"
    return _WORDS[hint]


def shown(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(shown(entry) for entry in value)}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found.group()):04X}", escaped) + '"'
    return repr(value)


def has_default(field: "dataclasses.Field[Any]") -> bool:
    """Whether a value need not be set."""
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _default(field: "dataclasses.Field[Any]") -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
