"""X.509 certificates: one authority a federation, one server certificate a SuperLink."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedlora.errors import CredentialError
from fedlora.pki.contents import (
    admin_certificate,
    authority_certificate,
    authority_subject,
    evaluator_certificate,
    server_certificate,
)
from fedlora.pki.secret_files import create_secret, refuse_existing, write_private, write_together

__all__ = [
    "COORDINATOR_FILES",
    "Authority",
    "create_authority",
    "issue_admin_certificate",
    "issue_coordinator_credentials",
    "issue_evaluator_certificate",
    "issue_server_certificate",
    "key_fingerprint",
]

COORDINATOR_FILES = ("ca.crt", "server.crt", "server.key", "admin.crt", "admin.key", "superexec.secret")


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate, which everybody gets, and its key, which never leaves its machine."""

    certificate_file: Path
    key_file: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def key_fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate's public key, in hexadecimal: it outlives a renewal of the certificate.

    Raises
    ------
    CredentialError
        If the file is no certificate.
    """
    try:
        key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    except (OSError, ValueError) as error:
        raise CredentialError(f"cannot read the certificate {certificate}: {error}") from error
    public = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


def create_authority(directory: Path, *, federation: str, days: int = 3650) -> Authority:
    """Create ``ca.crt`` and ``ca.key`` in `directory`: ECDSA P-384, path length 0.

    Raises
    ------
    CredentialError
        If either file exists, the federation's name cannot stand in a certificate, or the days are not 0 to 36500.
    """
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    refuse_existing(certificate_file, key_file)
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = authority_certificate(key, authority_subject(federation), days)
    write_together({key_file: private_pem(key), certificate_file: certificate_pem(certificate)})
    return Authority(certificate_file, key_file, certificate, key)


def issue_server_certificate(
    authority: Authority, directory: Path, *, names: Sequence[str], days: int = 365, replace: bool = False
) -> tuple[Path, Path]:
    """Create ``server.crt`` and ``server.key`` in `directory`, signed by `authority`.

    Parameters
    ----------
    authority : Authority
        Who signs.
    directory : Path
        Where the files go.
    names : sequence of str
        DNS names and IP addresses that clients will call the server by; the first is its common name.
    days : int
        Length of validity.
    replace : bool
        Whether files that stand there are replaced, and kept beside with ``.previous``.

    Returns
    -------
    tuple of Path
        Certificate and key.

    Raises
    ------
    CredentialError
        If there are no names, one cannot stand in a certificate, or either file exists.
    """
    certificate_file, key_file = directory / "server.crt", directory / "server.key"
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = server_certificate(
        key.public_key(), names, issuer=authority.certificate, issuer_key=authority.key, days=days
    )
    write_together({key_file: private_pem(key), certificate_file: certificate_pem(certificate)}, replace=replace)
    return certificate_file, key_file


def issue_admin_certificate(
    authority: Authority, directory: Path, *, name: str, days: int = 365, replace: bool = False
) -> tuple[Path, Path]:
    """Create ``admin.crt`` and ``admin.key`` in `directory`, signed by `authority`; return both.

    Raises
    ------
    CredentialError
        If the name cannot stand in a certificate, or either file exists and is not to be replaced.
    """
    certificate_file, key_file = directory / "admin.crt", directory / "admin.key"
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = admin_certificate(
        key.public_key(), name, issuer=authority.certificate, issuer_key=authority.key, days=days
    )
    write_together({key_file: private_pem(key), certificate_file: certificate_pem(certificate)}, replace=replace)
    return certificate_file, key_file


def issue_evaluator_certificate(
    authority: Authority, directory: Path, *, name: str, days: int = 365, replace: bool = False
) -> tuple[Path, Path]:
    """Create ``evaluator.crt`` and ``evaluator.key`` in `directory`, signed by `authority`; return both.

    Raises
    ------
    CredentialError
        If the name cannot stand in a certificate, or either file exists and is not to be replaced.
    """
    certificate_file, key_file = directory / "evaluator.crt", directory / "evaluator.key"
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = evaluator_certificate(
        key.public_key(), name, issuer=authority.certificate, issuer_key=authority.key, days=days
    )
    write_together({key_file: private_pem(key), certificate_file: certificate_pem(certificate)}, replace=replace)
    return certificate_file, key_file


def issue_coordinator_credentials(
    authority: Authority, directory: Path, *, names: Sequence[str], days: int
) -> dict[str, Path]:
    """Create in `directory` what a coordinator's containers need: of the CA its certificate alone.

    Parameters
    ----------
    authority : Authority
        Who signs.
    directory : Path
        Where the files go.
    names : sequence of str
        DNS names and IP addresses that clients will call the SuperLink by.
    days : int
        Length of validity.

    Returns
    -------
    dict of Path
        The files by name.

    Raises
    ------
    CredentialError
        If a name cannot stand in a certificate, or one of the files exists.
    """
    made = {name: directory / name for name in COORDINATOR_FILES}
    refuse_existing(*made.values())
    write_private(made["ca.crt"], authority.certificate_file.read_bytes())
    issue_server_certificate(authority, directory, names=names, days=days)
    issue_admin_certificate(authority, directory, name="keeper", days=days)
    create_secret(made["superexec.secret"])
    return made


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as its file holds it."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate's private key as its file holds it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
