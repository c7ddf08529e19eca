"""The kit's images on a Docker engine: which there are, by what they can be told apart, and saving them."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fedlora
from fedlora.errors import BundleError

__all__ = ["ROLES", "Image", "find_images", "save_images"]

# As `make images` builds them; a test holds this to the Makefile.
ROLES = ("superlink", "serverapp", "supernode", "gateway", "trainer", "evaluator", "model", "prometheus")


@dataclass(frozen=True)
class Image:
    """An image of the kit.

    Attributes
    ----------
    name : str
        Repository and tag.
    id : str
        Digest of its configuration: the same wherever the image is loaded. Empty if it is not on this engine.
    digest : str
        Digest of its manifest at the registry that it was pushed to or pulled from, with the repository, as a chart or
        a compose file takes it; empty if it was neither.
    bytes : int
        Size of its layers. Images share most of them.
    """

    name: str
    id: str = ""
    digest: str = ""
    bytes: int = 0


def find_images(prefix: str, tag: str, variant: str = "") -> list[Image]:
    """Return the image of every role, those that are missing as well.

    Parameters
    ----------
    prefix : str
        What stands before the role: ``fedlora-``, or a registry and a folder.
    tag : str
        The images' tag; empty for the kit's version.
    variant : str
        Ends the tag of trainer and evaluator: ``-cuda``.

    Raises
    ------
    BundleError
        If no engine answers.
    """
    tag = tag or fedlora.__version__
    names = [f"{prefix}{role}:{tag}{variant if role in ('trainer', 'evaluator') else ''}" for role in ROLES]
    _docker("version", "--format", "{{.Server.Version}}")
    return [_look(name) for name in names]


def _look(name: str) -> Image:
    try:
        (about,) = json.loads(_docker("image", "inspect", name))
    except BundleError:
        return Image(name)
    repository = name.rpartition(":")[0]
    digests = [one for one in about.get("RepoDigests") or () if one.partition("@")[0] == repository]
    return Image(name, about["Id"], digests[0] if digests else "", int(about["Size"]))


def save_images(images: Sequence[Image], file: Path) -> None:
    """Write images into one tar, the layers that they share once.

    Raises
    ------
    BundleError
        If one is missing, or the engine does not save them.
    """
    if missing := [image.name for image in images if not image.id]:
        raise BundleError(
            f"the engine has no {', '.join(missing)}; build images with: make images, or leave them out with: "
            "--without images"
        )
    _docker("save", "--output", str(file), *(image.name for image in images))


def _docker(*arguments: str) -> str:
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BundleError(f"docker cannot be started: {error}; install it, or use --without images") from error
    if done.returncode:
        raise BundleError(f"docker {arguments[0]}: {done.stderr.strip()[-500:]}; start an engine, or --without images")
    return done.stdout
