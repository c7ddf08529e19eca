"""Everything that passes a Docker network, read from its bridge as tcpdump would read it, and put together again."""

import contextlib
import json
import os
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from deployment import docker

__all__ = ["LinkCapture", "Stream", "tls_records"]

EVERYTHING = 0x0003  # ETH_P_ALL
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PROMISCUOUS = 263, 1, 6, 1  # packet(7)
RECEIVE_BUFFER_FORCE = 33  # SO_RCVBUFFORCE, socket(7)
BUFFER_BYTES = 64 * 2**20
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
TCP, IGMP, ICMPV6 = 6, 2, 58
SYN = 0x02
TLS_TYPES = range(20, 24)  # change cipher spec, alert, handshake, application data


@dataclass
class Stream:
    """One direction of a TCP connection: where it begins, and its segments by their place in it."""

    begin: int | None = None
    segments: dict[int, bytes] = field(default_factory=dict)

    def content(self) -> bytes:
        """Return what was sent, from the first byte on.

        Raises
        ------
        AssertionError
            If the beginning or anything in between was not captured.
        """
        assert self.begin is not None, "the connection was older than the capture"
        content = bytearray()
        for place in sorted(self.segments):
            assert place <= len(content), f"bytes {len(content)} to {place} were not captured"
            content[place:] = max(self.segments[place], bytes(content[place:]), key=len)
        return bytes(content)


class LinkCapture:
    """A capture of one network. A context manager; `allowed` says whether this process may capture at all."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, int, str, int], Stream] = defaultdict(Stream)
        self.others: Counter[str] = Counter()  # frames that are neither TCP nor what keeps a network together
        self.dropped = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    allowed = os.geteuid() == 0

    def __enter__(self) -> "LinkCapture":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, network: str) -> None:
        """Capture what passes `network` from now on, where this process may."""
        if not self.allowed:
            return
        bridge = f"br-{json.loads(docker('network', 'inspect', network).stdout)[0]['Id'][:12]}"
        reader = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING))
        reader.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, BUFFER_BYTES)
        reader.bind((bridge, EVERYTHING))
        # Otherwise the bridge passes on what is not for the machine itself without showing it.
        membership = struct.pack("iHH8s", socket.if_nametoindex(bridge), PROMISCUOUS, 0, b"")
        reader.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        reader.settimeout(0.2)
        self._thread = threading.Thread(target=self._read, args=(reader,), name="capture", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Capture no more."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _read(self, reader: socket.socket) -> None:
        with reader:
            while not self._stopped.is_set():
                with contextlib.suppress(OSError):  # nothing came for a while, or the network is gone
                    self._take(reader.recv(2**18))
            statistics = reader.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            self.dropped = struct.unpack("II", statistics)[1]

    def _take(self, frame: bytes) -> None:
        (kind,) = struct.unpack_from("!H", frame, 12)
        packet = frame[14:]
        if kind == IPV4 and packet[9] == TCP:
            self._take_tcp(packet)
        elif kind == IPV4 and packet[9] != IGMP:
            self.others[f"IPv4 protocol {packet[9]} to {socket.inet_ntoa(packet[16:20])}"] += 1
        elif kind not in (IPV4, ARP, IPV6) or (kind == IPV6 and not _is_neighbourhood(packet)):
            self.others[f"EtherType {kind:#06x}"] += 1

    def _take_tcp(self, packet: bytes) -> None:
        header, length = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
        source, target, sequence = struct.unpack_from("!HHI", packet, header)
        flags, offset = packet[header + 13], (packet[header + 12] >> 4) * 4
        addresses = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        stream = self.streams[addresses[0], source, addresses[1], target]
        if flags & SYN:
            stream.begin = sequence + 1
        payload = packet[header + offset : length]
        if payload and stream.begin is not None:
            place = (sequence - stream.begin) % 2**32
            stream.segments[place] = max(stream.segments.get(place, b""), payload, key=len)


def _is_neighbourhood(packet: bytes) -> bool:
    """Say whether an IPv6 packet is one by which machines find their neighbours: ICMPv6 to a multicast group."""
    hop_by_hop = packet[6] == 0  # of multicast listener reports
    return (packet[6] == ICMPV6 or (hop_by_hop and packet[40] == ICMPV6)) and packet[24] == 0xFF


def tls_records(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield type and length of each TLS record in `content`, of which the last may have been cut off.

    Raises
    ------
    AssertionError
        At the first byte that is of no record.
    """
    place = 0
    while place + 5 <= len(content):
        kind, major, minor, length = struct.unpack_from("!BBBH", content, place)
        assert kind in TLS_TYPES and major == 3 and minor <= 4 and length <= 2**14 + 256, (
            f"byte {place} begins no TLS record: {content[place : place + 16].hex()}"
        )
        yield kind, length
        place += 5 + length
