"""Arguments that the commands on certificates share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["AuthorityArgument", "DaysOption", "ForceOption", "NamesOption", "ServerDaysOption", "validity"]

AuthorityArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder with ca.crt and ca.key.", show_default=False)
]
NamesOption = Annotated[
    list[str],
    typer.Option(
        "--name", help="A DNS name or IP address that clients will use; give it for each.", show_default=False
    ),
]
DaysOption = Annotated[int, typer.Option(min=1, max=36_500, help="How long it is valid.")]
ServerDaysOption = Annotated[
    int | None,
    typer.Option(min=1, max=36_500, help="How long it is valid; 365, or until the CA ends.", show_default=False),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace files that stand there; they are kept with .previous.")
]


def validity(certificate: "x509.Certificate") -> str:
    """Return until when a certificate is valid, in words."""
    return f"valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
