"""Writing the settings files of parts, which read them with `fedlora.config.read_toml`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from fedlora.errors import ConfigurationError
from fedlora.folders import replace_durably

__all__ = ["settings_text", "write_settings"]


def write_settings(settings: Mapping[str, Any], file: Path) -> Path:
    """Write `settings` as TOML, dataclasses as tables and paths as text, and return `file`.

    Raises
    ------
    ConfigurationError
        If the disk does not take it; what stood there stays.
    """
    try:
        replace_durably(file, settings_text(settings).encode())
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from error
    return file


def settings_text(settings: Mapping[str, Any]) -> str:
    """Return what `write_settings` writes."""
    return tomli_w.dumps({key: _plain(value) for key, value in settings.items()})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name.replace("_", "-"): getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value.absolute()) if isinstance(value, Path) else value
