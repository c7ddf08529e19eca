"""Looking at keys and certificates: what each is, how long it lasts, what belongs to it, what is wrong with it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from fedlora.errors import CredentialError
from fedlora.pki.contents import names_of
from fedlora.pki.reading import Role, certificate_sha256, describe_key, is_p384, key_sha256, role_of, too_open

__all__ = ["Credential", "inspect"]

SECRET = re.compile(rb"[0-9a-f]{64}\s*")
LARGEST = 2**16  # a file beyond is something else


@dataclass(frozen=True)
class Credential:
    """What is known of a file.

    Attributes
    ----------
    file, mode : str
        Its path, and its permissions in octal.
    kind : str
        ``certificate``, ``private key``, ``public key``, ``request``, ``secret``, or ``damaged``.
    role : str
        ``CA``, ``SuperLink server``, ``admin``, ``evaluator``, ``node``, ``secret``, or ``other``.
    subject, serial, valid_from, valid_until, days_left : str or int, optional
        Of a certificate.
    names : tuple of str
        What clients may call the server by.
    sha256 : str, optional
        Of a certificate its fingerprint, of a key and a request that of the public key; of a secret nothing is said.
    pair, matches : str and bool, optional
        The file that holds its other half by its name, if it is there; whether the two belong together.
    problems : tuple of str
        What is wrong, and what to do.
    """

    file: str
    mode: str
    kind: str
    role: str
    subject: str | None
    names: tuple[str, ...]
    sha256: str | None
    serial: str | None
    valid_from: str | None
    valid_until: str | None
    days_left: int | None
    pair: str | None
    matches: bool | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """A file and what it holds; `public` is the DER of its public key."""

    file: Path
    kind: str
    role: str
    public: bytes | None = None
    content: Any = None
    problem: str = ""


def inspect(path: Path) -> list[Credential]:
    """Look at a file, or at all files of a folder that hold a key or a certificate.

    Raises
    ------
    CredentialError
        If there is nothing at `path`, it cannot be read, or a file that was named holds none.
    """
    try:
        beside = sorted(entry for entry in (path if path.is_dir() else path.parent).iterdir() if entry.is_file())
        if not path.is_dir() and not path.is_file():
            raise CredentialError(f"there is no {path}; name a folder, or a file with a key or a certificate")
        found = [one for file in beside if (one := _recognise(file)) is not None]
        chosen = found if path.is_dir() else [one for one in found if one.file == path]
        if not chosen:
            raise CredentialError(
                f"{path} holds no key, certificate, request or secret; make some with: fedlora pki init, or fedlora "
                "node keygen"
            )
        return [_look(one, found) for one in chosen]
    except OSError as error:
        raise CredentialError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _recognise(file: Path) -> _Found | None:
    """Say what a file holds, from its content and not from its name; None if that is nothing of ours."""
    if file.stat().st_size > LARGEST:
        return None
    content = file.read_bytes()
    try:
        if b"-----BEGIN CERTIFICATE-----" in content:
            certificate = x509.load_pem_x509_certificate(content)
            return _Found(file, "certificate", str(role_of(certificate)), _der(certificate.public_key()), certificate)
        if b"-----BEGIN CERTIFICATE REQUEST-----" in content:
            request = x509.load_pem_x509_csr(content)
            return _Found(file, "request", str(Role.SERVER), _der(request.public_key()), request)
        if b"-----BEGIN OPENSSH PRIVATE KEY-----" in content:
            key = serialization.load_ssh_private_key(content, None)
            return _Found(file, "private key", "node", _der(key.public_key()), key)
        if re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----", content):
            private: Any = serialization.load_pem_private_key(content, None)
            return _Found(file, "private key", str(Role.OTHER), _der(private.public_key()), private)
        if re.match(rb"(ecdsa|ssh)-[a-z0-9-]+ ", content):
            public = serialization.load_ssh_public_key(content)
            return _Found(file, "public key", "node", _der(public), public)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it wants a passphrase
        reason = str(error).partition("\n")[0].partition(". See")[0].rstrip(".")
        return _Found(file, "damaged", str(Role.OTHER), problem=f"{file.name} cannot be read: {reason}")
    return _Found(file, "secret", "secret") if SECRET.fullmatch(content) else None


def _look(one: _Found, beside: Sequence[_Found]) -> Credential:
    pair = next((other for other in beside if other.file.name == _pair_name(one)), None)
    role = one.role
    if role == Role.OTHER and one.kind == "private key":
        role = next((other.role for other in beside if other.public == one.public and other.kind != one.kind), role)
    certificate = one.content if one.kind == "certificate" else None
    holder = one.content if one.kind in ("certificate", "request") else None
    left = None if certificate is None else (certificate.not_valid_after_utc - datetime.now(UTC)).days
    return Credential(
        file=str(one.file),
        mode=f"{one.file.stat().st_mode & 0o777:04o}",
        kind=one.kind,
        role=role,
        subject=holder.subject.rfc4514_string() if holder else None,
        names=names_of(holder) if holder else (),
        sha256=_fingerprint(one),
        serial=f"{certificate.serial_number:x}" if certificate else None,
        valid_from=certificate.not_valid_before_utc.isoformat() if certificate else None,
        valid_until=certificate.not_valid_after_utc.isoformat() if certificate else None,
        days_left=left,
        pair=pair.file.name if pair else None,
        matches=None if pair is None else pair.public == one.public,
        problems=tuple(_problems(one, pair, beside)),
    )


def _pair_name(one: _Found) -> str:
    """Return the name of the file with the other half: ``ca.key`` for ``ca.crt``, ``node.key.pub`` for ``node.key``."""
    name = one.file.name.removesuffix(".previous")
    kept = one.file.name.removeprefix(name)
    if one.role == "node":
        return f"{name}.pub{kept}" if one.kind == "private key" else f"{name.removesuffix('.pub')}{kept}"
    other = {"certificate": ".key", "private key": ".crt"}.get(one.kind)
    return f"{name.removesuffix(Path(name).suffix)}{other}{kept}" if other else ""


def _problems(one: _Found, pair: _Found | None, beside: Sequence[_Found]) -> Iterable[str]:
    name = one.file.name
    if one.problem:
        yield one.problem
    if one.kind in ("private key", "secret", "damaged"):
        yield from filter(None, [too_open(one.file), _folder_too_open(one.file)])
    if one.kind in ("private key", "public key") and not is_p384(one.content):
        yield f"{name} is {describe_key(one.content)}; allowed: ECDSA P-384"
    if pair is not None and pair.public != one.public:
        yield f"{name} and {pair.file.name} do not belong together; bring the right one back"
    if one.kind == "private key" and pair is None and not any(o.public == one.public for o in beside if o is not one):
        yield f"{name} is half a pair: no certificate, no request and no public key of it is here"
    if one.kind == "certificate":
        yield from _certificate_problems(one, beside)


def _certificate_problems(one: _Found, beside: Sequence[_Found]) -> Iterable[str]:
    certificate, now, name = one.content, datetime.now(UTC), one.file.name
    if now > certificate.not_valid_after_utc:
        yield f"{name} has expired; renew it with: fedlora pki renew"
    if now < certificate.not_valid_before_utc:
        yield f"{name} is not valid yet; look at this machine's clock"
    if role_of(certificate) is Role.OTHER:
        yield f"{name} is of no role of fedlora's, or of more than one; one certificate has one role"
    named = {f"{role.stem}.crt": role for role in Role if role is not Role.OTHER}
    expected = named.get(name)
    if expected and role_of(certificate) is not expected:
        yield f"{name} is not the certificate of a {expected}, as its name says"
    authority = next((other for other in beside if other.file.name == "ca.crt"), None)
    if expected not in (None, Role.AUTHORITY) and authority is not None and not _issued(certificate, authority.content):
        yield f"{name} was not issued by ca.crt beside it; renew it, or bring the right ca.crt"


def _issued(certificate: x509.Certificate, by: Any) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _folder_too_open(file: Path) -> str:
    mode = file.absolute().parent.stat().st_mode & 0o777
    return (
        f"{file.parent} has mode {mode:04o}: others may enter it; run: chmod 700 {file.parent}" if mode & 0o077 else ""
    )


def _fingerprint(one: _Found) -> str | None:
    if one.kind == "certificate":
        return certificate_sha256(one.content)
    if one.content is None:
        return None
    return key_sha256(one.content if one.kind == "public key" else one.content.public_key())


def _der(key: Any) -> bytes:
    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
