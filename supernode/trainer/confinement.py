"""A seccomp filter that takes the network away from this process, for good and for all its children.

The first line is a deployment in which the trainer has no network at all; this is the second, for places such as a pod,
whose containers share one. The filter denies ``socket`` for AF_INET and AF_INET6, and every call of another
architecture's numbering, by which the first rule could be evaded (seccomp(2), "Caveats").
"""

import ctypes
import errno
import os
import platform
import struct

from fedlora.errors import TrainerError

__all__ = ["deny_network"]

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050000 | errno.EACCES, 0x80000000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
AF_INET, AF_INET6 = 2, 10
X32 = 0x40000000  # x86-64 calls with this bit are another numbering of the same calls

# machine: (AUDIT_ARCH, number of socket, number of io_uring_setup, which can open sockets without the call)
MACHINES = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}


def deny_network() -> None:
    """Deny this process and all its children the making of internet sockets; Unix sockets stay.

    Raises
    ------
    TrainerError
        If the kernel or the machine does not know the filter.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        raise TrainerError(f"no network filter for the machine {machine}; known: {', '.join(MACHINES)}")
    program = _program(*MACHINES[machine])
    buffer = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
        raise TrainerError(f"the kernel refuses the network filter: {os.strerror(ctypes.get_errno())}")


def _program(architecture: int, socket_number: int, io_uring_number: int) -> bytes:
    """Write the filter: (code, jump if true, jump if false, value) for each instruction, jumps relative."""
    instructions = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (JUMP_AT_LEAST, 6, 0, X32),
        (JUMP_EQUAL, 5, 0, io_uring_number),
        (JUMP_EQUAL, 0, 3, socket_number),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_EQUAL, 2, 0, AF_INET),
        (JUMP_EQUAL, 1, 0, AF_INET6),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, DENY),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
