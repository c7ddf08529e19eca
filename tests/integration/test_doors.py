"""Every port of a federation of processes, tried: who gets an answer, in plain text and without a registered key."""

import contextlib
import signal
import socket
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import pytest
from flwr.common.constant import PUBLIC_KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from flwr.proto import fleet_pb2
from flwr.proto.fleet_pb2_grpc import FleetStub
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

from fedlora import pki
from fedlora.pki.node_keys import load_node_key
from tests.integration.conftest import federation
from tests.integration.test_survival import at_work, hold, submit, wait

LISTENING = "0A"


def processes_below(root: int) -> set[int]:
    """Return a process and all that it, or one of its children, has started."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(processes: set[int]) -> dict[int, str]:
    """Return the TCP ports at which these processes listen, each with the address."""
    sockets = set()
    for process in processes:
        for file in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                sockets.add(str(file.readlink()))
    found = {}
    for table, length in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                address, _, port = fields[1].partition(":")
                packed = struct.pack("<I", int(address, 16)) if length == 8 else bytes.fromhex(address)
                found[int(port, 16)] = socket.inet_ntop(socket.AF_INET if length == 8 else socket.AF_INET6, packed)
    return found


def plaintext(port: int) -> bytes:
    """Return what is answered to a request in plain text; empty if nothing is."""
    answer = b""
    with contextlib.suppress(ConnectionError, TimeoutError), socket.create_connection(("127.0.0.1", port), 5) as plain:
        plain.settimeout(5)
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        while part := plain.recv(4096):
            answer += part
    return answer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A federation with everything that listens: exporters, too."""
    with federation(tmp_path_factory.mktemp("doors") / "federation", exporters=True) as made:
        made.start()
        made.start_keeper()
        made.start_exporter()
        own = made.federation.coordinator
        ports = [own.metrics_port, *(site.metrics_port for site in made.federation.site)]
        made.parts.wait_until(lambda: all(plaintext(port) for port in ports), "the exporters", 60)
        yield made


def test_whatever_the_network_reaches_answers_to_tls_alone(whole):
    """What speaks plain text listens on loopback alone, and is known."""
    found = listening(set().union(*(processes_below(part.process.pid) for part in whole.parts.started)))
    loopback = {own.metrics_port for own in (whole.federation.coordinator, *whole.federation.site)}
    loopback |= {site.runtime_port for site in whole.federation.site}
    assert {whole.ports.fleet, whole.ports.http} | loopback <= found.keys()
    plain = {port for port in found if plaintext(port)}
    assert {whole.ports.fleet, whole.ports.http} & plain == set()
    assert plain <= loopback
    assert {found[port] for port in plain} == {"127.0.0.1"}
    beyond = found.keys() - loopback - {whole.ports.fleet, whole.ports.http}
    assert all(found[port] in ("127.0.0.1", "::1") for port in beyond), {port: found[port] for port in beyond}


def test_the_port_for_a_sites_worker_wants_its_secret(whole):
    """It speaks plain text, on loopback: whoever has no secret gets no task."""
    for path in ("acquire-task", "pull-task-input", "push-object", "get-nodes"):
        answer = httpx.post(
            f"http://127.0.0.1:{whole.federation.site[0].runtime_port}/v1/runtime/{path}",
            content=AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]).SerializeToString(),
            headers={"Content-Type": "application/protobuf"},
        )
        assert answer.status_code in ((401,) if path == "acquire-task" else (400, 401, 403)), (path, answer.text)


def signed(key) -> list[tuple]:
    now = datetime.now(UTC).isoformat()
    return [
        (PUBLIC_KEY_HEADER, public_key_to_bytes(key.public_key())),
        (TIMESTAMP_HEADER, now),
        (SIGNATURE_HEADER, sign_message(key, now.encode("ascii"))),
    ]


def test_no_call_of_a_node_is_served_without_a_registered_key(whole, tmp_path):
    """Each method of the Fleet API: without a signature, with a stranger's, and with a registered key's by another."""
    pki.create_node_key(pki.private_directory(tmp_path / "stranger") / "node.key")
    stranger = load_node_key(tmp_path / "stranger" / "node.key")
    known = load_node_key(whole.site("site-1") / "node.key")
    borrowed = [(PUBLIC_KEY_HEADER, public_key_to_bytes(known.public_key())), *signed(stranger)[1:]]
    node = next(one.id for one in nodes(whole) if one.name == "site-1")
    credentials = grpc.ssl_channel_credentials(whole.ca_certificate.read_bytes())
    methods = fleet_pb2.DESCRIPTOR.services_by_name["Fleet"].methods
    assert len(methods) >= 8
    with grpc.secure_channel(f"127.0.0.1:{whole.ports.fleet}", credentials) as channel:
        stub = FleetStub(channel)
        for method in methods:
            request = getattr(fleet_pb2, method.input_type.name, None)
            request = request() if request is not None else method.input_type._concrete_class()
            if "node_id" in method.input_type.fields_by_name:
                request.node_id = node
            elif "node" in method.input_type.fields_by_name:
                request.node.node_id = node
            for headers in ([], signed(stranger), borrowed):
                with pytest.raises(grpc.RpcError) as refused:
                    getattr(stub, method.name)(request, metadata=headers, timeout=10)
                assert refused.value.code() in (
                    *(grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED),
                    *(grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED, grpc.StatusCode.UNIMPLEMENTED),
                ), f"{method.name}: {refused.value}"
    assert {one.name for one in nodes(whole) if one.registered} == set(whole.sites)
    assert {whole.status(site) for site in whole.sites} == {"online"}


def nodes(made):
    with made.control() as control:
        return control.node_list()


@pytest.mark.timeout(200)
def test_a_node_that_is_unregistered_in_a_round_is_cut_off_before_its_answer(whole, figure):
    """It trains to the end, and what it has trained is not taken; its process ends by itself."""
    hold(whole, 1)
    folder = submit(whole, rounds=1, absence=1.0)
    wait(whole, folder, at_work(whole, folder, 1), revive=False)
    part = whole.part("site-2-supernode")
    with whole.control() as control:
        control.unregister_node(next(node.id for node in control.node_list() if node.name == "site-2"))
        assert "site-2" not in control.nodes()
    began = time.monotonic()
    whole.behave("site-2")  # its answer would be there at once
    code = part.process.wait(60)
    figure(f"unregistered in the middle of a round: the node's process ended {time.monotonic() - began:.1f} s later")
    assert code == 42
    whole.behave("site-1")
    wait(whole, folder, lambda ledger: bool(ledger.attempts()[-1].ended_at), revive=False)
    ledger = whole.ledger() if folder.name == whole.run else None
    turns = {turn.site: turn for turn in ledger.turns()}
    ledger.close()
    assert {site: turn.outcome for site, turn in turns.items()} == {"site-1": "answered", "site-2": "lost"}
    assert turns["site-2"].bytes_up == 0  # nothing of it came
    part.process.send_signal(signal.SIGTERM)
