"""``fedlora checkpoint``: a run's checkpoints for an evaluator on another machine."""

import typer

from fedlora.cli.checkpoint.fetch import fetch
from fedlora.cli.checkpoint.serve import serve

__all__ = ["application"]

application = typer.Typer(
    help="Serve the checkpoints of runs to evaluators on other machines, and mirror them there.",
    no_args_is_help=True,
    epilog="Example: fedlora checkpoint fetch tweets --source superlink.example.org:9443 --ca-certificate ca.crt "
    "--evaluator evaluator --follow",
)
application.command(epilog="Example: fedlora checkpoint serve --credentials secrets --listen 0.0.0.0:9443")(serve)
application.command(
    epilog="Example: fedlora checkpoint fetch tweets --source superlink.example.org:9443 --ca-certificate ca.crt "
    "--evaluator evaluator"
)(fetch)
