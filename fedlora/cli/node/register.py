"""``fedlora node register``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.node.superlink import AdminOption, CertificateOption, NodeName, SuperLinkOption, reach

if TYPE_CHECKING:
    from superlink.control import Node

__all__ = ["register"]


def register(
    name: NodeName,
    public_key: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLIC_KEY_FILE", help="The site's node.key.pub; - is the standard input.", show_default=False
        ),
    ],
    superlink: SuperLinkOption,
    ca_certificate: CertificateOption,
    admin: AdminOption = None,
) -> None:
    """Admit a site to the SuperLink by its public key."""
    from fedlora.errors import RunError
    from fedlora.names import check_name
    from fedlora.pki.node_keys import public_key_as_pem, public_key_pem, public_key_sha256

    check_name(name, RunError)
    if str(public_key) == "-":
        pem = public_key_as_pem(typer.get_binary_stream("stdin").read(), "on the standard input")
    else:
        pem = public_key_pem(public_key)
    sha256 = public_key_sha256(pem)
    with reach(superlink, ca_certificate, admin) as control:
        _check_new(name, sha256, control.node_list())
        node_id = control.register_node(pem, name)
    typer.echo(f"node {name} is registered with the id {node_id}")
    typer.echo(f"compare its key with the site's, SHA-256: {sha256}")


def _check_new(name: str, sha256: str | None, nodes: "list[Node]") -> None:
    from fedlora.errors import ConfigurationError, CredentialError
    from fedlora.pki.node_keys import public_key_sha256

    for node in nodes:
        if public_key_sha256(node.public_key) == sha256 and not node.registered:
            raise CredentialError(
                f"this key was unregistered as {node.name!r} on {node.unregistered_at}, and such a key can never be "
                "registered again; make a new one at the site: fedlora node keygen DIR --force"
            )
        if public_key_sha256(node.public_key) == sha256:
            raise CredentialError(f"this key is registered already, as {node.name!r}; each site has a key of its own")
        if node.registered and node.name == name:
            raise ConfigurationError(
                f"a node {name} is registered already, with another key; choose another name, or first: fedlora node "
                f"unregister {name}"
            )
