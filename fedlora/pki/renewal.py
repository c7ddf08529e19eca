"""New certificates in place of old ones: on the same key and names, unless a new key is wanted."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fedlora.errors import CredentialError
from fedlora.pki.certificates import Authority, certificate_pem, private_pem
from fedlora.pki.contents import authority_certificate, names_of, server_certificate
from fedlora.pki.reading import Role, load_authority, read_pair
from fedlora.pki.secret_files import write_together

__all__ = ["AUTHORITY_DAYS", "SERVER_DAYS", "renew", "server_days"]

AUTHORITY_DAYS, SERVER_DAYS = 3650, 365


def server_days(authority: Authority, wanted: int | None = None) -> int:
    """Return how long a server's certificate is to be valid: as wanted, else 365 days, or until the CA ends.

    Raises
    ------
    CredentialError
        If as wanted it would outlive the CA: nobody would accept it then.
    """
    left = math.ceil((authority.certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1))
    if wanted is not None and wanted > left:
        raise CredentialError(
            f"{authority.certificate_file} ends within {left} days, and a server certificate of {wanted} days would "
            f"outlive it; allowed: at most {left}; or renew the CA first: fedlora pki renew "
            f"{authority.certificate_file.parent} ca"
        )
    return wanted if wanted is not None else min(SERVER_DAYS, left)


def renew(directory: Path, role: Role, *, days: int | None = None, new_key: bool = False) -> x509.Certificate:
    """Replace the certificate of `role` in `directory`, expired or not; the old pair stays with ``.previous``.

    Parameters
    ----------
    directory : Path
        The CA's folder; for a server its pair is there as well.
    role : Role
        Whose certificate.
    days : int, optional
        Length of validity; else as for a new one.
    new_key : bool
        Whether the key is replaced as well. All that a CA has signed must then be signed again.

    Returns
    -------
    x509.Certificate
        The new one.

    Raises
    ------
    CredentialError
        If either pair cannot be used, the CA has expired and a server is to be renewed, or the disk does not take it.
    """
    old, old_key = read_pair(directory, role)
    key = ec.generate_private_key(ec.SECP384R1()) if new_key else old_key
    if role is Role.AUTHORITY:
        certificate = authority_certificate(key, old.subject, AUTHORITY_DAYS if days is None else days)
    else:
        authority = load_authority(directory)
        certificate = server_certificate(
            key.public_key(),
            names_of(old),
            issuer=authority.certificate,
            issuer_key=authority.key,
            days=server_days(authority, days),
        )
    certificate_file, key_file = directory / f"{role.stem}.crt", directory / f"{role.stem}.key"
    write_together({key_file: private_pem(key), certificate_file: certificate_pem(certificate)}, replace=True)
    return certificate
