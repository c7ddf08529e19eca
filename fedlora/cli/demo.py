"""``fedlora demo``: a whole federation on this machine, and what it gained."""

from pathlib import Path
from typing import Annotated

import typer

from fedlora.cli.options import FINANCE, DomainName, Format, FormatOption

__all__ = ["demo"]


def demo(
    domain: Annotated[DomainName, typer.Option(help="What the sites' records are about.")] = FINANCE,
    nodes: Annotated[int, typer.Option(min=1, max=32, help="Number of sites.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each site in each round.")] = 10,
    train: Annotated[
        Path | None,
        typer.Option(help="Records to divide among the sites: .jsonl, .json, .csv, .parquet; .gz as well."),
    ] = None,
    eval_file: Annotated[
        Path | None,
        typer.Option("--eval", help="Held-out records; without it, a part of --train is held out."),
    ] = None,
    base_model: Annotated[str, typer.Option(help="A folder or a hub id.")] = "SmolLM2-135M-Instruct",
    workdir: Annotated[Path | None, typer.Option(help="Folder for everything; made anew.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep keys, shards and logs, not only the results.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65000, help="First port to listen on; 0 takes free ones.")] = 0,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the division, the order of records and the first adapter.")
    ] = 0,
    output: FormatOption = Format.TABLE,
) -> None:
    """Train a LoRA adapter across sites that keep their records, and show what it gained.

    Starts, as processes on this machine, what runs in containers on separate machines elsewhere: a SuperLink with
    TLS and node authentication, and for each site a supernode and a trainer that alone sees the site's records.
    """
    from fedlora.cli.demo_report import print_report
    from fedlora.cli.demonstration import Demonstration, DemoOptions

    options = DemoOptions(
        domain=str(domain),
        nodes=nodes,
        rounds=rounds,
        steps=steps,
        train=train,
        held_out=eval_file,
        base_model=base_model,
        workdir=workdir,
        keep=keep,
        port=port,
        seed=seed,
    )
    report = Demonstration(options).run()
    print_report(report, as_json=output is Format.JSON)
