"""Keys and certificates of the parts on this machine: what is missing is made, what is there is examined."""

import os
from pathlib import Path

from cryptography import x509

from fedlora import pki
from fedlora.errors import CredentialError
from fedlora.federation import Federation
from fedlora.pki.contents import names_of
from fedlora.pki.node_keys import load_node_key, public_key_sha256
from fedlora.pki.reading import Role, check_time, key_sha256, load_authority, read_ca_certificate, read_pair, too_open

__all__ = ["complete_coordinator", "complete_site"]


def complete_coordinator(federation: Federation, directory: Path) -> list[str]:
    """Make the CA, the SuperLink's certificate and its SuperExec's secret where they are missing.

    A folder with ``ca.crt`` and the SuperLink's pair serves without ``ca.key``, which may be kept elsewhere.

    Returns
    -------
    list of str
        What was made.

    Raises
    ------
    CredentialError
        If half a pair is there, a file is not what its name says, its time is not now, others may read a key, or the
        certificate is for another host.
    """
    pki.private_directory(directory)
    made = []
    if not _any(directory / "ca.crt", directory / "ca.key"):
        pki.create_authority(directory, federation=federation.name)
        made.append("CA")
    read_ca_certificate(directory / "ca.crt")
    if not _any(directory / "server.crt", directory / "server.key"):
        pki.issue_server_certificate(load_authority(directory), directory, names=federation.superlink_names)
        made.append("SuperLink certificate")
    certificate, _ = read_pair(directory, Role.SERVER)
    file = directory / "server.crt"
    check_time(certificate, file, f"renew it with: fedlora pki renew {directory} server")
    _check_names(certificate, file, federation.superlink_names)
    if not (directory / "superexec.secret").exists():
        pki.create_secret(directory / "superexec.secret")
    return made


def complete_site(directory: Path, ca_certificate: Path, ca_sha256: str = "") -> list[str]:
    """Make a site's node key and its worker's secret where they are missing; return what was made.

    Raises
    ------
    CredentialError
        If there is no CA certificate, or it has another fingerprint than `ca_sha256`, half of a key pair is there, its
        halves do not belong together, it is of another kind, or others may read it.
    """
    pki.private_directory(directory)
    if not ca_certificate.exists():
        raise CredentialError(
            f"there is no {ca_certificate}: get the federation's ca.crt from the coordinator, compare its fingerprint "
            "by another way, and put it there"
        )
    read_ca_certificate(ca_certificate, ca_sha256)
    key, public, made = directory / "node.key", directory / "node.key.pub", []
    if not _any(key, public):
        pki.create_node_key(key)
        made.append(f"key of node {directory.name}")
    if problem := too_open(key) if key.exists() else "":
        raise CredentialError(f"{problem}, and think about whether somebody has")
    if key_sha256(load_node_key(key).public_key()) != public_key_sha256(pki.public_key_pem(public)):
        raise CredentialError(
            f"{key} and {public} do not belong together; make both anew: fedlora node keygen {directory} --force"
        )
    if not (directory / "worker.secret").exists():
        pki.create_secret(directory / "worker.secret")
    return made


def _any(*files: Path) -> bool:
    return any(os.path.lexists(file) for file in files)


def _check_names(certificate: x509.Certificate, file: Path, wanted: tuple[str, ...]) -> None:
    names = names_of(certificate)
    if missing := [name for name in wanted if name not in names]:
        raise CredentialError(
            f"{file} is for {', '.join(names)}, not for {', '.join(missing)}; make one for all of them: fedlora pki "
            f"server {file.parent} {' '.join(f'--name {name}' for name in wanted)} --force"
        )
