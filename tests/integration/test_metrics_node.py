"""What the nodes count, held against the coordinator's ledger, over the real engine."""

import os
import signal
import socket
import time
import urllib.request

import pytest

from fedlora import flower, pki
from fedlora.errors import PortInUseError
from fedlora.metrics.sample import write_samples
from fedlora.processes import free_ports
from supernode.traffic import Traffic
from tests.integration.conftest import supernode, write_node_settings
from tests.integration.test_kills import children

WAYS = ("down", "up")


def counted(federation, site: str) -> dict[str, float]:
    """Return what a node has counted, by key."""
    traffic = Traffic(federation.site(site) / "supernode")
    try:
        return write_samples(traffic.samples())
    finally:
        traffic.close()


def payload(federation, site: str) -> tuple[float, float]:
    """Return the payload that a node has counted for the run of this test, down and up."""
    found = counted(federation, site)
    key = 'fedlora_payload_bytes_total{{codec="fp32",direction="{}",run="{}"}}'
    down, up = (found.get(key.format(way, federation.run), 0.0) for way in WAYS)
    return down, up


def of_ledger(federation, site: str) -> tuple[int, int]:
    turns = [turn for turn in federation.ledger().turns() if turn.site == site]
    return sum(turn.bytes_down for turn in turns), sum(turn.bytes_up for turn in turns)


def test_a_run_is_counted_by_the_nodes_as_by_the_ledger(running, figure):
    before = {site: counted(running, site) for site in running.sites}
    assert running.finish(running.config(rounds=3, min_sites=2)).outcome == "completed"
    time.sleep(3)  # the meter's next look, and a look for messages
    for site in running.sites:
        now = counted(running, site)
        assert payload(running, site) == of_ledger(running, site)
        sizes = dict(zip(WAYS, payload(running, site), strict=True))
        for way in WAYS:
            wire = now[f'fedlora_wire_bytes_total{{direction="{way}",run="{running.run}"}}']
            figure(f"{site}, 3 rounds, {way}: payload {sizes[way]}, on the wire {wire:.0f}")
            assert sizes[way] < wire < 1.5 * sizes[way] + 200_000
            idle = f'fedlora_idle_wire_bytes_total{{direction="{way}"}}'
            assert 0 < now[idle] - before[site].get(idle, 0) < 200_000
            # describe, configure, and three rounds; perhaps the coordinator's last question
            assert now[f'fedlora_messages_total{{direction="{way}",run="{running.run}"}}'] in (5, 6)
        assert now[f'fedlora_remote_calls_total{{run="{running.run}"}}'] > 3 * 5


def test_a_worker_that_is_killed_in_a_round_loses_no_count_and_doubles_none(running):
    running.behave("site-1", seconds=600)
    part = running.part("site-1-supernode")
    with running.control() as control:
        run_id = control.start_run(flower.app_bundle(), running.config(rounds=2, min_sites=2).to_flower())
        running.wait_for_log("site-1-trainer", f"run {running.run}: round 1 has begun")
        down, up = payload(running, "site-1")
        assert (down > 0, up) == (True, 0)
        os.kill(children(part.process.pid)["supernode.worker"], signal.SIGKILL)
        running.wait_for_log("site-1-supernode", "the worker ended with code -9 and is started again")
        running.behave("site-1")
        running.parts.wait_until(lambda: control.attempt(run_id).finished, "the run", 120)
        assert control.attempt(run_id).outcome == "completed"
    first = next(turn for turn in running.ledger().turns() if (turn.site, turn.round) == ("site-1", 1))
    assert (first.tries, first.bytes_down) == (2, 2 * down)
    for site in running.sites:
        assert payload(running, site) == of_ledger(running, site)


@pytest.fixture
def scrape():
    def text(port: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            return response.read().decode()

    return text


def test_a_site_serves_its_own_metrics(running, tmp_path, scrape):
    """On the node of a site that nobody has admitted, whose CA certificate and processes are there all the same."""
    directory = tmp_path / "guest"
    directory.mkdir()
    pki.create_node_key(directory / "node.key")
    (port,) = free_ports(1)
    settings = write_node_settings(running, directory, metrics=f"127.0.0.1:{port}", figures=())
    with supernode(settings) as part:
        end = time.monotonic() + 60
        while True:
            try:
                shown = scrape(port)
                break
            except OSError:
                assert time.monotonic() < end
                assert part.alive, part.log.read_text()
                time.sleep(0.1)
    assert '\nfedlora_node_info{domain="finance",flower="1.39.' in shown
    assert '\nfedlora_resident_memory_bytes{node="guest",part="supernode"} ' in shown
    assert '\nfedlora_certificate_expiry_timestamp_seconds{certificate="ca",node="guest"} ' in shown
    assert "run=" not in shown


def test_a_site_whose_port_for_metrics_is_taken_does_not_start(running, tmp_path):
    directory = tmp_path / "guest"
    directory.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with supernode(write_node_settings(running, directory, metrics=f"127.0.0.1:{port}")) as part:
            assert part.process.wait(60) == PortInUseError.exit_code
    said = f"metrics cannot be served at 127.0.0.1:{port}: Address already in use; choose another port"
    assert said in part.log.read_text()
