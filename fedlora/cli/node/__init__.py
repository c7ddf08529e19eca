"""``fedlora node``: a site's key, whether it takes part, and who is admitted to the SuperLink."""

import typer

from fedlora.cli.node.doctor import doctor
from fedlora.cli.node.keygen import keygen
from fedlora.cli.node.leave import leave
from fedlora.cli.node.list import list_nodes
from fedlora.cli.node.pause import pause
from fedlora.cli.node.plan import plan
from fedlora.cli.node.policy import application as policy
from fedlora.cli.node.prepare import prepare
from fedlora.cli.node.register import register
from fedlora.cli.node.resume import resume
from fedlora.cli.node.unregister import unregister

__all__ = ["application"]

THERE = "--superlink superlink.example.org:8000 --ca-certificate ca.crt"
application = typer.Typer(
    help="At a site: its key, and whether it takes part. At the coordinator: which sites are admitted.",
    no_args_is_help=True,
    epilog="Example: fedlora node keygen site",
)
application.command(epilog="Example: fedlora node keygen site")(keygen)
application.command(epilog="Example: fedlora node prepare site --ca-certificate ca.crt")(prepare)
application.command(epilog="Example: fedlora node doctor site")(doctor)
application.command(epilog="Example: fedlora node plan federation.toml --site site-1")(plan)
application.add_typer(policy, name="policy")
application.command(epilog="Example: fedlora node pause site --reason 'maintenance until Monday'")(pause)
application.command(epilog="Example: fedlora node resume site")(resume)
application.command(epilog="Example: fedlora node leave site --reason 'our consent has ended'")(leave)
application.command(epilog=f"Example: fedlora node register site-1 node.key.pub {THERE}")(register)
application.command(epilog=f"Example: fedlora node unregister site-1 {THERE}")(unregister)
application.command("list", epilog=f"Example: fedlora node list {THERE}")(list_nodes)
