"""`fedlora` on a pseudo-terminal."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

__all__ = ["COLOUR", "FEDLORA", "on_a_terminal", "restored"]

FEDLORA = str(Path(sys.executable).with_name("fedlora"))
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextlib.contextmanager
def on_a_terminal(*arguments: str, **environment):
    """Start `fedlora` on a pseudo-terminal of 80 columns; yield the process and what reads on."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [FEDLORA, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # A test run in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )

    def read(until: bytes | None = None) -> bytes:
        seen, end = b"", time.monotonic() + 30
        while (until is None or until not in seen) and time.monotonic() < end:
            ended = process.poll() is not None
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 65536)
            elif ended:
                break
        return seen

    try:
        yield process, read
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def restored(drawn: bytes) -> bool:
    """Whether the second screen was left and the cursor shown, once each and last."""
    return all(
        drawn.count(on) == drawn.count(off) == 1 and drawn.index(on) < drawn.index(off)
        for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"))
    )
