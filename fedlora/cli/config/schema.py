"""``fedlora config schema``."""

import json
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["schema"]


class Format(StrEnum):
    """How the keys are printed."""

    JSON = "json"
    MARKDOWN = "markdown"


def schema(
    output: Annotated[Format, typer.Option("--format", help="A JSON schema, or tables in Markdown.")] = Format.JSON,
) -> None:
    """Print what may stand in a federation's file: for editors, as a JSON schema; for people, as tables."""
    from fedlora.federation.schema import json_schema, key_tables

    typer.echo(key_tables() if output is Format.MARKDOWN else json.dumps(json_schema(), indent=2))
