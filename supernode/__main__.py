"""The supernode's program: ``python -m supernode supernode.toml``.

Starts two children and watches them: Flower's supernode behind the seam, and the worker. A worker that ends is started
again. When Flower's supernode ends, so does this program, and with a code other than 0 unless it was asked to stop:
Flower's own exit code is 0 even for a key that nobody has registered, and whoever supervises this program is to start
it again.
"""

import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

from fedlora.config import read_toml
from fedlora.errors import FedloraError
from fedlora.log import show
from fedlora.processes import end_with_parent
from supernode.settings import NodeSettings

NODE_ENDED = 42  # in the site's band of exit codes
LOOK_SECONDS = 0.2
MOST_PAUSE_SECONDS = 5.0  # between starts of a worker that does not live from one look to the next
STOP_SECONDS = 8.0
log = logging.getLogger("fedlora.supernode")


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    show()
    try:
        settings = read_toml(NodeSettings, Path(arguments[0]))
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FedloraError, OSError) as error:
        log.error("%s: %s", type(error).__name__, error)
        return error.exit_code if isinstance(error, FedloraError) else FedloraError.exit_code
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    node = _start("supernode.node", arguments[0])
    worker, pause = _start_worker(settings), LOOK_SECONDS
    while node.poll() is None and not stopped.wait(pause):
        pause = LOOK_SECONDS if worker.poll() is None else min(2 * pause, MOST_PAUSE_SECONDS)
        if worker.poll() is not None:
            log.error("the worker ended with code %s and is started again", worker.returncode)
            worker = _start_worker(settings)
    for child in (worker, node):
        _stop(child)
    if stopped.is_set():
        log.info("site %s: supernode stopped", settings.site)
        return 0
    log.error("site %s: Flower's supernode ended by itself with code %s; see above", settings.site, node.returncode)
    return NODE_ENDED


def _start_worker(settings: NodeSettings) -> subprocess.Popen[bytes]:
    return _start(
        "supernode.worker",
        *("--runtime-api-address", f"127.0.0.1:{settings.runtime_port}"),
        *("--superexec-auth-secret-file", str(settings.superexec_secret)),
    )


def _start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments], preexec_fn=end_with_parent)


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("process %d did not stop within %.0f s and is killed", child.pid, STOP_SECONDS)
        child.kill()
        child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
