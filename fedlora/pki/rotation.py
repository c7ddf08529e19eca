"""Exchanging a federation's CA while it goes on: for a while both are trusted, and then the old one is not any more.

It takes three steps. `begin` makes the new CA and puts both certificates into ``ca.crt``, the old one first: with that
every party is started anew. `switch` signs the SuperLink's certificate, and an admin's, by the new one. `end` takes the
old one out of ``ca.crt``. At each moment every party that has the newest ``ca.crt`` accepts every other.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fedlora.errors import CredentialError
from fedlora.folders import make_durable
from fedlora.pki.certificates import certificate_pem, private_pem
from fedlora.pki.contents import admin_certificate, authority_certificate, names_of, server_certificate
from fedlora.pki.reading import (
    Role,
    ca_certificates,
    certificate_sha256,
    key_sha256,
    load_authority,
    read_key,
    read_pair,
)
from fedlora.pki.renewal import AUTHORITY_DAYS, SERVER_DAYS
from fedlora.pki.secret_files import write_together

__all__ = ["NEXT_KEY", "Rotation", "authority_keys", "begin_rotation", "end_rotation", "rotation", "switch_rotation"]

NEXT_KEY = "ca-next.key"  # of the new CA, until it is the one that signs


@dataclass(frozen=True)
class Rotation:
    """Where an exchange of a CA stands.

    Attributes
    ----------
    old, new : x509.Certificate
        The CA that is left, and the one that takes its place.
    switched : bool
        Whether the new one signs already.
    """

    old: x509.Certificate
    new: x509.Certificate
    switched: bool

    @property
    def new_sha256(self) -> str:
        """Fingerprint of the new CA's certificate."""
        return certificate_sha256(self.new)


def rotation(directory: Path) -> Rotation | None:
    """Return where the exchange of the CA in `directory` stands; None if there is none.

    Raises
    ------
    CredentialError
        If ``ca.crt`` cannot be read, or holds something else than one CA or two.
    """
    found = ca_certificates(directory / "ca.crt")
    if len(found) == 1:
        return None
    if len(found) > 2:
        raise CredentialError(f"{directory / 'ca.crt'} holds {len(found)} certificates; allowed: a CA's, or two CAs'")
    next_key = directory / NEXT_KEY
    begun = next_key.exists() and read_key(next_key).public_key() == found[1].public_key()
    return Rotation(found[0], found[1], False) if begun else Rotation(found[1], found[0], True)


def begin_rotation(directory: Path, *, days: int = AUTHORITY_DAYS) -> Rotation:
    """Make a new CA beside the one in `directory`; ``ca.crt`` holds both from now on, and the old one signs.

    Raises
    ------
    CredentialError
        If an exchange is under way, the CA cannot be used, or the disk does not take the files.
    """
    if rotation(directory) is not None:
        raise CredentialError(f"the CA in {directory} is being exchanged already; see: fedlora pki rotate {directory}")
    old = load_authority(directory).certificate
    key = ec.generate_private_key(ec.SECP384R1())
    new = authority_certificate(key, old.subject, days)
    write_together(
        {directory / NEXT_KEY: private_pem(key), directory / "ca.crt": certificate_pem(old) + certificate_pem(new)},
        replace=True,
    )
    return Rotation(old, new, False)


def switch_rotation(directory: Path) -> Rotation:
    """Let the new CA sign: the SuperLink gets a new pair, and an admin whose pair is here; ``ca.crt`` holds both still.

    Raises
    ------
    CredentialError
        If no exchange has begun, or it is past this, a pair cannot be used, or the disk does not take the files.
    """
    under_way = _under_way(directory, switched=False)
    key = read_key(directory / NEXT_KEY)
    new, old = under_way.new, under_way.old
    contents = {
        directory / "ca.crt": certificate_pem(new) + certificate_pem(old),
        directory / "ca.key": private_pem(key),
    }
    for role in (Role.SERVER, Role.ADMIN):
        if (directory / f"{role.stem}.crt").exists():
            contents |= _signed_anew(directory, role, new, key)
    write_together(contents, replace=True)
    (directory / NEXT_KEY).unlink()
    make_durable(directory)
    return Rotation(old, new, True)


def end_rotation(directory: Path) -> Rotation:
    """Take the old CA out of ``ca.crt``.

    Raises
    ------
    CredentialError
        If the new one does not sign yet, or the disk does not take the file.
    """
    under_way = _under_way(directory, switched=True)
    write_together({directory / "ca.crt": certificate_pem(under_way.new)}, replace=True)
    return under_way


def _under_way(directory: Path, *, switched: bool) -> Rotation:
    found = rotation(directory)
    if found is None:
        raise CredentialError(f"no exchange of the CA in {directory} has begun: fedlora pki rotate {directory} begin")
    if found.switched is not switched:
        said = "the new CA signs already; what is left is: end" if found.switched else "the old CA signs; first: switch"
        raise CredentialError(f"the exchange of the CA in {directory} is elsewhere: {said}")
    return found


def _signed_anew(
    directory: Path, role: Role, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
) -> dict[Path, bytes]:
    """Return the files of a new pair for whom the pair of `role` is for, on a new key."""
    old, _ = read_pair(directory, role)
    key = ec.generate_private_key(ec.SECP384R1())
    if role is Role.SERVER:
        new = server_certificate(
            key.public_key(), names_of(old), issuer=issuer, issuer_key=issuer_key, days=SERVER_DAYS
        )
    else:
        name = str(old.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        new = admin_certificate(key.public_key(), name, issuer=issuer, issuer_key=issuer_key, days=SERVER_DAYS)
    return {directory / f"{role.stem}.key": private_pem(key), directory / f"{role.stem}.crt": certificate_pem(new)}


def authority_keys(file: Path) -> tuple[str, ...]:
    """Return the SHA-256 of the public key of each CA certificate in a file, the one that signs first."""
    return tuple(key_sha256(certificate.public_key()) for certificate in ca_certificates(file))
