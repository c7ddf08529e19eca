"""Scores as people read them."""

import dataclasses
import json
from pathlib import Path

import typer

from fedlora.cli.options import Format

__all__ = ["print_results"]


def print_results(folder: Path, output: Format) -> None:
    """Print what stands in a folder of results."""
    from evaluator.examination import results

    found = list(results(folder))
    if output is Format.JSON:
        document = [
            {"of": dataclasses.asdict(of), "scores": [dataclasses.asdict(one) for one in scores]}
            for of, scores in found
        ]
        typer.echo(json.dumps(document, indent=2))
        return
    line = "{:<22}{:<12}{:<24}{:>7}{:>10}   {:<18}{:>11}"
    typer.echo(line.format("benchmark", "scoring", "of", "items", "accuracy", "95 % interval", "unparsable"))
    for of, scores in found:
        who = f"adapter {of.adapter_sha256[:8]}" if of.adapter_sha256 else of.base_model
        for one in scores:
            groups = [(f"  {name}", share) for name, share in one.groups.items()]
            for name, share in [(one.task, one.accuracy), *groups]:
                interval = f"{share.low:.1%} to {share.high:.1%}"
                unparsable = f"{one.unparsable:.1%}" if name == one.task else ""
                typer.echo(
                    line.format(name, one.scoring, who, share.n, f"{share.value:.1%}", interval, unparsable).rstrip()
                )
