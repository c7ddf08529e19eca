"""``fedlora node resume``."""

from typing import TYPE_CHECKING

import typer

from fedlora.cli.node.site import SiteArgument, settings_of

if TYPE_CHECKING:
    from supernode.settings import NodeSettings
    from supernode.withdrawal import Withdrawal

__all__ = ["resume"]


def resume(site: SiteArgument) -> None:
    """Let a paused site take part again; one that has left needs a new key first."""
    from fedlora.audit import Event, person
    from fedlora.errors import WithdrawalError
    from supernode.withdrawal import end_withdrawal, withdrawal

    settings = settings_of(site)
    said = withdrawal(settings.state)
    if said is None:
        raise WithdrawalError(f"{settings.site} is not paused; it takes part already, whenever its supernode runs")
    if said.left:
        _check_new_key(settings, said)
    end_withdrawal(settings.state)
    settings.audit(person()).note(Event.SITE_RESUMED, site=settings.site)
    if said.left:
        typer.echo(f"{settings.site} may take part again, once the coordinator has registered its new key; start it")
    else:
        typer.echo(f"{settings.site} takes part again, from the next round on; it was paused since {said.since}")


def _check_new_key(settings: "NodeSettings", said: "Withdrawal") -> None:
    from fedlora.errors import WithdrawalError
    from fedlora.pki.node_keys import load_node_key
    from fedlora.pki.reading import key_sha256

    key = settings.node_key
    new = key.exists() and key_sha256(load_node_key(key).public_key()) != said.public_key_sha256
    if not new:
        raise WithdrawalError(
            f"{said} (since {said.since}), and the key it had can never be used again. To come back, make a new one "
            f"with: fedlora node keygen {key.parent} --force; let the coordinator register it; then say this again"
        )
