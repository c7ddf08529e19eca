"""Moves the version of the package, and with it that of the images and charts: ``python docker/version.py 0.2.0``.

The package's version is the one in ``pyproject.toml``; images are tagged with it. Wherever else it stands is listed
here, each place by the words around it, and a place that has another version than the package is an error. Without an
argument every place is only checked.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PLACES", "Place", "check", "found", "move"]

REPOSITORY = Path(__file__).parents[1]
VERSION = r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?"  # what packages, charts and tags of images all admit
Place = tuple[str, str]  # files, and the words before the version

PLACES: tuple[Place, ...] = (
    ("pyproject.toml", r'^version = "'),
    ("helm/*/Chart.yaml", r"^version: "),
    ("helm/*/Chart.yaml", r"^appVersion: "),
    ("helm/*/Chart.yaml", r"- name: fedlora-library\n    version: "),  # the library that a chart is made with
    ("docker/Dockerfile", r"--tag fedlora-superlink:"),
    ("docs/*.md", r"fedlora-[a-z]+:"),
    ("tests/docker/*.py", r"fedlora-[a-z]+:"),
)


def found(repository: Path = REPOSITORY) -> Iterator[tuple[Path, int, str]]:
    """Yield every place: its file, where in the text the version begins, and the version."""
    for files, before in PLACES:
        for file in sorted(repository.glob(files)):
            text = file.read_text(encoding="utf-8")
            for match in re.finditer(rf"({before})({VERSION})(?![\w.]*\d)", text, re.MULTILINE):
                yield file, match.start(2), match[2]


def check(repository: Path = REPOSITORY) -> str:
    """Return the version that all places have.

    Raises
    ------
    ValueError
        If there are several; names each place that has another than the package.
    """
    places = list(found(repository))
    package = places[0][2]
    other = [f"{file.relative_to(repository)} has {version}" for file, _, version in places if version != package]
    if other:
        raise ValueError(f"the package has the version {package}, and {'; '.join(other)}: make them equal by hand")
    return package


def move(to: str, repository: Path = REPOSITORY) -> list[Path]:
    """Give every place the version `to`, and return the files that were changed.

    Raises
    ------
    ValueError
        If it is no version, or the places do not agree to begin with.
    """
    if not re.fullmatch(VERSION, to):
        raise ValueError(f"{to!r} is no version; allowed: 1.2.3, or 1.2.3rc1 before it")
    check(repository)
    places = list(found(repository))
    for file in {file for file, _, _ in places}:
        text = file.read_text(encoding="utf-8")
        for at, version in sorted({(at, version) for one, at, version in places if one == file}, reverse=True):
            text = text[:at] + to + text[at + len(version) :]
        file.write_text(text, encoding="utf-8")
    return sorted({file for file, _, _ in places})


def main(arguments: list[str]) -> int:
    """Move or check, and return the exit code."""
    try:
        if not arguments:
            print(check())
            return 0
        changed = move(arguments[0])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments[0]}: " + ", ".join(str(file.relative_to(REPOSITORY)) for file in changed))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
