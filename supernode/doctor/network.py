"""The way to the SuperLink: name, port, TLS, each on the shoulders of the one before."""

import socket
import ssl
import time
from pathlib import Path

from cryptography import x509

from fedlora.pki.contents import names_of
from supernode.doctor.credentials import days_left
from supernode.doctor.findings import Finding, Outcome, check, fail, ok, skipped, usable

__all__ = ["examine", "host_and_port"]

SECONDS = 10.0
# OpenSSL's codes (x509_vfy.h): no issuer, self-signed, or signed by another key; the time; the name or address.
WRONG_ISSUER, EXPIRED, NOT_YET_VALID, WRONG_NAME = (2, 7, 18, 19, 20, 21), 10, 9, (62, 64)


def host_and_port(superlink: str) -> tuple[str, int]:
    """Split ``host:port``."""
    host, _, port = superlink.rpartition(":")
    return host, int(port)


def examine(superlink: str, ca_file: Path, ca: Finding) -> list[Finding]:
    """Look at the way to `superlink`, given what was found of the CA certificate."""
    host, port = host_and_port(superlink)
    resolved = _name_resolution(host)
    reached = _port(host, port, resolved)
    secured = _tls(host, port, ca_file, reached, ca)
    return [resolved, reached, secured, _server_certificate(host, port, secured)]


@check("name resolution")
def _name_resolution(host: str) -> tuple[Outcome, str, str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        return fail(f"{host}: {error.strerror}", "look at `superlink` in supernode.toml, and at this machine's DNS")
    return ok(f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}")


@check("port")
def _port(host: str, port: int, resolved: Finding) -> tuple[Outcome, str, str]:
    if not usable(resolved):
        return skipped("the name is not known")
    started = time.monotonic()
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror
        return fail(
            f"{host}:{port}: {why}",
            "ask the coordinator whether the SuperLink runs; else a firewall is in between: it must let out TCP",
        )
    return ok(f"{host}:{port} answers in {1000 * (time.monotonic() - started):.0f} ms")


@check("TLS")
def _tls(host: str, port: int, ca_file: Path, reached: Finding, ca: Finding) -> tuple[Outcome, str, str]:
    if not usable(reached):
        return skipped("the port does not answer")
    if not usable(ca):
        return skipped("the CA certificate cannot be used")
    context = ssl.create_default_context(cafile=str(ca_file))
    context.hostname_checks_common_name = False
    try:
        version = _handshake(host, port, context)[0]
    except ssl.SSLCertVerificationError as error:
        return _refused(host, error, _certificate(host, port), ca_file)
    except ssl.SSLError as error:
        return fail(f"{host}:{port} does not speak TLS: {error.reason}", "look at the port in `superlink`")
    except OSError as error:
        return fail(f"{host}:{port} hangs up: {error}", "look at the port in `superlink`")
    return ok(f"{version}; the certificate is for {host} and of this CA")


def _refused(
    host: str, error: ssl.SSLCertVerificationError, shown: x509.Certificate, ca_file: Path
) -> tuple[Outcome, str, str]:
    """Say what is wrong with the certificate that the server has shown."""
    if error.verify_code in WRONG_NAME:
        return fail(
            f"the certificate is for {', '.join(names_of(shown)) or 'no name'}, not for {host}",
            "write one of these into `superlink`, or let the coordinator add the name: fedlora pki server",
        )
    if error.verify_code in WRONG_ISSUER:
        return fail(
            f"the certificate was not issued by the CA of {ca_file}",
            "get the federation's ca.crt from the coordinator, and compare its SHA-256 by another way",
        )
    if error.verify_code == EXPIRED:
        return fail(
            f"the certificate expired on {shown.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            "the coordinator renews it with fedlora pki renew, and starts the SuperLink anew",
        )
    if error.verify_code == NOT_YET_VALID:
        return fail(
            f"the certificate is not valid before {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "look at this machine's clock",
        )
    return fail(f"the certificate is refused: {error.verify_message}", "show this to the coordinator")


@check("server certificate")
def _server_certificate(host: str, port: int, secured: Finding) -> tuple[Outcome, str, str]:
    if not usable(secured):
        return skipped("there is no TLS")
    shown = _certificate(host, port)
    advice = "the coordinator renews it with fedlora pki renew, and starts the SuperLink anew"
    return days_left(shown, f"for {', '.join(names_of(shown))}", advice)


def _handshake(host: str, port: int, context: ssl.SSLContext) -> tuple[str | None, bytes]:
    """Return the version of TLS and the server's certificate, in DER form."""
    context.set_alpn_protocols(["h2"])  # gRPC's
    with (
        socket.create_connection((host, port), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        return secure.version(), secure.getpeercert(binary_form=True) or b""


def _certificate(host: str, port: int) -> x509.Certificate:
    """Return the certificate that the server shows, whosever it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return x509.load_der_x509_certificate(_handshake(host, port, context)[1])
