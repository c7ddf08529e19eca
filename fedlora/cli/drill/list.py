"""``fedlora drill list``."""

import json

import typer

from fedlora.cli.options import Format, FormatOption

__all__ = ["list_drills"]


def list_drills(output: FormatOption = Format.TABLE) -> None:
    """List the drills: what each does, and what it needs of the machine."""
    from fedlora.drills import DRILLS

    if output is Format.JSON:
        facts = [
            {
                "name": drill.name,
                "summary": drill.summary,
                "part": drill.part,
                "seconds": drill.seconds,
                "past_deadline": drill.late,
                "needs": list(drill.needs),
            }
            for drill in DRILLS.values()
        ]
        typer.echo(json.dumps(facts, indent=2))
        return
    row = "{:<21}{:<59}{}"
    typer.echo(row.format("drill", "what it does", "needs").rstrip())
    for drill in DRILLS.values():
        typer.echo(row.format(drill.name, drill.summary, ", ".join(drill.needs)).rstrip())
