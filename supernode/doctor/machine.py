"""What the machine has: disk, memory, cores, GPU, the worker's port and the trainer's socket."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

from fedlora.errors import PortInUseError
from fedlora.processes import check_ports_free
from supernode.doctor.findings import Outcome, check, fail, ok, skipped, warn
from supernode.heartbeat import node_heartbeat
from supernode.needs import Needs
from supernode.settings import NodeSettings
from supernode.trainer.journal import room
from supernode.trainer.settings import TrainerSettings

__all__ = ["cores", "gpu", "listens", "memory", "memory_of", "state_folder", "trainer_socket", "worker_port"]

FEWEST_BYTES = 100 * 10**6  # that the disk of a state folder should take, whatever is trained
UPDATES = 10  # that it should take besides: one for each run that the site ever serves stays there
LONGEST_SOCKET = 107  # bytes of a Unix socket's path (unix(7): 108 with the zero at its end)
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def state_folder(folder: Path, needed: Needs | None) -> tuple[Outcome, str, str]:
    """Look whether a state folder can be written, and how much its disk takes."""
    there = next(entry for entry in (folder, *folder.absolute().parents) if entry.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return fail(f"{there} cannot be written", "let the user that runs the site own it")
    free, update = shutil.disk_usage(there).free, needed.update if needed else 0
    wished = FEWEST_BYTES + UPDATES * update
    said = f"{folder}, {_size(free)} free, wished for {_size(wished)}"
    if free < room(update):
        return fail(said, "make room: not even the next update can be kept")
    return ok(said) if free >= wished else warn(said, "make room before the disk is full")


@check("memory")
def memory(settings: TrainerSettings, needed: Needs | None) -> tuple[Outcome, str, str]:
    """Hold the memory that is free to an estimate of what the trainer takes."""
    if needed is None:
        return skipped("the base model cannot be used")
    taken = needed.memory
    estimate = f"the trainer takes about {_size(taken)}, at {settings.tokens_at_once} tokens at once"
    if settings.device == "cuda":  # where the rest is the GPU's, and the weights come through here
        taken = needed.program + needed.weights
        estimate = f"the trainer takes about {_size(taken)} beside the GPU's memory, for which see fedlora node plan"
    if listens(settings.socket):
        return ok(f"the trainer runs and has what it needs; {estimate}")
    free = _free_memory()
    said = f"{_size(free)} free; {estimate}"
    if free < needed.weights:
        return fail(said, "the base model alone does not fit: take a smaller one, or more memory")
    advice = "end other programs, or see what to change: fedlora node plan"
    return ok(said) if free >= taken else warn(said, advice)


@check("cores")
def cores(settings: TrainerSettings) -> tuple[Outcome, str, str]:
    """Hold the trainer's threads to the cores that this process may use."""
    there = len(os.sched_getaffinity(0))
    said = f"{settings.threads} threads on {there} cores"
    if settings.threads > there:
        return warn(said, f"write threads = {there} or less into trainer.toml: more is slower by far")
    return ok(said)


@check("GPU")
def gpu(settings: TrainerSettings | None) -> tuple[Outcome, str, str]:
    """Say which GPU and driver there are, and whether the trainer is to use one."""
    wanted = settings is not None and settings.device == "cuda"
    use = "the trainer is to use it" if wanted else "device in trainer.toml is cpu, so it is not used"
    wrong = fail if wanted else warn
    program = shutil.which("nvidia-smi")
    if program is None and wanted:
        return fail("no GPU with a driver, and device is cuda", 'install the driver, or write device = "cpu"')
    if program is None:
        return ok("no GPU: training on the CPU")
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return wrong(f"nvidia-smi does not answer ({type(error).__name__}); {use}", "look after the driver")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode != 0 or not lines:
        said = " ".join((done.stdout + done.stderr).split()) or "it says nothing"
        return wrong(f"nvidia-smi fails: {said}; {use}", "look after the driver")
    return ok(f"{'; '.join(lines)} (name, driver, memory); {use}")


@check("worker port")
def worker_port(settings: NodeSettings) -> tuple[Outcome, str, str]:
    """Look whether the port at which the worker fetches its tasks can be had, or is our own node's."""
    try:
        check_ports_free({"worker": settings.runtime_port})
    except PortInUseError as error:
        if node_heartbeat(settings.state).healthy:
            return ok(f"{settings.runtime_port} on 127.0.0.1 is held by this site's running supernode")
        return fail(
            f"{str(error).partition('. ')[0]}, and this site's supernode does not run",
            "stop what listens there, or write another runtime-port into supernode.toml",
        )
    return ok(f"{settings.runtime_port} on 127.0.0.1 is free")


@check("trainer socket")
def trainer_socket(node: NodeSettings | None, trainer: TrainerSettings | None) -> tuple[Outcome, str, str]:
    """Look whether supernode and trainer mean the same socket, and whether there can be one at its path."""
    paths = [settings for settings in (node and node.trainer, trainer and trainer.socket) if settings]
    if not paths:
        return skipped("neither supernode.toml nor trainer.toml can be used")
    if len({path.absolute() for path in paths}) > 1:
        return fail(
            f"the supernode looks for it at {paths[0]}, the trainer makes it at {paths[1]}",
            "write the same path as `trainer` into supernode.toml and as `socket` into trainer.toml",
        )
    length = len(os.fsencode(paths[0].absolute()))
    if length > LONGEST_SOCKET:
        return fail(f"{paths[0]} has {length} bytes, allowed: {LONGEST_SOCKET}", "choose a shorter path")
    return ok(f"{paths[0]}, {'the trainer listens' if listens(paths[0]) else 'the trainer does not run'}")


def listens(path: Path) -> bool:
    """Whether somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def memory_of(device: str) -> tuple[int | None, str]:
    """Return the memory that there is for a trainer on `device`, None if nobody says so, and whose it is."""
    if device == "cpu":
        return _free_memory(), "free on this machine"
    program = shutil.which("nvidia-smi")
    if program is None:
        return None, "no GPU with a driver here"
    query = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20)
        return int(done.stdout.split()[0]) * 2**20, "this machine's GPU"
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return None, "nvidia-smi does not say it"


def _free_memory() -> int:
    """Return the bytes of memory that are free, or the control group's limit where that is less."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    (free,) = (1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    limits = [file.read_text(encoding="ascii").strip() for file in MEMORY_LIMITS if file.exists()]
    return min(free, *(int(limit) for limit in limits if limit.isdigit())) if limits else free


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.0f} MB"
