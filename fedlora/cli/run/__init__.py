"""``fedlora run``: submitting runs and seeing what becomes of them, at the coordinator."""

import typer

from fedlora.cli.run.list import list_runs
from fedlora.cli.run.log import log
from fedlora.cli.run.resume import resume
from fedlora.cli.run.show import show
from fedlora.cli.run.stop import stop
from fedlora.cli.run.submit import submit
from fedlora.cli.run.watch import watch

__all__ = ["application"]

application = typer.Typer(
    help="Submit runs and see what becomes of them.", no_args_is_help=True, epilog="Example: fedlora run list"
)
application.command(epilog="Example: fedlora run submit tweets federation.toml --set run.budget=2000")(submit)
application.command("list", epilog="Example: fedlora run list --format json")(list_runs)
application.command(epilog="Example: fedlora run show tweets")(show)
application.command(epilog="Example: fedlora run watch tweets")(watch)
application.command(epilog="Example: fedlora run log tweets --follow")(log)
application.command(epilog="Example: fedlora run stop tweets --yes")(stop)
application.command(epilog="Example: fedlora run resume tweets")(resume)
