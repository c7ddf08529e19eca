"""``fedlora node unregister``."""

from typing import Annotated

import typer

from fedlora.cli.node.superlink import AdminOption, CertificateOption, NodeName, SuperLinkOption, reach

__all__ = ["unregister"]


def unregister(
    name: NodeName,
    superlink: SuperLinkOption,
    ca_certificate: CertificateOption,
    admin: AdminOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Turn a site away from now on; its key can never be registered again."""
    from fedlora.errors import ConfigurationError, RunError
    from fedlora.names import check_name

    check_name(name, RunError)
    with reach(superlink, ca_certificate, admin) as control:
        registered = [node for node in control.node_list() if node.registered]
        found = [node for node in registered if node.name == name]
        if not found:
            known = ", ".join(node.name for node in registered) or "none"
            raise ConfigurationError(f"no node {name} is registered at {superlink}; registered: {known}")
        if not yes:
            typer.echo(f"node {name} is {', '.join(node.status for node in found)}")
            typer.echo("its key can never be registered again: to come back, the site makes a new one")
            typer.confirm(f"Unregister node {name}?", abort=True)
        for node in found:
            control.unregister_node(node.id)
    typer.echo(f"node {name} is unregistered, and its key can never be registered again")
