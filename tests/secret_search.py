"""Looking for secrets where none may be: in what processes show of themselves, and in files."""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["family", "forms", "found_in", "secret_files", "shown_by"]

SHORTEST = 32  # letters of a line of a key's file that can be no other's
SAME_FOR_ALL = base64.b64encode(b"openssh-key-v1\0")[:16]  # begins the first line of OpenSSH's files


def secret_files(folder: Path) -> list[Path]:
    """Return the files below `folder` that hold private keys and shared secrets, as the kit names them."""
    return sorted(file for file in folder.rglob("*") if file.suffix in (".key", ".secret"))


def forms(content: bytes) -> set[bytes]:
    """Return the forms in which the secret of a file with this content could stand somewhere else."""
    if b"PRIVATE KEY" not in content:
        raw, own = bytes.fromhex(content.decode()), {content.strip()}
    else:
        load = serialization.load_ssh_private_key if b"OPENSSH" in content else serialization.load_pem_private_key
        key = load(content, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        raw = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
        lines = {line for line in content.splitlines() if len(line) >= SHORTEST and b"-----" not in line}
        own = {line for line in lines if not line.startswith(SAME_FOR_ALL)}
    coded = {base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="), raw.hex().encode(), repr(raw).encode()}
    return {raw, raw.hex().upper().encode(), *coded, *own}


def found_in(contents: Iterable[tuple[str, bytes]], secrets: Mapping[str, set[bytes]]) -> list[str]:
    """Return which secret stands in which of `contents`, each with its name."""
    return [
        f"{secret} in {name}"
        for name, content in contents
        for secret, known in secrets.items()
        if any(form in content for form in known)
    ]


def family(process: int) -> set[int]:
    """Return a process and all below it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended since
                continue
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def shown_by(processes: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """Yield the command line and the environment of each process, as the kernel shows them."""
    for process in processes:
        if process == os.getpid():
            continue
        for what in ("cmdline", "environ"):
            try:
                yield f"{what} of {process}", Path(f"/proc/{process}/{what}").read_bytes()
            except OSError:
                continue
