"""Compose files: a folder for the coordinator and one for each site, each self-contained."""

from cryptography.x509 import load_pem_x509_certificate

from fedlora.federation import Federation
from fedlora.pki.reading import certificate_sha256
from fedlora.rendering.compose.coordinator import coordinator_files
from fedlora.rendering.compose.site import site_files

__all__ = ["compose_files"]


def compose_files(federation: Federation, ca_certificate: bytes | None = None) -> dict[str, bytes]:
    """Return every file by its name below the folder that is rendered to; the same federation, the same bytes.

    Parameters
    ----------
    federation : Federation
        What to deploy.
    ca_certificate : bytes, optional
        The federation's ``ca.crt``, for the sites' folders; without it, each site has to put it there.
    """
    files = {f"coordinator/{name}": text.encode() for name, text in coordinator_files(federation).items()}
    sha256 = "" if ca_certificate is None else certificate_sha256(load_pem_x509_certificate(ca_certificate))
    for site in federation.site:
        texts = site_files(federation, site, sha256)
        files |= {f"site-{site.name}/{name}": text.encode() for name, text in texts.items()}
        if ca_certificate is not None:
            files[f"site-{site.name}/ca.crt"] = ca_certificate
    return files
