"""``fedlora pki``: the federation's CA, the SuperLink's certificate, and those of admins and evaluators."""

import typer

from fedlora.cli.pki.admin import admin
from fedlora.cli.pki.coordinator import coordinator
from fedlora.cli.pki.evaluator import evaluator
from fedlora.cli.pki.init import init
from fedlora.cli.pki.renew import renew
from fedlora.cli.pki.request import request
from fedlora.cli.pki.rotate import rotate
from fedlora.cli.pki.server import server
from fedlora.cli.pki.show import show
from fedlora.cli.pki.sign import sign
from fedlora.cli.pki.trust import trust

__all__ = ["application"]

application = typer.Typer(
    help="Make the federation's CA and the certificates that it issues, look at them, and renew them.",
    no_args_is_help=True,
    epilog="Example: fedlora pki show ca",
)
application.command(epilog="Example: fedlora pki init ca --federation hospitals")(init)
application.command(epilog="Example: fedlora pki server ca --name superlink.example.org --name localhost")(server)
application.command(epilog="Example: fedlora pki admin ca --name ada --to ada")(admin)
application.command(epilog="Example: fedlora pki evaluator ca --name gpu-server --to evaluator")(evaluator)
application.command(epilog="Example: fedlora pki coordinator ca --federation federation.toml --to secrets")(coordinator)
application.command(epilog="Example: fedlora pki request superlink --name superlink.example.org --name localhost")(
    request
)
application.command(epilog="Example: fedlora pki sign superlink/server.csr --ca ca --to server.crt")(sign)
application.command(epilog="Example: fedlora pki show ca --format json")(show)
application.command(epilog="Example: fedlora pki renew ca server --yes")(renew)
application.command(epilog="Example: fedlora pki rotate ca begin --runs runs")(rotate)
application.command(epilog="Example: fedlora pki trust --runs runs --format json")(trust)
