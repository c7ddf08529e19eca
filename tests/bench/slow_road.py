"""A TCP forwarder that lets time pass: ``python slow_road.py PORT MILLISECONDS FILE``, its own port is printed.

Bytes arrive half a round trip after they were sent, in both directions; how many fit on the way is not limited. How
many there were, TLS included and headers of TCP and IP not, is written to the file five times a second.
"""

import asyncio
import contextlib
import sys
import time
from pathlib import Path

CHUNK = 65536
OnTheWay = asyncio.Queue[tuple[float, bytes]]


class Toll:
    """Counts the bytes that pass."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.passed = 0

    async def tell(self) -> None:
        """Write down the count, whole at each moment."""
        beside = self.file.with_suffix(".new")
        while True:
            beside.write_text(str(self.passed), encoding="ascii")
            beside.replace(self.file)
            await asyncio.sleep(0.2)


async def send(reader: asyncio.StreamReader, way: OnTheWay, seconds: float, toll: Toll) -> None:
    """Put what comes on its way, until there is no more."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            toll.passed += len(data)
            way.put_nowait((time.monotonic() + seconds, data))
    way.put_nowait((time.monotonic() + seconds, b""))


async def arrive(way: OnTheWay, writer: asyncio.StreamWriter) -> None:
    """Hand on what is due."""
    with contextlib.suppress(ConnectionError):
        while True:
            due, data = await way.get()
            await asyncio.sleep(due - time.monotonic())
            if not data:
                break
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(port: int, milliseconds: float, toll: Toll) -> None:
    """Forward until the process ends."""

    async def connected(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        there, back, seconds = OnTheWay(), OnTheWay(), milliseconds / 2000
        await asyncio.gather(
            *(send(near_reader, there, seconds, toll), arrive(there, far_writer)),
            *(send(far_reader, back, seconds, toll), arrive(back, near_writer)),
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.gather(server.serve_forever(), toll.tell())


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), Toll(Path(sys.argv[3]))))
