"""``fedlora node doctor``."""

import dataclasses
import json

import typer

from fedlora.cli.node.site import SiteArgument, site_of
from fedlora.cli.options import Format, FormatOption

__all__ = ["doctor"]


def doctor(site: SiteArgument, output: FormatOption = Format.TABLE) -> None:
    """Check a site from the site: files, key, network, clock, shard, machine; one line each, with what to do."""
    from fedlora.errors import UnfitSiteError
    from fedlora.log import printable
    from supernode.doctor import Outcome, examine

    findings = examine(site_of(site))
    if output is Format.JSON:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(printable(str(finding)))
    failed = [finding.check for finding in findings if finding.outcome is Outcome.FAIL]
    if failed:
        raise UnfitSiteError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")
