"""Values for the Helm charts: a file for the coordinator, one for each site and one for the evaluator."""

from cryptography.x509 import load_pem_x509_certificate

from fedlora.federation import Federation
from fedlora.pki.reading import certificate_sha256
from fedlora.rendering.helm.coordinator import coordinator_values
from fedlora.rendering.helm.evaluation import evaluator_values
from fedlora.rendering.helm.site import site_values
from fedlora.rendering.helm.values import values_text

__all__ = ["helm_files"]


def helm_files(federation: Federation, ca_certificate: bytes, model_blocks: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return every values file by its name; the same federation, the same bytes.

    Parameters
    ----------
    federation : Federation
        What to deploy.
    ca_certificate : bytes
        The federation's ``ca.crt``, which the sites' values hold with its fingerprint.
    model_blocks : tuple of str
        Address blocks of the hub, or of the mirror, that sites fetch the base model from, if they do.

    Raises
    ------
    ConfigurationError
        If a site's pods could not reach the SuperLink.
    """
    text = ca_certificate.decode("ascii")
    sha256 = certificate_sha256(load_pem_x509_certificate(ca_certificate))
    parties = {"coordinator": coordinator_values(federation)}
    for site in federation.site:
        parties[f"site-{site.name}"] = site_values(federation, site, text, sha256, model_blocks)
    parties["evaluator"] = evaluator_values(federation, text, model_blocks)
    return {f"{name}.yaml": values_text(federation, name, values).encode() for name, values in parties.items()}
