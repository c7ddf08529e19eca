"""``fedlora adapter``: what an adapter is, how far two are apart, and handing one on."""

import typer

from fedlora.cli.adapter.attack import attack
from fedlora.cli.adapter.diff import diff
from fedlora.cli.adapter.export import export
from fedlora.cli.adapter.merge import merge
from fedlora.cli.adapter.show import show

__all__ = ["application"]

application = typer.Typer(
    help="Look into adapters, and hand them on.",
    no_args_is_help=True,
    epilog="Example: fedlora adapter show runs/tweets/checkpoints/round-0003",
)
application.command(epilog="Example: fedlora adapter show runs/tweets/checkpoints/round-0003 --each")(show)
application.command(epilog="Example: fedlora adapter diff tweets-1 tweets-2 --format json")(diff)
application.command(
    epilog="Example: fedlora adapter attack tweets-adapter --members mine.jsonl --others not-mine.jsonl"
)(attack)
application.command(epilog="Example: fedlora adapter export --run tweets --to tweets-adapter")(export)
application.command(
    epilog="Example: fedlora adapter merge tweets-adapter --base-model models/my-llm --to models/my-llm-tweets"
)(merge)
