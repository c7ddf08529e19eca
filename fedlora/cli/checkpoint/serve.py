"""``fedlora checkpoint serve``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import RunsOption, runs_folder

__all__ = ["serve"]


def serve(
    credentials: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder with ca.crt, server.crt and server.key.", show_default=False)
    ],
    runs: RunsOption = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:9443",
) -> None:
    """Serve the checkpoints of all runs, read-only, to evaluators with a certificate of the federation's CA."""
    import re

    from fedlora.environment import check_rendered_version
    from fedlora.errors import ConfigurationError
    from fedlora.log import show
    from fedlora.names import HOST, PORT
    from fedlora.pki.reading import Role, check_time, read_ca_certificate, read_pair
    from fedlora.processes import until_signalled
    from superlink.checkpoint_server import CheckpointServer

    check_rendered_version()
    if not re.fullmatch(f"{HOST}:{PORT}", listen):
        raise ConfigurationError(f"--listen {listen!r} is no address; allowed: HOST:PORT, as in 127.0.0.1:9443")
    read_ca_certificate(credentials / "ca.crt")
    certificate, _ = read_pair(credentials, Role.SERVER)
    check_time(certificate, credentials / "server.crt", "renew it with: fedlora pki renew")
    show()
    stopped = until_signalled()
    server = CheckpointServer(
        runs_folder(runs),
        listen,
        ca_certificate=credentials / "ca.crt",
        certificate=credentials / "server.crt",
        key=credentials / "server.key",
    )
    stopped.wait()
    server.stop()
