"""``fedlora pki trust``."""

from datetime import UTC, datetime

import typer

from fedlora.cli.options import Format, FormatOption, RunsOption, runs_folder

__all__ = ["trust"]


def trust(runs: RunsOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show which CAs each registered site trusts, by what it has said in its last answer.

    As JSON it is what `fedlora pki rotate CA switch --trust FILE` asks for where the CA is on another machine.
    """
    from rich.console import Console
    from rich.table import Table

    from superlink.trust import registered_trust, trust_text

    known = registered_trust(runs_folder(runs))
    if output is Format.JSON:
        typer.echo(trust_text(known))
        return
    table = Table()
    for heading in ("site", "online", "said at (UTC)", "SHA-256 of each CA that it trusts"):
        table.add_column(heading, overflow="fold")
    for one in known:
        said = "never" if one.told_at is None else f"{datetime.fromtimestamp(one.told_at, UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(one.site, "yes" if one.online else "no", said, "\n".join(one.authorities))
    Console().print(table)
