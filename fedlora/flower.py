"""Flower's command lines, environment and app bundle: the one module that knows how its programs are started."""

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from fedlora.environment import program_path

__all__ = [
    "AppBundle",
    "SuperLinkFiles",
    "app_bundle",
    "bundle",
    "environment",
    "superexec_command",
    "superlink_command",
    "supernode_arguments",
    "variables",
]


PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class AppBundle:
    """A Flower App Bundle (FAB): a zip file, known everywhere by its hash."""

    content: bytes

    @property
    def sha256(self) -> str:
        """The hash in hexadecimal, as Flower writes it."""
        return hashlib.sha256(self.content).hexdigest()


def bundle(contents: Mapping[str, bytes]) -> AppBundle:
    """Pack the files of an app, by their paths in it.

    The entries are stored, not compressed: compressed bytes differ between builds of zlib, and with them the hash by
    which sites know the app. Layout as Flower 1.39 checks it: the files, then ``.info/CONTENT`` with a line
    ``path,sha256,bits`` for each.
    """
    manifest = [
        f"{name},{hashlib.sha256(content).hexdigest()},{len(content) * 8}" for name, content in contents.items()
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as packed:
        for name, content in {**contents, ".info/CONTENT": "\n".join(manifest).encode()}.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            packed.writestr(entry, content)
    return AppBundle(buffer.getvalue())


@lru_cache
def app_bundle() -> AppBundle:
    """Return the kit's own app: the same bytes in every installation of one kit version."""
    return bundle({"pyproject.toml": (files("fedlora") / "app" / "pyproject.toml").read_bytes()})


@dataclass(frozen=True)
class SuperLinkFiles:
    """The files of a SuperLink: its credentials, the secret it shares with its SuperExec, and its database."""

    ca_certificate: Path
    certificate: Path
    private_key: Path
    superexec_secret: Path
    database: Path


def superlink_command(own: SuperLinkFiles, *, fleet: str, http: str, programs: Path = PROGRAMS) -> list[str]:
    """Return the command of a SuperLink that serves SuperNodes at `fleet` (gRPC) and all else at `http`, HOST:PORT.

    Its program is this very installation's, not whichever comes first on the PATH, or that in the folder `programs`.
    """
    host, port = http.rsplit(":", 1)
    return [
        str(programs / "flower-superlink"),
        *("--ssl-ca-certfile", str(own.ca_certificate)),
        *("--ssl-certfile", str(own.certificate)),
        *("--ssl-keyfile", str(own.private_key)),
        *("--database", str(own.database)),
        *("--superexec-auth-secret-file", str(own.superexec_secret)),
        *("--isolation", "process"),
        *("--fleet-api-address", fleet),
        *("--host", host),
        *("--port", port),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    ]


def superexec_command(
    *, ca_certificate: Path, superexec_secret: Path, superlink: str, programs: Path = PROGRAMS
) -> list[str]:
    """Return the command that starts ServerApps for the SuperLink whose HTTP address is `superlink`."""
    return [
        str(programs / "flower-superexec"),
        *("--runtime-api-address", superlink),
        *("--root-certificates", str(ca_certificate)),
        *("--superexec-auth-secret-file", str(superexec_secret)),
    ]


def supernode_arguments(
    *, superlink: str, ca_certificate: Path, node_key: Path, runtime_port: int, superexec_secret: Path
) -> list[str]:
    """Return ``sys.argv`` for Flower's supernode inside our entry point; its Runtime API stays on 127.0.0.1."""
    return [
        "flower-supernode",
        *("--superlink", superlink),
        *("--root-certificates", str(ca_certificate)),
        *("--auth-supernode-private-key", str(node_key)),
        *("--isolation", "process"),
        *("--host", "127.0.0.1"),
        *("--port", str(runtime_port)),
        *("--superexec-auth-secret-file", str(superexec_secret)),
    ]


def environment(home: Path) -> dict[str, str]:
    """Return the variables that every Flower process gets: its own home, and no calls to the outside."""
    # Flower starts its programs by their bare names; they must be this installation's.
    return {**variables(home), "PATH": f"{PROGRAMS}{os.pathsep}{program_path()}"}


def variables(home: Path) -> dict[str, str]:
    """Return the same but for the ``PATH``, for an image that has one."""
    return {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.5",  # at 0.1 an idle SuperLink takes a tenth of a core
    }
