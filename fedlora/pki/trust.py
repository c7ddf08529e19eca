"""Which CAs a node trusts, told in its answers: a number under a name for each, as all that a node tells of itself."""

import re
from collections.abc import Mapping
from pathlib import Path

from fedlora.errors import CredentialError
from fedlora.pki.reading import ca_fingerprints

__all__ = ["trust_figures", "trusted"]

FIGURE = re.compile("trusts_ca_([0-9a-f]{64})")
MOST_TRUSTED = 4  # two while a CA is exchanged; what a node says beyond is passed over


def trust_figures(file: Path) -> dict[str, float]:
    """Return what a node tells of the CA certificates in `file`; nothing if it cannot be read."""
    try:
        return {f"trusts_ca_{sha256}": 1.0 for sha256 in ca_fingerprints(file)[:MOST_TRUSTED]}
    except CredentialError:
        return {}


def trusted(figures: Mapping[str, float]) -> dict[str, str]:
    """Return the SHA-256 of each CA certificate that a node says it trusts, by the name of the figure."""
    found = ((name, FIGURE.fullmatch(name)) for name in figures)
    return dict([(name, match[1]) for name, match in found if match][:MOST_TRUSTED])
