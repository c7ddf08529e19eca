"""What passes between a site and the coordinator: TLS to one port, and nothing else."""

import os

import pytest
from link_capture import LinkCapture, Stream, tls_records

FLEET_PORT = 9092
HANDSHAKE, DATA = 22, 23
FEWEST_BYTES = 10 * 10**6  # three rounds of an adapter of rank 4, there and back


@pytest.fixture
def captured(capture: LinkCapture, trained: dict[str, object]) -> LinkCapture:
    """The link of a site from before it was started to the end of its first run."""
    if not capture.allowed:
        if "CI" in os.environ:
            pytest.fail("CI may read a network's bridge, but is not root")
        pytest.skip("left out: only root can read what passes a network's bridge")
    assert capture.dropped == 0, "the capture was too slow"
    return capture


def test_every_connection_is_tls_from_its_first_byte(captured):
    total = 0
    for (source, port, target, target_port), stream in captured.streams.items():
        content = stream.content()
        records = list(tls_records(content))
        total += len(content)
        if content:  # a connection may be opened and closed
            assert records[0][0] == HANDSHAKE, (source, port, target, target_port)
    assert total > FEWEST_BYTES
    assert any(kind == DATA for kind, _ in tls_records(max((s.content() for s in captured.streams.values()), key=len)))


def test_nothing_else_passes(captured):
    assert captured.streams
    assert {FLEET_PORT} == {min(port, target_port) for _, port, _, target_port in captured.streams}
    assert len({frozenset((source, target)) for source, _, target, _ in captured.streams}) == 1, (
        "more than two machines"
    )
    assert not captured.others


def test_what_is_no_tcp_is_found():
    seen = LinkCapture()
    ethernet, ping = bytes(12) + b"\x08\x00", bytes([0x45, *bytes(8), 1, *bytes(6), 10, 0, 0, 1])
    seen._take(ethernet + ping)
    seen._take(bytes(12) + b"\x88\xb5" + bytes(50))  # of local experiments
    assert seen.others == {"IPv4 protocol 1 to 10.0.0.1": 1, "EtherType 0x88b5": 1}


def test_what_is_not_tls_is_found():
    plain = Stream(begin=0, segments={0: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"})
    with pytest.raises(AssertionError, match="byte 0 begins no TLS record"):
        list(tls_records(plain.content()))
    with pytest.raises(AssertionError, match="bytes 3 to 5 were not captured"):
        Stream(begin=0, segments={0: b"\x16\x03\x01", 5: b"x"}).content()
