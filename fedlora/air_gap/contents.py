"""Making a bundle: each part is packed as the tool of its trade does it, and what cannot be packed is an error."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import fedlora
from fedlora.air_gap.images import Image, find_images, save_images
from fedlora.air_gap.manifest import LAYOUT, BundleManifest, describe, write
from fedlora.errors import BundleError
from fedlora.folders import new_folder
from fedlora.language_model.bundle import write_bundle
from fedlora.language_model.cache import obtain

__all__ = ["PARTS", "Contents", "Part", "make"]

Progress = Callable[[str], None]
PROJECT, CONSTRAINTS, CHARTS = "pyproject.toml", "constraints.txt", "helm"


class Part(StrEnum):
    """A part of a bundle, and the name of its folder."""

    IMAGES = "images"
    CHARTS = "charts"
    WHEELS = "wheels"
    MODEL = "model"


PARTS = tuple(Part)


@dataclass(frozen=True)
class Contents:
    """What is to be packed.

    Attributes
    ----------
    source : Path
        A clone of the kit: for its charts, and for wheels of it and of what it needs.
    parts : tuple of Part
        Which parts.
    prefix, tag, variant : str
        Of the images; see `find_images`.
    base_model : str
        As `fedlora model` names it.
    extras : tuple of str
        Extras of the kit that wheels are wanted for.
    """

    source: Path
    parts: tuple[Part, ...] = PARTS
    prefix: str = "fedlora-"
    tag: str = ""
    variant: str = ""
    base_model: str = ""
    extras: tuple[str, ...] = ("train", "eval")


def make(contents: Contents, directory: Path, progress: Progress) -> BundleManifest:
    """Make the folder `directory`, whole or not at all, and return its manifest.

    Raises
    ------
    BundleError
        If a part cannot be packed, something stands in the place, or the disk does not take it.
    BaseModelError
        If there is no such base model.
    """
    images: tuple[Image, ...] = ()
    name = sha256 = ""
    with new_folder(directory, error=BundleError) as folder:
        for part in contents.parts:
            progress(f"{part} ...")
            (folder / part).mkdir()
            if part is Part.IMAGES:
                images = tuple(find_images(contents.prefix, contents.tag, contents.variant))
                save_images(images, folder / part / "images.tar")
            elif part is Part.CHARTS:
                _copy_charts(contents.source, folder / part)
            elif part is Part.WHEELS:
                _collect_wheels(contents, folder / part)
            else:
                model = obtain(contents.base_model) if contents.base_model else obtain()
                manifest = write_bundle(model, folder / part / f"{model.name.replace('/', '--')}.tar")
                name, sha256 = manifest.name, manifest.sha256
        made = BundleManifest(LAYOUT, fedlora.__version__, name, sha256, images, describe(folder))
        write(made, folder)
    return made


def _copy_charts(source: Path, folder: Path) -> None:
    charts = sorted(file.parent for file in (source / CHARTS).glob("*/Chart.yaml"))
    if not charts:
        raise BundleError(f"{source / CHARTS} has no charts; name a clone of the kit with --source, or use "
                          "--without charts")  # fmt: skip
    for chart in charts:
        shutil.copytree(chart, folder / chart.name)


def _collect_wheels(contents: Contents, folder: Path) -> None:
    """Have pip build the kit's wheel and bring those of all that it needs, in the versions that it is tested in."""
    source = contents.source
    if not (source / PROJECT).is_file() or not (source / CONSTRAINTS).is_file():
        raise BundleError(f"{source} has no {PROJECT} and {CONSTRAINTS}; name a clone of the kit with --source, or use "
                          "--without wheels")  # fmt: skip
    wanted = f"{source}[{','.join(contents.extras)}]" if contents.extras else str(source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--wheel-dir", str(folder), "--constraint", str(source / CONSTRAINTS), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BundleError(f"pip cannot bring the wheels: {done.stderr.strip()[-1000:]}")
    if not any(folder.glob("fedlora-*.whl")):
        raise BundleError(f"{source} is not the kit: pip has built no wheel of fedlora")
