"""When certificates run out."""

from collections.abc import Mapping
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate

from fedlora.metrics.sample import Sample

__all__ = ["certificate_samples"]


def certificate_samples(files: Mapping[str, Path]) -> list[Sample]:
    """Return the expiry of each certificate, by what it is; one that cannot be read is left out."""
    samples = []
    for certificate, file in files.items():
        try:
            found = load_pem_x509_certificate(file.read_bytes())
        except (OSError, ValueError):
            continue
        expiry = found.not_valid_after_utc.timestamp()
        samples.append(Sample("fedlora_certificate_expiry_timestamp_seconds", expiry, {"certificate": certificate}))
    return samples
