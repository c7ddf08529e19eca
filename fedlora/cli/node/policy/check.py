"""``fedlora node policy check``."""

import dataclasses
import json

import typer

from fedlora.cli.node.site import SiteArgument, site_of
from fedlora.cli.options import Format, FormatOption

__all__ = ["check"]


def check(site: SiteArgument, output: FormatOption = Format.TABLE) -> None:
    """Check a site's policy: that its files agree, that the trainer which runs enforces it, and what is left of it."""
    from fedlora.errors import UnfitSiteError
    from fedlora.log import printable
    from supernode.doctor import Outcome
    from supernode.site_policy import SitePolicyFiles

    findings = SitePolicyFiles(site_of(site).parent).findings()
    if output is Format.JSON:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(printable(str(finding)))
    failed = [finding.check for finding in findings if finding.outcome is Outcome.FAIL]
    if failed:
        raise UnfitSiteError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")
