"""What drills are made of: the list, the road, the expired certificate."""

import socket
import threading
import time
from datetime import timedelta

import pytest
from cryptography import x509

from fedlora import pki
from fedlora.drills import DRILLS, Place, drill_named
from fedlora.drills.faults import FAULTS
from fedlora.drills.faults.certificate import expired
from fedlora.drills.field import PARTS
from fedlora.drills.road import Road
from fedlora.errors import ConfigurationError
from fedlora.pki.contents import now
from fedlora.pki.reading import load_authority, read_certificate


def test_every_drill_is_of_a_kind_and_a_part_that_there_is():
    for name, drill in DRILLS.items():
        assert drill.name == name
        assert drill.kind in FAULTS
        assert drill.part in (*PARTS, "link")
        assert drill.needs
        assert set(drill.needs) <= set(Place)


def test_every_kind_of_fault_is_drilled():
    assert {drill.kind for drill in DRILLS.values()} == set(FAULTS)


def test_a_drill_that_is_not_there_is_named_with_one_that_is():
    with pytest.raises(ConfigurationError, match="kill-worker"):
        drill_named("kill-workr")


def test_a_blow_stays_one_however_long():
    assert DRILLS["kill-worker"].lasting(9.0).seconds == 0.0
    assert DRILLS["cut-link"].lasting(9.0).seconds == 9.0
    assert DRILLS["cut-link"].lasting(0.0) == DRILLS["cut-link"]


@pytest.fixture
def echo():
    """A server that sends back what it gets, behind a road; yields the road and a connection over it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener.accept()[0] as one:
            while data := one.recv(65536):
                one.sendall(data)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    road = Road("127.0.0.1", listener.getsockname()[1])
    with socket.create_connection(("127.0.0.1", road.port), timeout=10) as connection:
        yield road, connection
    road.close()
    server.join(10)
    listener.close()


def there_and_back(connection, data=b"ping"):
    started = time.monotonic()
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        got += connection.recv(65536)
    assert got == data
    return time.monotonic() - started


def test_a_road_brings_what_it_is_given(echo):
    there_and_back(echo[1], bytes(range(256)) * 1000)


def test_a_slow_road_is_late_and_narrow(echo):
    road, connection = echo
    road.slow(1e6, 0.2)
    assert there_and_back(connection) >= 0.4
    assert there_and_back(connection, bytes(25000)) >= 0.4 + 0.2  # 200 kbit at 1 Mbit/s, and back as they come
    road.open()
    there_and_back(connection)


def test_what_was_sent_over_a_cut_road_arrives_once_it_is_mended(echo):
    road, connection = echo
    there_and_back(connection)
    road.cut()
    connection.sendall(b"ping")
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        connection.recv(4)
    road.open()
    connection.settimeout(10)
    assert connection.recv(4) == b"ping"


def test_an_expired_certificate_says_the_same_but_for_its_time(tmp_path):
    authority = pki.create_authority(tmp_path, federation="test")
    file, _ = pki.issue_server_certificate(authority, tmp_path, names=["127.0.0.1"])
    right = read_certificate(file)
    wrong = x509.load_pem_x509_certificate(expired(right, load_authority(tmp_path).key))
    wrong.verify_directly_issued_by(authority.certificate)
    assert (wrong.subject, wrong.public_key(), list(wrong.extensions)) == (
        right.subject,
        right.public_key(),
        list(right.extensions),
    )
    assert wrong.not_valid_after_utc < now() < right.not_valid_after_utc
    assert wrong.not_valid_after_utc - wrong.not_valid_before_utc > timedelta(hours=1)
