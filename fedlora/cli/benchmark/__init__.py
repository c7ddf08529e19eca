"""``fedlora benchmark``: what an adapter has gained, in the benchmarks of the four domains."""

import typer

from fedlora.cli.benchmark.follow import follow
from fedlora.cli.benchmark.list import list_benchmarks
from fedlora.cli.benchmark.run import run
from fedlora.cli.benchmark.show import show

__all__ = ["application"]

application = typer.Typer(
    help="Score base models and adapters in the benchmarks of the four domains.",
    no_args_is_help=True,
    epilog="Example: fedlora benchmark run results --adapter tweets-adapter --set tfns=sent_valid.csv",
)
application.command("list", epilog="Example: fedlora benchmark list --format json")(list_benchmarks)
application.command(epilog="Example: fedlora benchmark run results --run tweets --set tfns=sent_valid.csv --limit 500")(
    run
)
application.command(epilog="Example: fedlora benchmark follow sets --every 10 --limit 500")(follow)
application.command(epilog="Example: fedlora benchmark show results --format json")(show)
