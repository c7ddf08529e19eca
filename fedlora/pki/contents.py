"""What stands in a certificate and in a request for one; no file is touched here."""

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlora.errors import CredentialError

__all__ = [
    "ADMIN_PURPOSE",
    "CA_USAGE",
    "EVALUATOR_PURPOSE",
    "ORGANIZATION",
    "SERVER_PURPOSE",
    "SERVER_USAGE",
    "admin_certificate",
    "alternative_names",
    "authority_certificate",
    "authority_subject",
    "evaluator_certificate",
    "names_of",
    "server_certificate",
    "server_request",
]

MOST_COMMON_NAME, MOST_DNS_NAME = 64, 253
MOST_DAYS = 36_500
DNS_NAME = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
CLOCK_SLACK = timedelta(minutes=5)  # a peer whose clock is a little behind must not find us not yet valid
SERVER_PURPOSE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
ADMIN_PURPOSE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
# A purpose of our own beside that of all clients, which OpenSSL asks for. Proxies see neither: they tell evaluators
# from admins by the organisation in the subject (`fedlora/rendering/compose/gateway.py`).
READ_CHECKPOINTS = x509.ObjectIdentifier("2.25.121739387539398749245865699238641225391")
EVALUATOR_PURPOSE = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, READ_CHECKPOINTS])
ORGANIZATION, EVALUATORS = "fedlora", "fedlora evaluator"


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


CA_USAGE, SERVER_USAGE = _key_usage(certificate_sign=True), _key_usage(certificate_sign=False)


def authority_subject(federation: str) -> x509.Name:
    """Return the name of a federation's CA.

    Raises
    ------
    CredentialError
        If the federation's name cannot stand in a certificate.
    """
    _check_name(federation, "a federation", MOST_COMMON_NAME - len(" CA"))
    return _name(f"{federation} CA")


def authority_certificate(key: ec.EllipticCurvePrivateKey, subject: x509.Name, days: int) -> x509.Certificate:
    """Return a certificate that `key` signs for itself, and that may sign servers' certificates alone."""
    return (
        _builder(subject, subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )


def server_certificate(
    public_key: ec.EllipticCurvePublicKey,
    names: Sequence[str],
    *,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    """Return a server's certificate for `public_key`, which clients may call by `names`.

    Raises
    ------
    CredentialError
        If there are no names or one cannot stand in a certificate, the days are not 0 to 36500, or the key is the
        issuer's own.
    """
    alternatives = alternative_names(names)
    if public_key == issuer_key.public_key():
        raise CredentialError(
            "a server certificate on the CA's own key would give one key two roles; make another key for the server"
        )
    return (
        _leaf(_name(names[0]), public_key, SERVER_PURPOSE, issuer, days)
        .add_extension(alternatives, critical=False)
        .sign(issuer_key, hashes.SHA384())
    )


def admin_certificate(
    public_key: ec.EllipticCurvePublicKey,
    name: str,
    *,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    """Return an admin's certificate for `public_key`: it opens the Control API, and serves nothing.

    Raises
    ------
    CredentialError
        If the name cannot stand in a certificate, or the days are not 0 to 36500.
    """
    _check_name(name, "an admin", MOST_COMMON_NAME)
    return _leaf(_name(name), public_key, ADMIN_PURPOSE, issuer, days).sign(issuer_key, hashes.SHA384())


def evaluator_certificate(
    public_key: ec.EllipticCurvePublicKey,
    name: str,
    *,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    """Return an evaluator's certificate for `public_key`: it may read the checkpoints of runs, and nothing else.

    Raises
    ------
    CredentialError
        If the name cannot stand in a certificate, or the days are not 0 to 36500.
    """
    _check_name(name, "an evaluator", MOST_COMMON_NAME)
    subject = _name(name, EVALUATORS)
    return _leaf(subject, public_key, EVALUATOR_PURPOSE, issuer, days).sign(issuer_key, hashes.SHA384())


def server_request(key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> x509.CertificateSigningRequest:
    """Return a request for a server's certificate on `key`; it says which role it asks for."""
    alternatives = alternative_names(names)
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(names[0]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SERVER_USAGE, critical=True)
        .add_extension(SERVER_PURPOSE, critical=False)
        .add_extension(alternatives, critical=False)
        .sign(key, hashes.SHA384())
    )


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Return DNS names and IP addresses as a certificate holds them.

    Raises
    ------
    CredentialError
        If there are none, or one is neither.
    """
    if not names:
        raise CredentialError("a server certificate needs at least one name")
    return x509.SubjectAlternativeName([_alternative(name) for name in names])


def names_of(holder: x509.Certificate | x509.CertificateSigningRequest) -> tuple[str, ...]:
    """Return the DNS names and IP addresses in a certificate or a request; names of other kinds with their kind."""
    try:
        found = holder.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    plain = (x509.DNSName, x509.IPAddress)
    return tuple(str(one.value) if isinstance(one, plain) else f"{type(one).__name__} {one.value}" for one in found)


def now() -> datetime:
    """Return the time; tests set another."""
    return datetime.now(UTC)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    if not 0 <= days <= MOST_DAYS:
        raise CredentialError(f"a certificate cannot be valid for {days} days; allowed: 0 to {MOST_DAYS}")
    begin = now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - CLOCK_SLACK)
        .not_valid_after(begin + timedelta(days=days))
    )


def _leaf(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    purpose: x509.ExtendedKeyUsage,
    issuer: x509.Certificate,
    days: int,
) -> x509.CertificateBuilder:
    """Begin a certificate that signs no others."""
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, issuer.subject, public_key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SERVER_USAGE, critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )


def _check_name(name: str, what: str, longest: int) -> None:
    if not 0 < len(name) <= longest or not name.isprintable() or name != name.strip():
        raise CredentialError(
            f"{name!r} cannot name {what}; allowed: 1 to {longest} printable characters, no space at an end"
        )


def _name(common_name: str, organization: str = ORGANIZATION) -> x509.Name:
    """Return a subject. X.509 ends a common name at 64 characters; a longer one, as of a DNS name, is left out."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
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
