"""``fedlora drill list``."""

import json

import typer

from fedlora.cli.options import Format, FormatOption

__all__ = ["list_drills"]


def list_drills(output: FormatOption = Format.TABLE) -> None:
    """List the drills: what each does, where it can run, and what it needs of the machine there."""
    from fedlora.drills import DRILLS

    if output is Format.JSON:
        facts = [
            {
                "name": drill.name,
                "summary": drill.summary,
                "part": drill.part,
                "seconds": drill.seconds,
                "past_deadline": drill.late,
                "needs": {place.value: list(needs) for place, needs in drill.needs.items()},
            }
            for drill in DRILLS.values()
        ]
        typer.echo(json.dumps(facts, indent=2))
        return
    row = "{:<21}{:<67}{}"
    typer.echo(row.format("drill", "what it does", "where, and what it needs there"))
    for drill in DRILLS.values():
        places = (
            f"{place.value} ({', '.join(needs)})" if needs else place.value for place, needs in drill.needs.items()
        )
        typer.echo(row.format(drill.name, drill.summary, "; ".join(places)))
