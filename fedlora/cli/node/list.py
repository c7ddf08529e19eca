"""``fedlora node list``."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import typer

from fedlora.cli.node.superlink import AdminOption, CertificateOption, SuperLinkOption, reach
from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from superlink.control import Node

__all__ = ["list_nodes"]


def list_nodes(
    superlink: SuperLinkOption,
    ca_certificate: CertificateOption,
    admin: AdminOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the nodes that were ever registered, by name; keys of unregistered ones are spent."""
    from rich.console import Console
    from rich.table import Table

    with reach(superlink, ca_certificate, admin) as control:
        found = [_about(node) for node in control.node_list()]
    if output is Format.JSON:
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table()
    for heading in ("name", "id", "status", "last activated", "SHA-256 of key"):
        table.add_column(heading, overflow="fold")
    for node in found:
        activated = (node["last_activated_at"] or "never").partition(".")[0]
        table.add_row(node["name"], node["id"], node["status"], activated, (node["public_key_sha256"] or "?")[:12])
    Console().print(table)


def _about(node: "Node") -> dict[str, Any]:
    from fedlora.pki.node_keys import public_key_sha256

    fields = {key: value for key, value in dataclasses.asdict(node).items() if key != "public_key"}
    # As text: an id has 64 bits, and many readers of JSON keep 53 of a number.
    return {**fields, "id": str(node.id), "public_key_sha256": public_key_sha256(node.public_key)}
