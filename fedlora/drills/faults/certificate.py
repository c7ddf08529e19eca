"""The SuperLink's certificate has expired, and is put right."""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fedlora.drills.faults.fault import Fault
from fedlora.errors import CredentialError
from fedlora.pki.certificates import certificate_pem
from fedlora.pki.contents import now
from fedlora.pki.reading import load_authority, read_certificate

__all__ = ["ExpiredCertificate", "expired"]


class ExpiredCertificate(Fault):
    """The CA signs the same certificate again, with a time that is over; all that serve with it are started again."""

    right = b""

    @property
    def plan(self) -> str:
        """What it is going to do."""
        file, key = self.field.server_certificate(), self.field.authority() / "ca.key"
        return (
            f"put an expired certificate in the place of {file}, signed by {key}, kill -9 of "
            f"{self.field.described('superlink', self.site)}, and put both right after {self.drill.seconds:.0f} s"
        )

    def prepare(self) -> None:
        """Remember the right one.

        Raises
        ------
        CredentialError
            If there is no CA to sign the wrong one with.
        """
        authority = self.field.authority()
        if not (authority / "ca.key").exists():
            raise CredentialError(
                f"an expired certificate can be made only where ca.key lies, not in {authority}; --ca names the folder"
            )
        self.right = self.field.server_certificate().read_bytes()

    def begin(self) -> None:
        """Serve with the wrong one."""
        file = self.field.server_certificate()
        file.write_bytes(expired(read_certificate(file), load_authority(self.field.authority()).key))
        self.field.restart_server()

    def end(self) -> None:
        """Serve with the right one."""
        self.field.server_certificate().write_bytes(self.right)
        self.field.restart_server()

    def clean(self) -> None:
        """See to it that the right one lies there, whatever has happened."""
        if self.right:
            self.field.server_certificate().write_bytes(self.right)


def expired(certificate: x509.Certificate, key: object) -> bytes:
    """Return a certificate that says the same, signed by `key`, whose time was over a minute ago."""
    builder = x509.CertificateBuilder(
        issuer_name=certificate.issuer,
        subject_name=certificate.subject,
        public_key=certificate.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now() - timedelta(days=2),
        not_valid_after=now() - timedelta(minutes=1),
        extensions=list(certificate.extensions),
    )
    return certificate_pem(builder.sign(key, hashes.SHA384()))  # type: ignore[arg-type]  # the CA's, an EC key
