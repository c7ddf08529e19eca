"""The submitter's key: Ed25519 (RFC 8032), which signs an entry's manifest, and with it the hash of every file."""

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedlora.errors import CredentialError
from fedlora.pki.reading import describe_key, key_sha256, too_open
from fedlora.pki.secret_files import write_together

__all__ = ["KEY", "PUBLIC", "create_key", "fingerprint", "public_hex", "read_key", "read_public", "sign", "signed_by"]

KEY, PUBLIC = "submitter.key", "submitter.pub"
PURPOSE = b"fedlora leaderboard entry\n"  # a signature for something else is none for an entry


def create_key(directory: Path) -> tuple[Path, Path]:
    """Make a key in `directory`: ``submitter.key``, which stays, and ``submitter.pub``; return both.

    Raises
    ------
    CredentialError
        If one of them stands there; nothing is overwritten.
    """
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_together({directory / KEY: secret, directory / PUBLIC: public})
    return directory / KEY, directory / PUBLIC


def read_key(file: Path) -> Ed25519PrivateKey:
    """Read a submitter's private key.

    Raises
    ------
    CredentialError
        If others may read the file, or it holds something else.
    """
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it wants a passphrase
        raise CredentialError(f"cannot read the submitter's key {file}: {error}") from error
    if problem := too_open(file):
        raise CredentialError(problem)
    if not isinstance(key, Ed25519PrivateKey):
        raise CredentialError(
            f"{file} is {describe_key(key)}; allowed: Ed25519, as fedlora leaderboard keygen makes it"
        )
    return key


def read_public(file: Path) -> str:
    """Return the public key in `file` as 64 hexadecimal digits.

    Raises
    ------
    CredentialError
        If it holds something else.
    """
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"cannot read the public key {file}: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise CredentialError(f"{file} is {describe_key(key)}; allowed: the Ed25519 key in a {PUBLIC}")
    return key.public_bytes_raw().hex()


def public_hex(key: Ed25519PrivateKey) -> str:
    """Return the public half as 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def fingerprint(public: str) -> str:
    """Return the SHA-256 of a public key's DER form, by which people compare keys."""
    return key_sha256(Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)))


def sign(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    """Return the 64 bytes that sign a manifest."""
    return key.sign(PURPOSE + manifest)


def signed_by(public: str, manifest: bytes, signature: bytes) -> bool:
    """Say whether the owner of `public`, 64 hexadecimal digits, has signed this manifest."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, PURPOSE + manifest)
    except (InvalidSignature, ValueError):
        return False
    return True
