"""The command line of bubblewrap (``bwrap``) that a program is run behind.

Inside there are: of the system, programs and libraries, read-only; the interpreter; the program's own files; a work
folder in memory; and a few devices. There is no /proc, no network, no other process and no variable of ours. The root
of the file system and /dev are read-only, too.

As root, which need not be allowed to make user namespaces, the program is given a user id of its own, which nobody else
has: so the kernel's limit of processes, which it does not apply to root, counts this sandbox's alone. As another user,
it runs in a user namespace, whose processes Linux counts apart since 5.14.
"""

import os
import platform
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from evaluator.sandbox.languages import WORK
from evaluator.sandbox.program import Limits
from evaluator.sandbox.system_calls import ARCHITECTURES

__all__ = ["command", "missing"]

SYSTEM = ("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/include")
LINKS = {"/bin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib64"}
LIBRARY_CACHE = "/etc/ld.so.cache"  # where the loader finds libraries that lie elsewhere
PATH = "/usr/bin:/bin"
OWN_USERS = 0x70000000  # user ids that no system hands out; from here on, 24 bits at random
NOBODY = 65534
HOSTNAME = "sandbox"
NEEDS = {
    "bwrap": "bubblewrap, Debian's package bubblewrap",
    "prlimit": "Debian's package util-linux",
    "setpriv": "Debian's package util-linux",
}


def missing() -> list[str]:
    """Return what this machine lacks for any sandbox, each with what to install."""
    lacking = [f"{name} ({package})" for name, package in NEEDS.items() if not shutil.which(name)]
    if platform.system() != "Linux" or platform.machine() not in ARCHITECTURES:
        lacking.append(f"Linux on {' or '.join(ARCHITECTURES)}")
    return lacking


def command(
    inner: Sequence[str],
    limits: Limits,
    *,
    contents: dict[str, int],
    mounts: Sequence[Path],
    filter_descriptor: int,
    information: int,
    cpu_seconds: int,
) -> list[str]:
    """Return the command line that runs `inner` in a sandbox.

    Parameters
    ----------
    inner : sequence of str
        The command inside.
    limits : Limits
        What it may take.
    contents : dict of int
        Files to make, by path: descriptors that their contents are read from.
    mounts : sequence of Path
        Shown read-only, where the system's folders do not have them already.
    filter_descriptor : int
        Where the filter of system calls is read from.
    information : int
        Where bubblewrap tells the process id of the namespace's first process.
    cpu_seconds : int
        Of each process.
    """
    own = [mount for mount in mounts if not any(mount.is_relative_to(folder) for folder in SYSTEM)]
    own = [mount for mount in own if mount != Path("/usr")]
    shown = [*filter(os.path.exists, SYSTEM), *map(str, own)]
    parents = {str(parent) for path in (*shown, *contents, LIBRARY_CACHE) for parent in Path(path).parents} - {"/"}
    as_root = os.geteuid() == 0
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *(() if as_root else ("--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY))),
        *("--die-with-parent", "--new-session", "--hostname", HOSTNAME, "--clearenv", "--cap-drop", "ALL"),
        *(("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID") if as_root else ()),
        *(
            "--setenv",
            "PATH",
            PATH,
            "--setenv",
            "HOME",
            WORK,
            "--setenv",
            "TMPDIR",
            WORK,
            "--setenv",
            "LANG",
            "C.UTF-8",
        ),
        *(word for parent in sorted(parents) for word in ("--perms", "0755", "--dir", parent)),
        *(word for path in shown for word in ("--ro-bind", path, path)),
        *(word for path, target in LINKS.items() for word in ("--symlink", target, path)),
        *("--ro-bind-try", LIBRARY_CACHE, LIBRARY_CACHE),
        *(
            word
            for path, source in contents.items()
            for word in ("--perms", "0444", "--ro-bind-data", str(source), path)
        ),
        *("--dev", "/dev", "--remount-ro", "/dev"),
        *("--perms", "1777", "--size", str(limits.disk), "--tmpfs", WORK, "--chdir", WORK, "--remount-ro", "/"),
        *("--seccomp", str(filter_descriptor), "--info-fd", str(information), "--"),
        *_limited(limits, cpu_seconds),
        *(_own_user() if as_root else ()),
        *inner,
    ]


def _limited(limits: Limits, cpu_seconds: int) -> list[str]:
    """Return the words before a command that set its limits; a core of 1 byte is none, also not by a pipe (core(5))."""
    held = {
        "data": 2 * limits.memory,
        "fsize": limits.file,
        "nproc": limits.processes,
        "nofile": limits.descriptors,
        "cpu": cpu_seconds,
        "core": 1,
        "memlock": 0,
        "msgqueue": 0,
    }
    return ["/usr/bin/prlimit", *(f"--{name}={value}:{value}" for name, value in held.items()), "--"]


def _own_user() -> list[str]:
    user = str(OWN_USERS + secrets.randbelow(2**24))
    return ["/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all", "--"]
