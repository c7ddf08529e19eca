"""Write the bill of materials of an image, as CycloneDX 1.6 JSON.

    python sbom.py python FOLDER [LOCK]   what is installed in an environment, or in a folder, with the hashes of LOCK
    python sbom.py debian                 the packages of Debian, and the interpreter of the base image

Run while the image is built, by the interpreter of the base image; it needs nothing that is not in it. The same
contents give the same bytes.
"""

import hashlib
import json
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

SPEC_VERSION = "1.6"
LONGEST_LICENCE = 200  # some packages put the whole text there


def document(name: str, components: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return a bill of materials; its serial number is a hash of what it lists."""
    listed = sorted(components, key=lambda one: str(one["bom-ref"]))
    serial = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(json.dumps(listed).encode()).hexdigest())
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "bom-ref": name}},
        "components": listed,
    }


def python_components(folder: Path, hashes: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Yield what is installed below `folder`; `hashes` are those of the files that it may come from, by name."""
    places = [str(place) for place in folder.glob("lib/python3*/site-packages")] or [str(folder)]
    for found in distributions(path=places):
        name = normalised(found.metadata["Name"])
        component = _component("pypi", name, found.version)
        if licence := _licence(found):
            component["licenses"] = [licence]
        if name in hashes:
            # Which of them was taken, an environment does not tell; pip has taken no other one.
            component["properties"] = [{"name": "fedlora:locked-sha256", "value": one} for one in hashes[name]]
        yield component


def debian_components() -> Iterator[dict[str, Any]]:
    """Yield the packages of Debian that are installed, and the interpreter."""
    asked = ("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n")
    for line in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines():
        status, name, version, architecture = line.split("\t")
        if status.startswith("ii"):
            yield _component("deb/debian", name, version, f"?arch={architecture}")
    yield {**_component("generic", "python", platform.python_version()), "type": "application"}


def locked_hashes(lock: str) -> dict[str, list[str]]:
    """Return the hashes that a lock file allows, by name."""
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)==\S+((?: \\\n +--hash=sha256:[0-9a-f]{64})+)", lock)
    return {normalised(name): re.findall(r"sha256:([0-9a-f]{64})", hashes) for name, hashes in found}


def normalised(name: str) -> str:
    """Return a package's name as its index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(kind: str, name: str, version: str, more: str = "") -> dict[str, Any]:
    address = f"pkg:{kind}/{quote(name, safe='')}@{quote(version, safe='')}{more}"
    return {"type": "library", "bom-ref": address, "name": name, "version": version, "purl": address}


def _licence(found: Distribution) -> dict[str, Any] | None:
    """Return what a package says of its licence: an SPDX expression, else its classifiers, else its own words."""
    if expression := found.metadata.get("License-Expression"):
        return {"expression": expression}
    classifiers = found.metadata.get_all("Classifier") or []
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
    said = " and ".join(named) or str(found.metadata.get("License") or "").strip()
    return {"license": {"name": said}} if said and len(said) <= LONGEST_LICENCE and "\n" not in said else None


def main(arguments: list[str]) -> int:
    """Print a bill of materials."""
    if arguments[:1] == ["debian"]:
        made = document("base", debian_components())
    else:
        hashes = locked_hashes(Path(arguments[2]).read_text(encoding="utf-8")) if len(arguments) > 2 else {}
        made = document("environment", python_components(Path(arguments[1]), hashes))
    print(json.dumps(made, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
