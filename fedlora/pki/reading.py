"""Reading certificates and keys from their files, each for the one role that it has."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedlora.errors import CredentialError
from fedlora.pki.certificates import Authority
from fedlora.pki.contents import ADMIN_PURPOSE, EVALUATOR_PURPOSE, SERVER_PURPOSE
from fedlora.pki.secret_files import previous

__all__ = [
    "Role",
    "ca_certificates",
    "ca_fingerprints",
    "certificate_sha256",
    "check_time",
    "describe_key",
    "is_p384",
    "key_sha256",
    "load_authority",
    "read_ca_certificate",
    "read_certificate",
    "read_key",
    "read_pair",
    "role_of",
    "too_open",
]

Part = TypeVar("Part")


class Role(StrEnum):
    """What a certificate is for; the value is what people read."""

    AUTHORITY = "CA"
    SERVER = "SuperLink server"
    ADMIN = "admin"
    EVALUATOR = "evaluator"
    OTHER = "other"

    @property
    def stem(self) -> str:
        """Name of its files, without ``.crt`` and ``.key``."""
        return {Role.AUTHORITY: "ca", Role.SERVER: "server", Role.ADMIN: "admin", Role.EVALUATOR: "evaluator"}[self]


def role_of(certificate: x509.Certificate) -> Role:
    """Return the one role that a certificate allows, or OTHER if that is none of ours, or more than one."""
    try:
        constraints = _part(certificate, x509.BasicConstraints)
        usage, purpose = _part(certificate, x509.KeyUsage), _part(certificate, x509.ExtendedKeyUsage)
    except ValueError:  # an extension stands there twice, or is none
        return Role.OTHER
    signs = usage is None or usage.key_cert_sign
    if constraints is not None and constraints.ca:
        return Role.AUTHORITY if signs and purpose is None else Role.OTHER
    if usage is not None and signs:
        return Role.OTHER
    roles = {SERVER_PURPOSE: Role.SERVER, ADMIN_PURPOSE: Role.ADMIN, EVALUATOR_PURPOSE: Role.EVALUATOR}
    return roles.get(purpose, Role.OTHER)


def read_certificate(file: Path) -> x509.Certificate:
    """Read a certificate.

    Raises
    ------
    CredentialError
        If the file is none.
    """
    return _read(file, "certificate", x509.load_pem_x509_certificate)


def ca_fingerprints(file: Path) -> list[str]:
    """Return the SHA-256 of each CA certificate in a file; while a CA is being exchanged, that of both.

    Raises
    ------
    CredentialError
        If the file holds none.
    """
    return [certificate_sha256(one) for one in ca_certificates(file)]


def ca_certificates(file: Path) -> list[x509.Certificate]:
    """Read the CA certificates in a file: one, or two while a CA is being exchanged, the one that signs first.

    Raises
    ------
    CredentialError
        If the file holds none.
    """
    return _read(file, "certificate", x509.load_pem_x509_certificates)


def read_ca_certificate(file: Path, sha256: str = "") -> x509.Certificate:
    """Read a federation's CA certificate, as everybody has it.

    Parameters
    ----------
    file : Path
        Where it is.
    sha256 : str
        The fingerprint that it must have, in hexadecimal, with or without colons; empty for any.

    Raises
    ------
    CredentialError
        If the file is no certificate, one of another role or fingerprint, or its time is not now.
    """
    certificate = read_certificate(file)
    _check_role(certificate, file, Role.AUTHORITY)
    found = certificate_sha256(certificate)
    if sha256 and sha256.replace(":", "").lower() != found:
        raise CredentialError(
            f"{file} has the SHA-256 {found}, not {sha256}, which is asked for: it is not the federation's, or the "
            "CA was renewed; ask the coordinator for both, by another way than the one that brought the file"
        )
    check_time(certificate, file, "get the federation's new ca.crt from the coordinator")
    return certificate


def read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Read the private key of a certificate.

    Raises
    ------
    CredentialError
        If others may read the file, or it is no ECDSA P-384 key.
    """
    key = _read(file, "private key", lambda content: serialization.load_pem_private_key(content, None))
    problem = too_open(file)
    if problem:
        raise CredentialError(f"{problem}, and think about whether somebody has")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_p384(key):
        raise CredentialError(f"{file} is {describe_key(key)}; allowed: ECDSA P-384, as fedlora pki makes it")
    return key


def read_pair(directory: Path, role: Role) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Read the certificate and the key of `role` in `directory`; that the time is right is not asked.

    Raises
    ------
    CredentialError
        If there is none or half a pair, either cannot be used, the role is another, or they do not belong together.
    """
    certificate_file, key_file = directory / f"{role.stem}.crt", directory / f"{role.stem}.key"
    try:
        missing = [file for file in (certificate_file, key_file) if not file.exists()]
    except OSError as error:
        raise CredentialError(f"cannot read {directory}: {error.strerror}") from error
    if len(missing) == 2:
        raise CredentialError(f"{directory} has neither {role.stem}.crt nor {role.stem}.key; {_how_to_make(role)}")
    if missing:
        there = key_file if missing == [certificate_file] else certificate_file
        raise CredentialError(
            f"{directory} has half a pair: {there.name} without {missing[0].name}; bring {missing[0].name} to where "
            f"{there.name} is, or do this where both are"
        )
    certificate, key = read_certificate(certificate_file), read_key(key_file)
    _check_role(certificate, certificate_file, role)
    if certificate.public_key() != key.public_key():
        kept = ", ".join(previous(file).name for file in (certificate_file, key_file) if previous(file).exists())
        raise CredentialError(
            f"{certificate_file} and {key_file} do not belong together: the certificate is for another key; bring the "
            f"right one back{f'; what stood there before is in {kept}' if kept else ''}"
        )
    return certificate, key


def load_authority(directory: Path) -> Authority:
    """Read the CA in `directory` in order to sign with it.

    Raises
    ------
    CredentialError
        If `read_pair` refuses it, or its time is not now.
    """
    certificate, key = read_pair(directory, Role.AUTHORITY)
    file = directory / "ca.crt"
    check_time(certificate, file, f"renew it with: fedlora pki renew {directory} ca")
    return Authority(file, directory / "ca.key", certificate, key)


def check_time(certificate: x509.Certificate, file: Path, advice: str) -> None:
    """Check that a certificate is valid now.

    Raises
    ------
    CredentialError
        If it has expired or is not valid yet.
    """
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise CredentialError(f"{file} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; {advice}")
    if now < certificate.not_valid_before_utc:
        raise CredentialError(
            f"{file} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, and it is "
            f"{now:%Y-%m-%d %H:%M} here; look at this machine's clock"
        )


def too_open(file: Path) -> str:
    """Say that others than the owner may read `file`, and what to do; empty if they may not."""
    mode = file.stat().st_mode & 0o777
    return f"{file} has mode {mode:04o}: others may read it; run: chmod 600 {file}" if mode & 0o077 else ""


def is_p384(key: object) -> bool:
    """Say whether this is an ECDSA key, private or public, on the one curve that fedlora uses."""
    return isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) and key.curve.name == "secp384r1"


def describe_key(key: object) -> str:
    """Return what kind of key this is, in words."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"an elliptic curve key on {key.curve.name}"
    size = getattr(key, "key_size", None)
    kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey").strip("_")
    return f"a key of the kind {kind}{f' with {size} bits' if size else ''}"


def certificate_sha256(certificate: x509.Certificate) -> str:
    """Return a certificate's fingerprint, in hexadecimal: the SHA-256 of its DER form."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_sha256(key: Any) -> str:
    """Return the SHA-256 of a public key, in hexadecimal: that of its DER form, SubjectPublicKeyInfo."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return digest.finalize().hex()


def _read(file: Path, what: str, load: Callable[[bytes], Part]) -> Part:
    try:
        return load(file.read_bytes())
    except OSError as error:
        raise CredentialError(f"cannot read the {what} {file}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it wants a passphrase
        reason = str(error).partition("\n")[0].partition(". See")[0].rstrip(".")
        raise CredentialError(f"{file} is no {what} in PEM format: {reason}") from error


def _part(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_role(certificate: x509.Certificate, file: Path, wanted: Role) -> None:
    role = role_of(certificate)
    if role is not wanted:
        of = "of a role that is none of fedlora's" if role is Role.OTHER else f"that of a {role}"
        raise CredentialError(
            f"{file} is not the certificate of a {wanted}, but {of}; one certificate has one role: name the right file"
        )


def _how_to_make(role: Role) -> str:
    if role is Role.AUTHORITY:
        return "name the CA's folder, or make a CA with: fedlora pki init DIR --federation NAME"
    if role is Role.ADMIN:
        return "make a pair with: fedlora pki admin"
    if role is Role.EVALUATOR:
        return "make a pair with: fedlora pki evaluator"
    return "make a pair with: fedlora pki server, or away from the CA: fedlora pki request"
