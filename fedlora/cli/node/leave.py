"""``fedlora node leave``."""

from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.node.site import ReasonOption, SiteArgument, settings_of

if TYPE_CHECKING:
    from supernode.settings import NodeSettings

__all__ = ["leave"]


def leave(
    site: SiteArgument,
    reason: ReasonOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Let a site leave for good: it refuses everything from now on, and its node key is removed."""
    from fedlora.audit import Event, person
    from fedlora.pki.node_keys import remove_node_key
    from supernode.withdrawal import clean, withdraw

    settings = settings_of(site)
    cleaned, sha256 = clean(reason), _known_by(settings)
    if not yes:
        typer.echo(f"{settings.site} refuses every run from now on, and the coordinator is told: {cleaned}")
        typer.echo(f"its node key {settings.node_key} is removed: to come back, it needs a new one, registered anew")
        typer.confirm(f"Let {settings.site} leave for good?", abort=True)
    said = withdraw(settings.state, "left", settings.site, cleaned, sha256)
    remove_node_key(settings.node_key)
    settings.audit(person()).note(Event.SITE_LEFT, site=settings.site, reason=said.reason, key_sha256=sha256)
    typer.echo(f"{said}; the node key {settings.node_key} is removed")
    _say_what_is_left_to_do(settings, sha256)


def _known_by(settings: "NodeSettings") -> str:
    """Return the hash of the site's key, or what a `leave` that did not come to its end has noted of it.

    Raises
    ------
    WithdrawalError
        If the site has left, and its key is gone or another.
    """
    from fedlora.pki.node_keys import load_node_key
    from fedlora.pki.reading import key_sha256
    from supernode.withdrawal import refuse_left, withdrawal

    sha256 = key_sha256(load_node_key(settings.node_key).public_key()) if settings.node_key.exists() else ""
    said = withdrawal(settings.state)
    if said is None or not sha256 or said.public_key_sha256 != sha256:
        refuse_left(settings.state)
    return sha256


def _say_what_is_left_to_do(settings: "NodeSettings", sha256: str) -> None:
    from supernode.heartbeat import node_heartbeat

    last = node_heartbeat(settings.state)
    if last.healthy:
        typer.echo(
            f"its supernode has reached the SuperLink {last.seconds_ago():.0f} s ago: it says so to whoever asks,"
        )
        typer.echo("until you stop it, and cannot be started again")
    else:
        typer.echo(
            "its supernode does not run: the coordinator sees the site offline and no reason; tell them yourself"
        )
    typer.echo(f"the coordinator takes it off the list with: fedlora node unregister {settings.site}")
    if sha256:
        typer.echo(f"  SHA-256 of its key: {sha256}")
