"""A run with checkpoints at a coordinator, its checkpoint server on loopback, and a road between that can be cut."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluator.mirror import Mirror
from fedlora.phases import Stopwatch
from fedlora.pki import Authority, create_authority, issue_evaluator_certificate, issue_server_certificate
from superlink.checkpoint_server import CheckpointServer
from superlink.checkpoints import Checkpoints
from superlink.commits import Commits
from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from superlink.run_config import RunConfig
from superlink.runs import RunFolder
from tests.integration.stub_trainer import spec

__all__ = ["Coordinator", "Road", "coordinator", "exchange", "road"]

SPEC = spec()
STATE = {"momentum": np.arange(200_000, dtype=np.float32)}  # 800 kB: enough to be cut in two


@dataclass
class Coordinator:
    """The run `tweets`, and what serves it."""

    directory: Path
    authority: Authority
    server: CheckpointServer
    folder: RunFolder
    ledger: Ledger

    def round(self, number: int, seed: int = 0, epoch: int = 1) -> Path:
        """Aggregate a round in the attempt `epoch`, and return the folder of its checkpoint."""
        self.ledger.start_round(number, epoch, {"a": 1})
        commits = Commits(Checkpoints(self.folder.directory / "checkpoints", keep=3), self.folder.ledger, epoch, SPEC)
        commits.begin(number, initial_adapter(SPEC, seed), Stopwatch(), STATE)
        commits.finish()
        return self.folder.adapter

    def end(self) -> None:
        """Let the run be completed."""
        self.ledger.end_attempt(1, "completed")

    @property
    def evaluator(self) -> tuple[Path, Path]:
        """Certificate and key of an evaluator."""
        folder = self.directory / "evaluator"
        if not folder.exists():
            folder.mkdir()
            issue_evaluator_certificate(self.authority, folder, name="gpu-server")
        return folder / "evaluator.crt", folder / "evaluator.key"

    def mirror(self, port: int = 0, **changes: object) -> Mirror:
        """Return a mirror at another place, which asks at `port`."""
        certificate, key = self.evaluator
        values = {
            "source": f"localhost:{port or self.server.port}",
            "runs": self.directory / "elsewhere",
            "run": "tweets",
            "ca_certificate": self.authority.certificate_file,
            "certificate": certificate,
            "key": key,
        }
        return Mirror(**(values | changes))


@contextlib.contextmanager
def coordinator(directory: Path) -> Iterator[Coordinator]:
    """Yield a coordinator with a run that has no checkpoint yet."""
    for name in ("ca", "server", "runs"):
        (directory / name).mkdir()
    authority = create_authority(directory / "ca", federation="test")
    certificate, key = issue_server_certificate(authority, directory / "server", names=["localhost"])
    folder = RunFolder(directory / "runs", "tweets")
    folder.submit(RunConfig("tweets", 1, "a,b", "finance", 3, 7, 60.0, 1, 60.0, "r" * 64))
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 1)
    server = CheckpointServer(
        folder.runs,
        "127.0.0.1:0",
        ca_certificate=authority.certificate_file,
        certificate=certificate,
        key=key,
    )
    try:
        yield Coordinator(directory, authority, server, folder, ledger)
    finally:
        server.stop()
        ledger.close()


def exchange(port: int, sent: bytes, ca: Path, pair: tuple[Path, Path] | None) -> bytes:
    """Send bytes over TLS, and return all that comes back until the other side is done."""
    context = ssl.create_default_context(cafile=ca)
    if pair is not None:
        context.load_cert_chain(*pair)
    with (
        socket.create_connection(("localhost", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(sent)
        found = b""
        while piece := secure.recv(65536):
            found += piece
        return found


@dataclass
class Road:
    """Passes bytes on to `target`; cuts each connection after `most` bytes that came back, and counts them."""

    target: int
    most: int = 2**40
    back: int = 0
    port: int = 0
    _threads: list[threading.Thread] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._connection, args=(near,)))
            self._threads[-1].start()

    def _connection(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.target)) as far:
            onward = threading.Thread(target=self._pass, args=(near, far, False))
            onward.start()
            self._pass(far, near, True)
            onward.join()

    def _pass(self, source: socket.socket, to: socket.socket, back: bool) -> None:
        left = self.most
        with contextlib.suppress(OSError):
            while left > 0 and (piece := source.recv(min(16384, left) if back else 16384)):
                to.sendall(piece)
                if back:
                    left -= len(piece)
                    self.back += len(piece)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def road(target: int) -> Iterator[Road]:
    """Yield a road that listens on a free port."""
    made = Road(target)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]
        taking = threading.Thread(target=made.serve, args=(listener,))
        taking.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (taking, *made._threads):
                thread.join()
