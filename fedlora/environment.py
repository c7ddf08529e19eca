"""The environment variables that fedlora reads: all of them, and nowhere else."""

import os
from pathlib import Path

import fedlora
from fedlora.errors import ConfigurationError

__all__ = [
    "ADMIN",
    "CA_CERTIFICATE",
    "EVALUATOR",
    "SUPERLINK",
    "cache_directory",
    "check_rendered_version",
    "federation_overrides",
    "inherited",
    "mounted_coordinator",
    "program_path",
    "runs_directory",
]

# Give the command line's options of these names where they are not given; a container of the coordinator has them.
SUPERLINK, CA_CERTIFICATE, ADMIN = "FEDLORA_SUPERLINK", "FEDLORA_CA_CERTIFICATE", "FEDLORA_ADMIN"
EVALUATOR = "FEDLORA_EVALUATOR"  # the same, for an evaluator on another machine


def cache_directory() -> Path:
    """Return where base models are kept: ``FEDLORA_CACHE``, else ``fedlora`` in the user's cache folder."""
    explicit = os.environ.get("FEDLORA_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "fedlora"


def check_rendered_version() -> None:
    """Check that this is the kit that a container's compose file was rendered by: ``FEDLORA_RENDERED``, if it is set.

    Raises
    ------
    ConfigurationError
        If it is another version; names both.
    """
    rendered = os.environ.get("FEDLORA_RENDERED") or fedlora.__version__
    if rendered != fedlora.__version__:
        raise ConfigurationError(
            f"this image holds fedlora {fedlora.__version__}, and its compose file was rendered by fedlora {rendered}. "
            f"Use the images of {rendered}, or render the folder anew with fedlora {fedlora.__version__}"
        )


def program_path() -> str:
    """Return where programs are looked for: ``PATH``."""
    return os.environ.get("PATH", os.defpath)


def runs_directory() -> Path:
    """Return where the coordinator keeps its runs: ``FEDLORA_RUNS``, else ``runs`` below the current folder."""
    return Path(os.environ.get("FEDLORA_RUNS") or "runs").expanduser()


def mounted_coordinator() -> tuple[Path, Path] | None:
    """Return the SuperLink's database and ``ca.crt`` as a container for backups has them: ``FEDLORA_DATABASE``.

    None without that variable: then they are where `fedlora up` has put them.
    """
    database, certificate = os.environ.get("FEDLORA_DATABASE"), os.environ.get(CA_CERTIFICATE)
    return (Path(database), Path(certificate)) if database and certificate else None


def federation_overrides() -> dict[str, str]:
    """Return the variables that override values of a federation's file: ``FEDLORA__COORDINATOR__FLEET_PORT``."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith("FEDLORA__")}


def inherited(**changes: str) -> dict[str, str]:
    """Return this process's environment with `changes`, for a process that is about to be started."""
    return {**os.environ, **changes}
