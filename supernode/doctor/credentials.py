"""The site's files by which it knows its SuperLink and is known by it."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedlora.pki.inspection import inspect
from fedlora.pki.node_keys import load_node_key
from fedlora.pki.reading import key_sha256, read_ca_certificate
from supernode.doctor.findings import Outcome, check, fail, ok, warn

__all__ = ["FEWEST_DAYS", "ca_certificate", "days_left", "node_key", "worker_secret"]

FEWEST_DAYS = 30  # of validity, below which it is time to renew


@check("CA certificate", advice="get the federation's ca.crt from the coordinator")
def ca_certificate(file: Path) -> tuple[Outcome, str, str]:
    """Look at ca.crt."""
    certificate = read_ca_certificate(file)
    (found,) = inspect(file)
    return days_left(
        certificate,
        f"{file}, SHA-256 {(found.sha256 or '')[:12]}",
        "ask the coordinator for the federation's new ca.crt before that",
    )


def days_left(certificate: x509.Certificate, found: str, advice: str) -> tuple[Outcome, str, str]:
    """Say for how long a certificate is valid, and warn where that is not long."""
    left = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    said = f"{found}, {left} days left"
    return ok(said) if left >= FEWEST_DAYS else warn(said, advice)


@check("node key", advice="make one with fedlora node keygen DIR, and let the coordinator register it")
def node_key(file: Path) -> tuple[Outcome, str, str]:
    """Look at the node's private key, its permissions, its curve, and the public half beside it."""
    public = key_sha256(load_node_key(file).public_key())
    if problems := _problems(file):
        return fail(problems, "")
    return ok(f"{file}, ECDSA P-384, public key SHA-256 {public[:12]}")


@check("worker secret", advice="it is 64 hexadecimal digits, and read by this site alone: write new ones")
def worker_secret(file: Path) -> tuple[Outcome, str, str]:
    """Look at the secret that supernode and worker share."""
    if problems := _problems(file):
        return fail(problems, "")
    return ok(str(file))


def _problems(file: Path) -> str:
    """Return what is wrong with a file, its folder and its other half, each with what to do; empty if nothing is."""
    return "; ".join(problem for found in inspect(file) for problem in found.problems)
