"""The command ``fedlora``."""

import inspect
import signal
import sys
from types import FrameType
from typing import Annotated

import click
import typer
import typer.core

import fedlora
from fedlora.cli.adapter import application as adapter
from fedlora.cli.audit import application as audit
from fedlora.cli.backup import backup, restore
from fedlora.cli.benchmark import application as benchmark
from fedlora.cli.bundle import application as bundle
from fedlora.cli.checkpoint import application as checkpoint
from fedlora.cli.config import application as config
from fedlora.cli.demo import demo
from fedlora.cli.down import down
from fedlora.cli.drill import application as drill
from fedlora.cli.init import init
from fedlora.cli.leaderboard import application as leaderboard
from fedlora.cli.model import application as model
from fedlora.cli.node import application as node
from fedlora.cli.pki import application as pki
from fedlora.cli.recipe import application as recipe
from fedlora.cli.render import application as render
from fedlora.cli.run import application as run
from fedlora.cli.shard import application as shard
from fedlora.cli.status import status
from fedlora.cli.strategy import application as strategy
from fedlora.cli.top import top
from fedlora.cli.up import up
from fedlora.errors import FedloraError

__all__ = ["application", "main"]

# Help is plain text: Rich's panels cost as much time as all the rest of `fedlora --help`. Typer looks for Rich itself;
# with only its markup off it would still load it, and print "\\[required]".
typer.core.HAS_RICH = False

application = typer.Typer(
    name="fedlora",
    help="Federated LoRA fine-tuning of language models on data that may not leave its owners.",
    epilog="Example: fedlora demo --domain medical",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
    suggest_commands=False,  # Click does
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(fedlora.__version__)
        raise typer.Exit


@application.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Federated LoRA fine-tuning of language models on data that may not leave its owners."""


application.command(epilog="Example: fedlora init my-federation --preset two-sites")(init)
application.command(epilog="Example: fedlora up federation.toml")(up)
application.command(epilog="Example: fedlora status federation.toml --format json")(status)
application.command(epilog="Example: fedlora top --interval 5")(top)
application.command(epilog="Example: fedlora down federation.toml")(down)
application.command(epilog="Example: fedlora backup backups/monday federation.toml")(backup)
application.command(epilog="Example: fedlora restore backups/monday federation.toml")(restore)
application.add_typer(config, name="config")
application.add_typer(run, name="run")
application.add_typer(recipe, name="recipe")
application.add_typer(strategy, name="strategy")
application.add_typer(shard, name="shard")
application.add_typer(model, name="model")
application.add_typer(adapter, name="adapter")
application.add_typer(checkpoint, name="checkpoint")
application.add_typer(benchmark, name="benchmark")
application.add_typer(leaderboard, name="leaderboard")
application.add_typer(pki, name="pki")
application.add_typer(bundle, name="bundle")
application.add_typer(render, name="render")
application.add_typer(node, name="node")
application.add_typer(drill, name="drill")
application.add_typer(audit, name="audit")
application.command(epilog="Example: fedlora demo --domain finance --rounds 2 --format json")(demo)


def _keep_texts_whole(group: typer.Typer) -> None:
    """Have Click print each example as one line, to be copied, and not cut what a command does after a few words."""
    for command in group.registered_commands:
        command.epilog = f"\b\n{command.epilog}"
        command.short_help = inspect.cleandoc(getattr(command.callback, "__doc__", "")).partition("\n\n")[0]
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _keep_texts_whole(below.typer_instance)
    group.info.epilog = f"\b\n{group.info.epilog}"
    group.info.short_help = group.info.help


_keep_texts_whole(application)


def main() -> None:
    """Run the command line; the one place that turns errors into exit codes."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(application(standalone_mode=False))  # Typer returns 130 after Ctrl-C, None when all is well
    except FedloraError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
