"""``fedlora checkpoint fetch``."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import Format, FormatOption, RunName, RunsOption, runs_folder
from fedlora.environment import CA_CERTIFICATE, EVALUATOR

__all__ = ["fetch"]


def fetch(
    run: RunName,
    source: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Where the coordinator serves checkpoints.", show_default=False),
    ],
    ca_certificate: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="The federation's CA certificate.", envvar=CA_CERTIFICATE, show_default=False
        ),
    ],
    evaluator: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder with evaluator.crt and evaluator.key.", envvar=EVALUATOR, show_default=False
        ),
    ],
    runs: RunsOption = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Fetch each N-th round and the run's last.")] = 1,
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest stay here; 0 for all.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for rounds to come, until the run has ended.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Mirror a run's checkpoints into a folder of runs on this machine, each whole or not at all.

    `fedlora benchmark run --run NAME --every N` follows the mirror as it would follow the run.
    """
    from evaluator.mirror import Mirror
    from fedlora.log import show
    from fedlora.pki.reading import Role, check_time, read_ca_certificate, read_pair

    read_ca_certificate(ca_certificate)
    certificate, _ = read_pair(evaluator, Role.EVALUATOR)
    check_time(certificate, evaluator / "evaluator.crt", "make another with: fedlora pki evaluator")
    show()
    mirror = Mirror(
        source=source,
        runs=runs_folder(runs),
        run=run,
        ca_certificate=ca_certificate,
        certificate=evaluator / "evaluator.crt",
        key=evaluator / "evaluator.key",
        every=every,
        keep=keep,
    )
    offer = mirror.follow() if follow else mirror.look()
    if output is Format.JSON:
        typer.echo(offer.to_json(), nl=False)
        return
    rounds = ", ".join(str(one.round) for one in reversed(offer.checkpoints)) or "none"
    typer.echo(f"{run} is {offer.state}; the coordinator has the rounds {rounds}; here: {mirror.directory}")
