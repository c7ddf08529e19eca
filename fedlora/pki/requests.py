"""A server's certificate for a key that stays on the SuperLink's machine: a request goes to the CA, and is signed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedlora.errors import CredentialError
from fedlora.pki.certificates import Authority, certificate_pem, private_pem
from fedlora.pki.contents import (
    SERVER_PURPOSE,
    SERVER_USAGE,
    alternative_names,
    names_of,
    server_certificate,
    server_request,
)
from fedlora.pki.reading import Role, describe_key, read_pair
from fedlora.pki.secret_files import write_together

__all__ = ["Request", "create_request", "read_request", "repeat_request", "sign_request"]


@dataclass(frozen=True)
class Request:
    """What a checked request asks for: a server's certificate for this key, under these names."""

    public_key: ec.EllipticCurvePublicKey
    names: tuple[str, ...]


def create_request(directory: Path, *, names: Sequence[str], replace: bool = False) -> Path:
    """Create ``server.key`` and ``server.csr`` in `directory`; return the latter, which goes to the CA.

    Parameters
    ----------
    directory : Path
        Where the files go.
    names : sequence of str
        DNS names and IP addresses that clients will call the server by.
    replace : bool
        Whether files that stand there are replaced, and kept beside with ``.previous``.

    Raises
    ------
    CredentialError
        If there are no names, one cannot stand in a certificate, or a file exists.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    file = directory / "server.csr"
    contents = {directory / "server.key": private_pem(key), file: _pem(server_request(key, names))}
    if not replace and os.path.lexists(directory / "server.crt"):
        raise CredentialError(
            f"{directory / 'server.crt'} exists, and a new key would not belong to it; ask for a new certificate on "
            "the same key with --renew, or for one on a new key with --force"
        )
    write_together(contents, replace=replace)
    return file


def repeat_request(directory: Path, *, replace: bool = False) -> Path:
    """Create ``server.csr`` for the key and the names of the pair in `directory`; see `create_request`."""
    certificate, key = read_pair(directory, Role.SERVER)
    file = directory / "server.csr"
    write_together({file: _pem(server_request(key, names_of(certificate)))}, replace=replace)
    return file


def read_request(file: Path) -> Request:
    """Read a request and check that it asks for the server's role and nothing else.

    Raises
    ------
    CredentialError
        If the file is no request, its signature is not that of its own key, the key is of another kind, or it asks for
        anything that a server's certificate does not have.
    """
    try:
        request = x509.load_pem_x509_csr(file.read_bytes())
        key, valid = request.public_key(), request.is_signature_valid
        asked = list(request.extensions)
    except OSError as error:
        raise CredentialError(f"cannot read the request {file}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        reason = str(error).partition("\n")[0].partition(". See")[0].rstrip(".")
        raise CredentialError(f"{file} is no certificate request in PEM format: {reason}") from error
    if not valid:
        raise CredentialError(f"{file} is not signed by its own key; it was damaged or changed: ask for it again")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise CredentialError(
            f"{file} is for {describe_key(key)}; allowed: ECDSA P-384, as fedlora pki request makes it"
        )
    beyond = [_in_words(one) for one in asked if not _belongs_to_a_server(one.value)]
    if beyond:
        raise CredentialError(
            f"{file} asks for more than a server's role: {', '.join(beyond)}; allowed: names, and what fedlora pki "
            "request asks for"
        )
    names = names_of(request)
    alternative_names(names)
    return Request(key, names)


def sign_request(authority: Authority, request: Request, file: Path, *, days: int, replace: bool = False) -> Path:
    """Write the certificate that `request` asks for into `file`, signed by `authority`.

    Raises
    ------
    CredentialError
        If the key is the CA's own, the days are not 0 to 36500, or the file exists.
    """
    certificate = server_certificate(
        request.public_key, request.names, issuer=authority.certificate, issuer_key=authority.key, days=days
    )
    write_together({file: certificate_pem(certificate)}, replace=replace)
    return file


def _belongs_to_a_server(asked: x509.ExtensionType) -> bool:
    if isinstance(asked, x509.BasicConstraints):
        return not asked.ca
    if isinstance(asked, x509.SubjectAlternativeName):
        return True  # each of the names is looked at
    return asked in (SERVER_USAGE, SERVER_PURPOSE) or isinstance(asked, x509.SubjectKeyIdentifier)


def _in_words(extension: x509.Extension[x509.ExtensionType]) -> str:
    value = extension.value
    if isinstance(value, x509.BasicConstraints):
        return "to be a CA"
    if isinstance(value, x509.ExtendedKeyUsage):
        return f"the purposes {', '.join(purpose._name for purpose in value)}"
    return type(value).__name__ if not isinstance(value, x509.UnrecognizedExtension) else extension.oid.dotted_string


def _pem(request: x509.CertificateSigningRequest) -> bytes:
    return request.public_bytes(serialization.Encoding.PEM)
