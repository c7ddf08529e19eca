"""``fedlora node pause``."""

import typer

from fedlora.cli.node.site import ReasonOption, SiteArgument, settings_of

__all__ = ["pause"]


def pause(site: SiteArgument, reason: ReasonOption) -> None:
    """Let a site refuse everything it is asked, with a reason, until it is resumed; its node stays online."""
    from fedlora.audit import Event, person
    from supernode.withdrawal import refuse_left, withdraw

    settings = settings_of(site)
    refuse_left(settings.state)
    said = withdraw(settings.state, "paused", settings.site, reason)
    settings.audit(person()).note(Event.SITE_PAUSED, site=settings.site, reason=said.reason)
    typer.echo(f"from now on the coordinator is told: {said}")
    typer.echo("a round that is being trained at this moment is finished, and its update is sent")
    typer.echo(f"to take part again: fedlora node resume {site}")
