"""The checkpoints of all runs, read-only, for evaluators on other machines: HTTP/1.1 over mutual TLS.

Two kinds of path exist, and nothing else is answered::

    /v1/runs/NAME                               where the run stands; its checkpoints with the hashes of their files
    /v1/runs/NAME/checkpoints/round-0007/FILE   a file that the checkpoint's note lists; from byte N on with a Range

Whoever connects must show a certificate that this federation's CA has issued to an evaluator: admins have one of the
same CA, and it opens other doors. A file that changes or goes while it is sent is the reader's to notice, by its hash.
"""

import logging
import os
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from cryptography import x509

from fedlora.adapters.checkpoint import CHECKPOINTS, NOTE, checkpoint_folders, file_sha256, note_files
from fedlora.adapters.mirror import FILE_NAME, OfferedCheckpoint, OfferedFile, OfferedRun
from fedlora.errors import AdapterError, CredentialError, PortInUseError
from fedlora.names import NAME
from fedlora.pki.reading import Role, role_of
from superlink.runs import RunFolder, Verdicts

__all__ = ["CheckpointServer"]

RUN = re.compile(rf"/v1/runs/({NAME})")
FILE = re.compile(rf"/v1/runs/({NAME})/{CHECKPOINTS}/(round-\d{{4,12}})/({FILE_NAME.pattern})")
RANGE = re.compile(r"bytes=(\d{1,18})-")
MOST_CONNECTIONS = 64
HANDSHAKE_SECONDS, SILENCE_SECONDS = 10.0, 60.0
PIECE = 2**20
log = logging.getLogger("fedlora.checkpoints")


class CheckpointServer:
    """A server that listens from its making on, and answers in threads until `stop`.

    Parameters
    ----------
    runs : Path
        The coordinator's folder of runs.
    listen : str
        ``HOST:PORT``; port 0 takes a free one.
    ca_certificate, certificate, key : Path
        The federation's CA, and the SuperLink's pair.

    Raises
    ------
    CredentialError
        If a certificate or the key cannot be used.
    PortInUseError
        If the address cannot be had.
    """

    def __init__(self, runs: Path, listen: str, *, ca_certificate: Path, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        try:
            context.load_verify_locations(ca_certificate)
            context.load_cert_chain(certificate, key)
        except OSError as error:  # ssl.SSLError is one
            raise CredentialError(f"{ca_certificate}, {certificate} or {key} cannot be used: {error}") from error
        host, _, port = listen.rpartition(":")
        try:
            self._server = _Server((host, int(port)), context, _Offers(runs))
        except OSError as error:
            raise PortInUseError(
                f"checkpoints cannot be served at {listen}: {error.strerror}; choose another port"
            ) from error
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="checkpoints")
        self._thread.start()
        log.info("checkpoints of the runs in %s at https://%s:%s", runs, host, self.port)

    def stop(self) -> None:
        """Stop listening; connections that are open end with their threads."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Offers:
    """What may be read below a folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs.resolve()
        self._verdicts = Verdicts()
        self._lock = threading.Lock()

    def run(self, name: str) -> OfferedRun | None:
        """Return what is offered of a run; None if there is no such run."""
        folder = RunFolder(self.runs, name)
        if not (folder.directory / "run.json").is_file():
            return None
        with self._lock:
            state = self._verdicts.of(folder).state  # before the look: the last checkpoint may come in between
        found = (self._checkpoint(number, at) for number, at in checkpoint_folders(folder.directory / CHECKPOINTS))
        return OfferedRun(name, str(state), state.ended, tuple(one for one in found if one is not None))

    def _checkpoint(self, number: int, folder: Path) -> OfferedCheckpoint | None:
        try:
            _, epoch, listed = note_files(folder)
            hashes = {NOTE: file_sha256(folder / NOTE), **listed}
            files = {name: OfferedFile((folder / name).stat().st_size, hash_) for name, hash_ in hashes.items()}
            return OfferedCheckpoint(number, epoch, files)
        except (OSError, ValueError, AdapterError):  # removed just now, or damaged: the run goes on from another one
            return None

    def open(self, run: str, checkpoint: str, name: str) -> BinaryIO | None:
        """Open a file for reading if it is one of a checkpoint; None if not, or if a link leads elsewhere."""
        folder = self.runs / run / CHECKPOINTS / checkpoint
        try:
            if name != NOTE and name not in note_files(folder)[2]:
                return None
            if (folder / name).resolve() != folder / name:
                return None
            return open(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW), "rb")  # noqa: PTH123
        except (OSError, AdapterError):
            return None


class _Server(ThreadingHTTPServer):
    """Handshakes take place in the connections' threads, so that one that is slow keeps nobody else waiting."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, offers: _Offers) -> None:
        self.context = context
        self.offers = offers
        self.free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.free.acquire(blocking=False):
            log.warning("%s is turned away: %s connections are open", client_address[0], MOST_CONNECTIONS)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(SILENCE_SECONDS)
        secure = self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        with secure:
            late = threading.Timer(HANDSHAKE_SECONDS, _cut, (secure,))
            late.start()
            try:
                secure.do_handshake()
            except ssl.SSLEOFError:  # as whoever asks whether the port is open does, every few seconds
                log.debug("%s has hung up without a word", client_address[0])
                return
            except OSError as error:  # ssl.SSLError is one
                log.info("%s is refused: %s", client_address[0], getattr(error, "reason", None) or error)
                return
            finally:
                late.cancel()
            super().finish_request(secure, client_address)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        log.debug("the connection of %s broke", client_address[0], exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fedlora", ""
    server: _Server
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        role = role_of(x509.load_der_x509_certificate(self.connection.getpeercert(binary_form=True) or b""))
        if role is not Role.EVALUATOR:
            self._refuse(403, f"the checkpoints are for evaluators, and this is the certificate of: {role}")
        elif match := RUN.fullmatch(self.path):
            offer = self.server.offers.run(match[1])
            if offer is None:
                self._refuse(404, f"there is no run {match[1]}")
            else:
                self._answer(200, offer.to_json().encode(), "application/json")
        elif match := FILE.fullmatch(self.path):
            self._send(self.server.offers.open(*match.groups()))
        else:
            self._refuse(404, "there is nothing here")

    def _send(self, stream: BinaryIO | None) -> None:
        if stream is None:
            self._refuse(404, "there is no such file of a checkpoint, or no longer")
            return
        with stream:
            size = os.fstat(stream.fileno()).st_size
            wanted = RANGE.fullmatch(self.headers.get("Range", ""))
            begin = int(wanted[1]) if wanted else 0
            if begin and begin >= size:
                self._refuse(416, f"the file has {size} bytes")
                return
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(size - begin))
            self.end_headers()
            stream.seek(begin)
            while piece := stream.read(PIECE):
                self.wfile.write(piece)

    def _refuse(self, status: int, reason: str) -> None:
        if status == 403:
            log.info("%s is refused: %s", self.client_address[0], reason)
        self.close_connection = True
        self._answer(status, f"{reason}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
        log.debug(format, *args)


def _cut(secure: ssl.SSLSocket) -> None:
    """End a connection from another thread; the socket's own method would tear down TLS under the one that uses it."""
    try:
        socket.socket.shutdown(secure, socket.SHUT_RDWR)
    except OSError:
        return
