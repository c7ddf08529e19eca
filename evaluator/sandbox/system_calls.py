"""The system calls that a sandboxed program is denied, as a seccomp filter that bubblewrap loads.

Namespaces and limits are what holds a program. The filter takes away what would widen its reach or evade them: new
namespaces and mounts, other processes' memory, sockets but Unix ones (a vsock reaches a virtual machine's host from any
network namespace), kernel interfaces that ordinary programs do without, and memory that belongs to no process, which
nobody's limit would count (memfd, System V).
"""

import errno
import struct

from fedlora.errors import EvaluationError

__all__ = ["filter_program"]

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_IF_ANY, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, DENY = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
X32 = 0x40000000  # x86-64 calls with this bit are another numbering of the same calls
AF_UNIX = 1
NEW_NAMESPACE = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET

# io_uring's three, the new mount calls (open_tree to fspick; mount_setattr), memfd_secret: one number everywhere
DENIED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 447)
# The rest, by machine: ptrace, process_vm_readv and writev, unshare, setns, mount, umount2, pivot_root, chroot, bpf,
# perf_event_open, userfaultfd, add_key, request_key, keyctl, memfd_create, shmget.
DENIED = {
    "x86_64": (101, 310, 311, 272, 308, 165, 166, 155, 161, 321, 298, 323, 248, 249, 250, 319, 29),
    "aarch64": (117, 270, 271, 97, 268, 40, 39, 41, 51, 280, 241, 282, 217, 218, 219, 279, 194),
}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE, SOCKET = {"x86_64": 56, "aarch64": 220}, {"x86_64": 41, "aarch64": 198}
CLONE3 = 435  # its flags lie behind a pointer, where no filter reads: the C library falls back to clone

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false (both relative), value


def filter_program(machine: str) -> bytes:
    """Return the filter for a machine, as ``struct sock_filter[]``.

    Raises
    ------
    EvaluationError
        If the machine's numbers are not known.
    """
    if machine not in ARCHITECTURES:
        raise EvaluationError(f"no sandbox for the machine {machine}; there is one for {', '.join(ARCHITECTURES)}")
    denied = DENY | errno.EPERM
    instructions: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        *((JUMP_AT_LEAST, 0, 1, X32), (RETURN, 0, 0, denied)),
        *((JUMP_EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, DENY | errno.ENOSYS)),
    ]
    for number in (*DENIED[machine], *DENIED_EVERYWHERE):
        instructions += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, denied)]
    instructions += [
        (JUMP_EQUAL, 0, 4, CLONE[machine]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_IF_ANY, 0, 1, NEW_NAMESPACE),
        (RETURN, 0, 0, denied),
        (RETURN, 0, 0, ALLOW),
        (JUMP_EQUAL, 0, 3, SOCKET[machine]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_EQUAL, 1, 0, AF_UNIX),
        (RETURN, 0, 0, denied),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
