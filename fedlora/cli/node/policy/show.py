"""``fedlora node policy show``."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import typer

from fedlora.cli.node.site import SiteArgument, site_of
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from supernode.trainer.privacy_ledger import Spent

__all__ = ["show"]

UPDATES = (1, 10, 50, 200)


def show(site: SiteArgument, output: FormatOption = Format.TABLE) -> None:
    """Show a site's policy with its hash, the apps that it admits, and what its updates have told so far.

    The hash goes with every answer of the trainer: who changes the policy changes it, and the coordinator sees that.
    """
    from supernode.site_policy import SitePolicyFiles

    files = SitePolicyFiles(site_of(site).parent)
    values, spent = files.values(), files.spent()
    noise = {str(count): epsilon for count, epsilon in _epsilons(values)}
    if output is Format.JSON:
        told = None if spent is None else {**dataclasses.asdict(spent), "epsilon": spent.epsilon(values["delta"])}
        typer.echo(json.dumps({**values, "epsilon_of_updates": noise, "spent": told}, indent=2))
        return
    for key, value in values.items():
        typer.echo(f"{key:<17} {_text(value)}")
    if noise:
        typer.echo(f"{'epsilon':<17} " + ", ".join(f"{value:.2f} after {count}" for count, value in noise.items()))
    typer.echo(f"{'left so far':<17} {_spent(spent, values['delta'])}")


def _epsilons(values: dict[str, Any]) -> list[tuple[int, float]]:
    """Return what so many updates tell with the policy's noise; nothing without noise."""
    from supernode.trainer.accountant import epsilon_of, update_distance

    if not values["noise-multiplier"]:
        return []
    distance = update_distance(values["noise-multiplier"])
    return [(count, epsilon_of(distance * count**0.5, values["delta"])) for count in UPDATES]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({sha256[:12]})" for name, sha256 in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(item[:12] if len(item) == 64 else item for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spent(spent: "Spent | None", delta: float) -> str:
    if spent is None:
        return "unknown: the trainer's ledger is not on this machine, or there is none yet"
    bare = f", {spent.bare} of them without noise" if spent.bare else ""
    epsilon = f"; epsilon {spent.epsilon(delta):.3f}" if spent.distance else ""
    return f"{spent.updates} updates{bare}{epsilon}"
