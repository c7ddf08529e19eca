"""`fedlora node doctor` on the way to a gRPC server without Flower; with a SuperLink, see tests/integration."""

import json
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.pki import create_authority, issue_server_certificate
from fedlora.processes import free_ports
from tests.unit.fedlora.node_doctor.conftest import (
    GOOD,
    NAMES,
    WRONG_PORT,
    differing,
    doctor,
    listening,
    write_supernode,
)

NO_TLS = [
    "skipped  server certificate  there is no TLS",
    "skipped  clock               there is no TLS",
    "skipped  registration        there is no TLS",
]


def test_a_site_in_order_whose_superlink_is_none(site):
    assert doctor(site) == GOOD
    result = CliRunner().invoke(application, ["node", "doctor", str(site / "supernode.toml"), "--format", "json"])
    found = json.loads(result.stdout)
    assert [one["check"] for one in found] == NAMES
    assert found[10] == {
        "check": "clock",
        "outcome": "fail",
        "found": "this is no answer of a SuperLink that knows its nodes by keys: Method not found!",
        "advice": WRONG_PORT,
    }
    assert sorted(entry.name for entry in site.iterdir()) == sorted(
        ["ca.crt", "model", "node.key", "node.key.pub", "shard", "supernode.toml", "trainer.toml", "worker.secret"]
    )  # nothing was made


def test_wrong_ca(site, tmp_path):
    other = create_authority(tmp_path, federation="test")
    shutil.copy(other.certificate_file, site / "ca.crt")
    assert differing(site) == [
        "fail     TLS                 the certificate was not issued by the CA of SITE/ca.crt; get the federation's "
        "ca.crt from the coordinator, and compare its SHA-256 by another way",
        *NO_TLS,
    ]


def test_no_ca(site):
    (site / "ca.crt").unlink()
    assert differing(site) == [
        "fail     CA certificate      cannot read the certificate SITE/ca.crt: No such file or directory; get the "
        "federation's ca.crt from the coordinator",
        "skipped  TLS                 the CA certificate cannot be used",
        *NO_TLS,
    ]


@pytest.mark.parametrize("name", ["other.example", "127.0.0.9"])
def test_wrong_name(site, authority, tmp_path, name):
    with listening(issue_server_certificate(authority, tmp_path, names=[name])) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        assert differing(site) == [
            f"fail     TLS                 the certificate is for {name}, not for localhost; write one of these into "
            "`superlink`, or let the coordinator add the name: fedlora pki server",
            *NO_TLS,
        ]


def test_expired(site, authority, tmp_path):
    with listening(issue_server_certificate(authority, tmp_path, names=["localhost"], days=0)) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        assert differing(site) == [
            f"fail     TLS                 the certificate expired on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; the "
            "coordinator renews it with fedlora pki renew, and starts the SuperLink anew",
            *NO_TLS,
        ]


def test_not_yet_valid(site, authority, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("fedlora.pki.contents.now", lambda: datetime.now(UTC) + timedelta(days=1))
        pair = issue_server_certificate(authority, tmp_path, names=["localhost"])
    with listening(pair) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        tls, *others = differing(site)
    assert tls.startswith("fail     TLS                 the certificate is not valid before ")
    assert tls.endswith(" UTC; look at this machine's clock")
    assert others == NO_TLS


def test_a_certificate_that_ends_soon(site, authority, tmp_path):
    with listening(issue_server_certificate(authority, tmp_path, names=["localhost"], days=20)) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        assert differing(site) == [
            "warn     server certificate  for localhost, 19 days left; the coordinator renews it with fedlora pki "
            "renew, and starts the SuperLink anew"
        ]


def test_a_port_without_tls(site):
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            for _ in range(2):  # one look at the port, one at TLS
                connection, _ = listener.accept()
                with connection, suppress(ConnectionError):  # the look at the port is over at once
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.recv(1000)

        done = pool.submit(serve)
        write_supernode(site, superlink=f"localhost:{listener.getsockname()[1]}")
        assert differing(site) == [
            "fail     TLS                 localhost:PORT does not speak TLS: WRONG_VERSION_NUMBER; look at the port in "
            "`superlink`",
            *NO_TLS,
        ]
        done.result(10)


def test_a_name_that_nobody_knows(site):
    write_supernode(site, superlink="superlink.invalid:9092")
    name, *others = differing(site)
    assert name.startswith("fail     name resolution     superlink.invalid: ")
    assert name.endswith("; look at `superlink` in supernode.toml, and at this machine's DNS")
    assert others == [
        "skipped  port                the name is not known",
        "skipped  TLS                 the port does not answer",
        *NO_TLS,
    ]


def test_a_port_at_which_nobody_listens(site):
    write_supernode(site, superlink=f"localhost:{free_ports(1)[0]}")
    assert differing(site) == [
        "fail     port                localhost:PORT: Connection refused; ask the coordinator whether the SuperLink "
        "runs; else a firewall is in between: it must let out TCP",
        "skipped  TLS                 the port does not answer",
        *NO_TLS,
    ]


# --- keys
