"""Reaching the SuperLink's Control API from the command line."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.environment import ADMIN, CA_CERTIFICATE, SUPERLINK

if TYPE_CHECKING:
    from superlink.control import Control

__all__ = ["AdminOption", "CertificateOption", "NodeName", "SuperLinkOption", "reach"]

NodeName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the site.", show_default=False)]
SuperLinkOption = Annotated[
    str,
    typer.Option(metavar="HOST:PORT", help="The SuperLink's HTTPS address.", envvar=SUPERLINK, show_default=False),
]
CertificateOption = Annotated[
    Path,
    typer.Option(metavar="FILE", help="The federation's CA certificate.", envvar=CA_CERTIFICATE, show_default=False),
]
AdminOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with admin.crt and admin.key, where the SuperLink is behind a proxy that asks for them.",
        envvar=ADMIN,
        show_default=False,
    ),
]
ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")


def reach(superlink: str, ca_certificate: Path, admin: Path | None = None) -> "Control":
    """Return a client of the Control API.

    Raises
    ------
    ConfigurationError
        If the address is none.
    CredentialError
        If the certificate is not that of a CA, the admin's is none, or the time of either is not now.
    """
    from fedlora.errors import ConfigurationError
    from fedlora.pki.reading import Role, check_time, read_ca_certificate, read_pair
    from superlink.control import Control

    parts = ADDRESS.fullmatch(superlink)
    if parts is None or not 0 < int(parts[1]) < 2**16:
        raise ConfigurationError(f"--superlink {superlink!r} is no address; allowed: HOST:PORT, as in localhost:8000")
    read_ca_certificate(ca_certificate)
    if admin is not None:
        certificate, _ = read_pair(admin, Role.ADMIN)
        check_time(certificate, admin / "admin.crt", "make another with: fedlora pki admin")
    return Control(superlink, ca_certificate, admin=admin)
