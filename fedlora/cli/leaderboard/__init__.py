"""``fedlora leaderboard``: entries that anybody can check again, and the site that ranks them."""

import typer

from fedlora.cli.leaderboard.build import build
from fedlora.cli.leaderboard.keygen import keygen
from fedlora.cli.leaderboard.list import list_entries
from fedlora.cli.leaderboard.submit import submit
from fedlora.cli.leaderboard.verify import verify

__all__ = ["application"]

application = typer.Typer(
    help="Make signed entries of scores, check them again, and build the site that ranks them.",
    no_args_is_help=True,
    epilog="Example: fedlora leaderboard verify entries/tweets --key submitter.pub",
)
application.command(epilog="Example: fedlora leaderboard keygen keys")(keygen)
application.command(
    epilog="Example: fedlora leaderboard submit entries/tweets --run tweets --results scored/tweets --base-results "
    'scored/base --key keys/submitter.key --title "Tweets, FedAvg" --submitter "A Lab"'
)(submit)
application.command(epilog="Example: fedlora leaderboard verify entries/tweets --key submitter.pub")(verify)
application.command(epilog="Example: fedlora leaderboard build entries --out site")(build)
application.command("list", epilog="Example: fedlora leaderboard list entries --format json")(list_entries)
