"""A stretch of road: a TCP forwarder that can be slow, late, or closed, while connections stay."""

import contextlib
import queue
import socket
import threading
import time

__all__ = ["Road"]

CHUNK = 16384
LONGEST_QUEUE = 256  # chunks that are on the way; then the sender is made to wait, as by a full buffer


class Road:
    """Forwards connections to ``host:port`` from a port of its own on 127.0.0.1.

    Parameters
    ----------
    host : str
        Where it leads to.
    port : int
        The port there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._passable = threading.Event()
        self._bytes_per_second, self._delay = float("inf"), 0.0
        self._passable.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, name="road", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it begins."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Let nothing pass."""
        self._passable.clear()

    def slow(self, bits_per_second: float, delay_seconds: float) -> None:
        """Let so much pass, each way on each connection, and that late."""
        self._bytes_per_second, self._delay = bits_per_second / 8, delay_seconds

    def open(self) -> None:
        """Let everything pass, at once."""
        self._bytes_per_second, self._delay = float("inf"), 0.0
        self._passable.set()

    def close(self) -> None:
        """Take no more connections; those that are there end with this process."""
        self.open()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._passable.wait()
        try:
            far = socket.create_connection(self._target)
        except OSError:
            near.close()
            return
        with near, far:
            threads = []
            for source, target in ((near, far), (far, near)):
                under_way: queue.Queue[tuple[float, bytes]] = queue.Queue(LONGEST_QUEUE)
                threads.append(threading.Thread(target=self._take, args=(source, under_way), daemon=True))
                threads.append(threading.Thread(target=self._bring, args=(under_way, source, target), daemon=True))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _take(self, source: socket.socket, under_way: "queue.Queue[tuple[float, bytes]]") -> None:
        data = b"."
        while data:
            try:
                data = source.recv(CHUNK)
            except OSError:
                data = b""
            under_way.put((time.monotonic(), data))

    def _bring(
        self, under_way: "queue.Queue[tuple[float, bytes]]", source: socket.socket, target: socket.socket
    ) -> None:
        data = b"."
        while data:
            taken, data = under_way.get()
            time.sleep(max(0.0, taken + self._delay - time.monotonic()) + len(data) / self._bytes_per_second)
            self._passable.wait()
            try:
                target.sendall(data) if data else target.shutdown(socket.SHUT_WR)
            except OSError:  # its other end is gone: who sends is told, and what is still on the way is thrown away
                with contextlib.suppress(OSError):
                    source.shutdown(socket.SHUT_RD)
