"""X.509 certificates: one authority a federation, one server certificate a SuperLink."""

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlora.errors import CredentialError
from fedlora.pki.secret_files import refuse_existing, write_private

__all__ = ["Authority", "create_authority", "issue_server_certificate", "key_fingerprint"]

MOST_COMMON_NAME, MOST_DNS_NAME = 64, 253
MOST_DAYS = 36_500
DNS_NAME = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
CLOCK_SLACK = timedelta(minutes=5)  # a peer whose clock is a little behind must not find us not yet valid


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
        If either file exists, or the days are not 0 to 36500.
    """
    refuse_existing(directory / "ca.crt", directory / "ca.key")
    key = ec.generate_private_key(ec.SECP384R1())
    name = _name(f"{federation} CA")
    certificate = (
        _builder(name, name, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificate_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    key_file = write_private(directory / "ca.key", _private_pem(key))
    certificate_file = write_private(directory / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate_file, key_file, certificate, key)


def issue_server_certificate(
    authority: Authority, directory: Path, *, names: Sequence[str], days: int = 365
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

    Returns
    -------
    tuple of Path
        Certificate and key.

    Raises
    ------
    CredentialError
        If there are no names, one cannot stand in a certificate, or either file exists.
    """
    if not names:
        raise CredentialError("a server certificate needs at least one name")
    refuse_existing(directory / "server.crt", directory / "server.key")
    key = ec.generate_private_key(ec.SECP384R1())
    issuer_id = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(_name(names[0]), authority.certificate.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificate_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        .sign(authority.key, hashes.SHA384())
    )
    key_file = write_private(directory / "server.key", _private_pem(key))
    certificate_file = write_private(directory / "server.crt", certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, key_file


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    if not 0 <= days <= MOST_DAYS:
        raise CredentialError(f"a certificate cannot be valid for {days} days; allowed: 0 to {MOST_DAYS}")
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    """Return a subject. X.509 ends a common name at 64 characters; a longer one, as of a DNS name, is left out."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "fedlora")]
    if 0 < len(common_name) <= MOST_COMMON_NAME:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if not DNS_NAME.fullmatch(name) or len(name) > MOST_DNS_NAME:
            raise CredentialError(f"{name!r} is neither an IP address nor a DNS name") from None
        return x509.DNSName(name)


def _key_usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_sign,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
