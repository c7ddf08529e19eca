"""The environment variables that fedlora reads: all of them, and nowhere else."""

import os
from pathlib import Path

__all__ = [
    "ADMIN",
    "CA_CERTIFICATE",
    "SUPERLINK",
    "cache_directory",
    "federation_overrides",
    "inherited",
    "program_path",
    "runs_directory",
]

# Give the command line's options of these names where they are not given; a container of the coordinator has them.
SUPERLINK, CA_CERTIFICATE, ADMIN = "FEDLORA_SUPERLINK", "FEDLORA_CA_CERTIFICATE", "FEDLORA_ADMIN"


def cache_directory() -> Path:
    """Return where base models are kept: ``FEDLORA_CACHE``, else ``fedlora`` in the user's cache folder."""
    explicit = os.environ.get("FEDLORA_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "fedlora"


def program_path() -> str:
    """Return where programs are looked for: ``PATH``."""
    return os.environ.get("PATH", os.defpath)


def runs_directory() -> Path:
    """Return where the coordinator keeps its runs: ``FEDLORA_RUNS``, else ``runs`` below the current folder."""
    return Path(os.environ.get("FEDLORA_RUNS") or "runs").expanduser()


def federation_overrides() -> dict[str, str]:
    """Return the variables that override values of a federation's file: ``FEDLORA__COORDINATOR__FLEET_PORT``."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith("FEDLORA__")}


def inherited(**changes: str) -> dict[str, str]:
    """Return this process's environment with `changes`, for a process that is about to be started."""
    return {**os.environ, **changes}
