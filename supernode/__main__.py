"""The supernode's program: ``python -m supernode supernode.toml``.

Starts two children and watches them: Flower's supernode behind the seam, and the worker. When the worker ends, both are
started again: the node is then activated anew, which is how the coordinator learns that the task is lost. When Flower's
supernode ends, so does this program, and with a code other than 0 unless it was asked to stop: Flower's own exit code
is 0 even for a key that nobody has registered, and whoever supervises this program is to start it again.

It also serves the site's metrics, where its settings say so.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlora.audit import CA, Event
from fedlora.config import read_toml
from fedlora.environment import check_rendered_version
from fedlora.errors import CredentialError, FedloraError
from fedlora.log import report, show
from fedlora.pki.node_keys import load_node_key
from fedlora.pki.reading import ca_fingerprints, key_sha256
from fedlora.processes import end_with_parent, until_signalled
from supernode.heartbeat import node_heartbeat
from supernode.settings import NodeSettings
from supernode.withdrawal import refuse_left

NODE_ENDED = 42  # in the site's band of exit codes
LOOK_SECONDS = 0.2
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.2, 5.0  # before both are started again; doubled while that does not help
LIVED_SECONDS = 60.0  # after which a worker has helped
STOP_SECONDS = 8.0
log = logging.getLogger("fedlora.supernode")


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    show()
    stopped = until_signalled()
    try:
        check_rendered_version()
        settings = read_toml(NodeSettings, Path(arguments[0]))
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _note_identity(settings)
        node_heartbeat(settings.state).forget()  # healthy is who has reached the SuperLink since
        with _exporting(settings):
            code = _serve(settings, arguments[0], stopped)
    except (FedloraError, OSError) as error:
        return report(error)
    if stopped.is_set():
        log.info("site %s: supernode stopped", settings.site)
        return 0
    log.error("site %s: Flower's supernode ended by itself with code %s; see above", settings.site, code)
    return NODE_ENDED


def _note_identity(settings: NodeSettings) -> None:
    """Note in the audit log if the site's policy, its key or the CA it trusts is another than at the last start."""
    audit = settings.audit("supernode")
    audit.note_change(Event.POLICY_CHANGED, "the supernode's policy", settings.policy_sha256)
    with contextlib.suppress(CredentialError):  # Flower's supernode says so when it is started
        audit.note_change(Event.KEY_CHANGED, CA, ", ".join(ca_fingerprints(settings.ca_certificate)))
        key = load_node_key(settings.node_key).public_key()
        audit.note_change(Event.KEY_CHANGED, "the node's key", key_sha256(key))


@contextmanager
def _exporting(settings: NodeSettings) -> Iterator[None]:
    """Answer Prometheus meanwhile, if the settings say where.

    Raises
    ------
    PortInUseError
        If somebody else listens there.
    """
    with contextlib.ExitStack() as ending:
        if settings.metrics:
            # Loaded here: a node that serves no metrics goes without what serving takes.
            from fedlora.metrics.exposition import serve
            from supernode.node_samples import NodeSamples
            from supernode.traffic import Traffic
            from supernode.trainer_client import TrainerClient

            traffic = Traffic(settings.state)
            samples = NodeSamples(settings, traffic, TrainerClient(settings.trainer), os.getpid())
            ending.callback(traffic.close)
            ending.callback(serve(lambda: [sample.of(settings.site) for sample in samples.all()], settings.metrics))
        yield


def _serve(settings: NodeSettings, file: str, stopped: threading.Event) -> int | None:
    """Keep node and worker running until `stopped`, or until the node ends; return the node's exit code.

    Raises
    ------
    WithdrawalError
        If they were to be started, and the site has left.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        if (said := refuse_left(settings.state)) is not None:
            log.warning("%s (since %s); fedlora node resume lets it take part again", said, said.since)
        started = time.monotonic()
        node, worker = _start_both(settings, file)
        while node.poll() is None and worker.poll() is None and not stopped.wait(LOOK_SECONDS):
            pass
        ended = None if stopped.is_set() else node.poll()
        for child in (worker, node):
            _stop(child)
        if stopped.is_set() or ended is not None:
            return ended
        log.error("the worker ended with code %s and is started again, and the node with it", worker.returncode)
        pause = FIRST_PAUSE_SECONDS if time.monotonic() - started > LIVED_SECONDS else 2 * pause
        stopped.wait(min(pause, MOST_PAUSE_SECONDS))


def _start_both(settings: NodeSettings, file: str) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Start node and worker, with a pipe from the one to the other by which the worker learns that there is work."""
    heard, bell = os.pipe()
    os.set_blocking(bell, False)
    node = _start(bell, "supernode.node", file, str(bell))
    worker = _start(
        *(heard, "supernode.worker", "--bell", str(heard)),
        *("--runtime-api-address", f"127.0.0.1:{settings.runtime_port}"),
        *("--superexec-auth-secret-file", str(settings.superexec_secret)),
    )
    os.close(heard)
    os.close(bell)
    return node, worker


def _start(pipe: int, module: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, preexec_fn=end_with_parent, pass_fds=[pipe])


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
