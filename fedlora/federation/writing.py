"""Writing ``federation.toml``: a new one with comments, or one with every value of a federation."""

import dataclasses
import os
import textwrap
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from fedlora.config import key_of
from fedlora.errors import ConfigurationError
from fedlora.federation.description import Federation
from fedlora.federation.file import FILE
from fedlora.federation.presets import PRESETS
from fedlora.federation.provenance import item_table, nested_table, plain, preset_layers
from fedlora.federation.schema import has_default, meanings, shown

__all__ = ["new_file", "preset_text", "to_toml"]

WIDTH = 100


def to_toml(federation: Federation) -> str:
    """Return a file that sets every value, and says the same wherever it lies."""
    return tomli_w.dumps(plain(federation))


def preset_text(name: str) -> str:
    """Return the file that a federation of the preset `name` begins with: what it leaves out stands as a comment."""
    preset = PRESETS[name]
    head = (
        f"# {preset.summary}",
        "# What begins with # is left to the preset and the defaults; remove the # to change it.",
        "# Paths are relative to this file's folder.",
        f"# Every key: docs/federation-file.md. To check this file: fedlora config validate {FILE}",
        "",
    )
    values = {"name": name, "preset": name, **preset.file}
    return "\n".join([*head, *_table(Federation, values, preset.values, "", explained=True)]).rstrip() + "\n"


def _table(
    schema: type[Any], values: Mapping[str, Any], preset: Mapping[str, Any], path: str, *, explained: bool
) -> Iterator[str]:
    """Yield the lines of a table's keys, then those of the tables below it."""
    hints, said = typing.get_type_hints(schema, include_extras=True), meanings(schema)
    fields = dataclasses.fields(schema)
    tables = [field for field in fields if nested_table(hints[field.name]) or item_table(hints[field.name])]
    for field in fields:
        key = key_of(field.name)
        if field not in tables:
            if explained:
                yield from _comment(said[field.name])
            if key in values:
                yield f"{key} = {shown(values[key])}"
            elif explained and has_default(field):
                yield f"# {key} = {shown(preset.get(key, plain(field.default)))}"
    yield ""
    for field in tables:
        key = key_of(field.name)
        here = f"{path}.{key}" if path else key
        if explained and not path:
            yield from _comment(said[field.name])
        given = preset.get(key, {})
        if below := nested_table(hints[field.name]):
            if explained or key in values:
                yield f"[{here}]"
                yield from _table(below, values.get(key, {}), given, here, explained=explained)
        elif item := item_table(hints[field.name]):
            for number, entry in enumerate(values.get(key, ())):
                yield f"[[{here}]]"
                below_it = {key: value for _, layer in preset_layers(item, entry) for key, value in layer.items()}
                yield from _table(item, entry, below_it, here, explained=explained and number == 0)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def new_file(directory: Path, text: str) -> Path:
    """Write `text` to ``federation.toml`` in `directory`, which is made if need be; return the file.

    Raises
    ------
    ConfigurationError
        If one stands there, or the disk does not take it.
    """
    file = directory / FILE
    unfinished = directory / f".{FILE}.{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(unfinished, file)  # refuses where one stands, unlike a rename
        finally:
            unfinished.unlink(missing_ok=True)
    except FileExistsError as error:
        stands = f"{file} exists" if os.path.lexists(file) else f"{directory} is no folder"
        raise ConfigurationError(f"{stands} and is not overwritten; name another folder, or move it away") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error}") from error
    return file
