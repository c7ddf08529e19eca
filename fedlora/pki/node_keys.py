"""Node keys: ECDSA on P-384, in OpenSSH's format, as Flower's supernode reads them."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedlora.errors import CredentialError
from fedlora.folders import make_durable
from fedlora.pki.reading import key_sha256
from fedlora.pki.secret_files import write_together

__all__ = ["create_node_key", "load_node_key", "public_key_pem", "public_key_sha256", "remove_node_key"]


def create_node_key(file: Path, *, replace: bool = False) -> Path:
    """Create a node key: the private half in `file`, the public half beside it with ``.pub``; return the latter.

    Files that stand there are refused; with `replace` they are replaced, and kept beside with ``.previous``.
    """
    public = file.with_name(f"{file.name}.pub")
    key = ec.generate_private_key(ec.SECP384R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    write_together({file: secret, public: line + b"\n"}, replace=replace)
    return public


def load_node_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Read a node key.

    Raises
    ------
    CredentialError
        If the file is no ECDSA P-384 private key.
    """
    try:
        key = serialization.load_ssh_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it wants a passphrase
        raise CredentialError(f"cannot read the node key {file}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp384r1":
        raise CredentialError(f"{file} is not an ECDSA P-384 key")
    return key


def remove_node_key(file: Path) -> None:
    """Remove the private half of a node key, if it is there; the public half stays, to be recognised by.

    Raises
    ------
    CredentialError
        If the disk does not let go of it.
    """
    try:
        file.unlink(missing_ok=True)
        make_durable(file.parent)
    except OSError as error:
        raise CredentialError(f"cannot remove the node key {file}: {error}; remove it yourself") from error


def public_key_pem(file: Path) -> bytes:
    """Read the public key that stands in OpenSSH's format in `file`, as PEM, the way Flower registers it.

    Raises
    ------
    CredentialError
        If the file is no ECDSA P-384 public key.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CredentialError(f"cannot read the public key {file}: {error}") from error
    return public_key_as_pem(content, str(file))


def public_key_as_pem(content: bytes, origin: str) -> bytes:
    """Return the public key that `content` holds in OpenSSH's format as PEM; see `public_key_pem`, which names a file.

    Raises
    ------
    CredentialError
        If it is no ECDSA P-384 public key; names `origin`.
    """
    try:
        key = serialization.load_ssh_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"cannot read the public key {origin}: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise CredentialError(f"{origin} is not an ECDSA P-384 public key")
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_key_sha256(pem: bytes) -> str | None:
    """Return the SHA-256 of a public key that was registered, in hexadecimal, or None if it is none."""
    try:
        return key_sha256(serialization.load_pem_public_key(pem))
    except (ValueError, UnsupportedAlgorithm):
        return None
