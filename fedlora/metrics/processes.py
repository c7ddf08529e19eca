"""What a part of the kit takes of its machine: its process and all below it, from /proc."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from fedlora.metrics.sample import Sample

__all__ = ["process_samples", "processes_below", "sibling_samples"]

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat after the name, which may contain anything (man 5 proc, counted from the state as 0).
PARENT, THREADS, RESIDENT = 1, 17, 21
CPU = (11, 12, 13, 14)  # user and system, of itself and of the children that it has waited for


def process_samples(part: str, root: int | None = None, state: Path | None = None) -> list[Sample]:
    """Return what a part takes.

    Parameters
    ----------
    part : str
        Its name.
    root : int, optional
        Id of its process; this one if none is given. Processes below it count as well.
    state : Path, optional
        Folder on the disk that it keeps its state on.
    """
    cpu = memory = threads = files = 0.0
    for process in processes_below(os.getpid() if root is None else root):
        fields = _fields(process)
        if fields is None:
            continue
        cpu += sum(int(fields[place]) for place in CPU) / TICKS
        memory += int(fields[RESIDENT]) * PAGE
        threads += int(fields[THREADS])
        files += _open_files(process)
    values = {
        "fedlora_cpu_seconds_total": cpu,
        "fedlora_resident_memory_bytes": memory,
        "fedlora_threads": threads,
        "fedlora_open_files": files,
    }
    if state is not None:
        disk = shutil.disk_usage(state)
        values |= {"fedlora_disk_size_bytes": float(disk.total), "fedlora_disk_free_bytes": float(disk.free)}
    return [Sample(name, value, {"part": part}) for name, value in values.items()]


def sibling_samples(programs: Mapping[str, str]) -> list[Sample]:
    """Return what other parts take that were started by the same process as this one: by `fedlora up`.

    Parameters
    ----------
    programs : mapping
        By part, a word of its command line.
    """
    samples = []
    parent = os.getppid()
    for process in processes_below(parent):
        fields = _fields(process)
        if fields is not None and int(fields[PARENT]) == parent and process != os.getpid():
            command = _command_line(process)
            samples += [
                sample
                for part, word in programs.items()
                if word in command
                for sample in process_samples(part, process)
            ]
    return samples


def processes_below(root: int) -> Iterator[int]:
    """Yield the process `root` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir(PROC):
        if entry.name.isdigit() and (fields := _fields(int(entry.name))) is not None:
            children.setdefault(int(fields[PARENT]), []).append(int(entry.name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children.get(process, [])


def _fields(process: int) -> list[str] | None:
    """Return the fields of a process after its name; None if it is gone."""
    try:
        text = (PROC / str(process) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _command_line(process: int) -> str:
    try:
        return (PROC / str(process) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _open_files(process: int) -> int:
    try:
        return len(os.listdir(PROC / str(process) / "fd"))  # noqa: PTH208 - names are not needed
    except OSError:
        return 0
