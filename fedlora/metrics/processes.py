"""What a part of the kit takes of its machine: its process and all below it, from /proc."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fedlora.metrics.sample import Sample

__all__ = ["process_samples", "sibling_samples"]

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat after the name, which may contain anything (man 5 proc, counted from the state as 0).
PARENT, THREADS, RESIDENT = 1, 17, 21
CPU = (11, 12, 13, 14)  # user and system, of itself and of the children that it has waited for
Fields = Sequence[bytes]


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
    samples = _of(part, os.getpid() if root is None else root, _processes())
    if state is not None:
        disk = shutil.disk_usage(state)
        for name, value in (("size", disk.total), ("free", disk.free)):
            samples.append(Sample(f"fedlora_disk_{name}_bytes", float(value), {"part": part}))
    return samples


def sibling_samples(programs: Mapping[str, str]) -> list[Sample]:
    """Return what other parts take that were started by the same process as this one: by `fedlora up`.

    Parameters
    ----------
    programs : mapping
        By part, a word of its command line.
    """
    processes, parent, samples = _processes(), os.getppid(), []
    for process, fields in processes.items():
        if int(fields[PARENT]) == parent and process != os.getpid():
            command = _command_line(process)
            for part in (part for part, word in programs.items() if word in command):
                samples += _of(part, process, processes)
    return samples


def _of(part: str, root: int, processes: Mapping[int, Fields]) -> list[Sample]:
    cpu = memory = threads = files = 0.0
    for process in _below(root, processes):
        fields = processes[process]
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
    return [Sample(name, value, {"part": part}) for name, value in values.items()]


def _processes() -> dict[int, Fields]:
    """Return the fields of all processes by their ids."""
    found: dict[int, Fields] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - a scrape looks at all of them; paths would cost more than the rest
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    found[int(name)] = file.read().rpartition(b")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
    return found


def _below(root: int, processes: Mapping[int, Fields]) -> Iterator[int]:
    """Yield the process `root`, if it is there, and all that descend from it."""
    children: dict[int, list[int]] = {}
    for process, fields in processes.items():
        children.setdefault(int(fields[PARENT]), []).append(process)
    waiting = [root] if root in processes else []
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children.get(process, [])


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _open_files(process: int) -> int:
    try:
        return len(os.listdir(f"/proc/{process}/fd"))  # noqa: PTH208
    except OSError:
        return 0
