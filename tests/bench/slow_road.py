"""A TCP forwarder that lets time pass: ``python slow_road.py PORT MILLISECONDS``, its own port is printed.

Bytes arrive half a round trip after they were sent, in both directions; how many fit on the way is not limited.
"""

import asyncio
import contextlib
import sys
import time

CHUNK = 65536
OnTheWay = asyncio.Queue[tuple[float, bytes]]


async def send(reader: asyncio.StreamReader, way: OnTheWay, seconds: float) -> None:
    """Put what comes on its way, until there is no more."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
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


async def serve(port: int, milliseconds: float) -> None:
    """Forward until the process ends."""

    async def connected(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        there, back, seconds = OnTheWay(), OnTheWay(), milliseconds / 2000
        await asyncio.gather(
            *(send(near_reader, there, seconds), arrive(there, far_writer)),
            *(send(far_reader, back, seconds), arrive(back, near_writer)),
        )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
