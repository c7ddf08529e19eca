"""``fedlora shard show``."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from fedlora.cli.options import Format, FormatOption
from fedlora.cli.shard.options import ShardArgument

if TYPE_CHECKING:
    from fedlora.shards.manifest import Manifest

__all__ = ["histogram", "show"]

LONGEST_BAR = 40
MUCH_ALIKE = 16  # the longest over the shortest


def show(directory: ShardArgument, output: FormatOption = Format.TABLE) -> None:
    """Show the manifest of a shard, and how long its records are; none of them is quoted."""
    from rich.console import Console

    from fedlora.shards import open_shard
    from fedlora.shards.manifest import LengthCounts

    shard, lengths = open_shard(directory), LengthCounts()
    for record in shard.records():
        lengths.add(record)
    bins = {"prompt_characters": histogram(lengths.prompts), "answer_characters": histogram(lengths.answers)}
    if output is Format.JSON:
        listed = {name: [{"up_to": bound, "records": count} for bound, count in bins[name]] for name in bins}
        document = {"directory": str(directory), **shard.manifest.to_dict(), "histograms": listed}
        typer.echo(json.dumps(document, indent=2))
        return
    console = Console()
    for line in [*_lines(shard.manifest), *_bars("prompts", bins["prompt_characters"])]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in _bars("answers", bins["answer_characters"]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def histogram(lengths: Mapping[int, int]) -> list[tuple[int, int]]:
    """Count records in bins of length that double, or four times finer where the lengths are much alike.

    Parameters
    ----------
    lengths : mapping of int to int
        How many records have which length, all above 0.

    Returns
    -------
    list of tuple
        Upper bound and count of each bin, from the first that has any to the last.
    """
    parts = 4 if max(lengths) <= MUCH_ALIKE * min(lengths) else 1
    counts = Counter[int]()
    for length, count in lengths.items():
        counts[_bound(length, parts)] += count
    bounds = [min(counts)]
    while bounds[-1] < max(counts):
        bounds.append(_bound(bounds[-1] + 1, parts))
    return [(bound, counts[bound]) for bound in bounds]


def _bound(length: int, parts: int) -> int:
    """Return the upper bound of the bin of `length`; between a power of two and the next are `parts` of them."""
    step = max(1, (1 << (length - 1).bit_length()) // 2 // parts)
    return math.ceil(length / step) * step


def _lines(manifest: "Manifest") -> list[str]:
    from fedlora.cli.shard.account import division_line, findings

    lines = [
        ("shard", manifest.name),
        ("domain", manifest.domain),
        ("licence", manifest.licence or "not stated"),
        ("schema", ", ".join(manifest.schema)),
        ("records", str(manifest.records)),
        ("bytes", str(manifest.bytes)),
        ("SHA-256", manifest.sha256),
    ]
    for what, lengths in (("prompts", manifest.prompt_characters), ("answers", manifest.answer_characters)):
        figures = f"{lengths.minimum} to {lengths.maximum}, median {lengths.median}, 95 % at most {lengths.p95}"
        lines.append((what, f"{figures} characters"))
    for step in manifest.preparation:
        lines.append(("from", f"{step.source}, {step.rows} rows"))
        lines += [("", finding) for finding in findings(step)]
        if step.division:
            lines.append(("", division_line(step.division)))
    return [f"{what:<9}{value}" for what, value in lines]


def _bars(what: str, bins: list[tuple[int, int]]) -> list[str]:
    """Draw a histogram; every bin that has any records has a bar."""
    most = max(count for _, count in bins)
    width, digits = len(str(bins[-1][0])), len(str(most))
    lines = ["", f"{what}, records by characters"]
    for bound, count in bins:
        bar = "\u2588" * max(round(LONGEST_BAR * count / most), min(count, 1))
        lines.append(f"  up to {bound:>{width}}  {count:>{digits}}  {bar}".rstrip())
    return lines
