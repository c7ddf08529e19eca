"""What a real Prometheus knows of a real federation: asked there, not of our own code."""

import json
import os
import signal
import time
import urllib.parse
import urllib.request

import pytest
from dashboard_queries import queries, variables
from prometheus_server import PrometheusServer, find_programs

from fedlora.metrics import metric
from superlink.runs import RunState
from tests.integration.conftest import federation
from tests.integration.test_survival import at_work, finish, hold, process_of, submit, wait

WAYS = ("down", "up")


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    """A federation of two stub sites with a keeper and all exporters, and a Prometheus that asks them every second."""
    find_programs()
    folder = tmp_path_factory.mktemp("monitored")
    with federation(folder / "federation", exporters=True) as made:
        made.start()
        made.start_keeper()
        made.start_exporter()
        described = made.federation
        jobs = {
            "coordinator": [f"127.0.0.1:{described.coordinator.metrics_port}"],
            "site": [f"127.0.0.1:{site.metrics_port}" for site in described.site],
        }
        with PrometheusServer(folder / "prometheus", jobs) as prometheus:
            yield made, prometheus


def named(made, name: str):
    made.run = name
    for site in made.sites:
        made.behave(site)
    made.revive()
    return made


def settled(prometheus, run: str) -> None:
    """Wait until Prometheus has asked all exporters after the end of a run, and Flower's counters are noted."""
    prometheus.wait_for(f'fedlora_run_state{{state="completed",run="{run}"}} == 1')
    time.sleep(4)  # the keeper's and the meter's next look, and a scrape after it


def by_way(prometheus, name: str, run: str, job: str) -> dict[tuple[str, ...], float]:
    return prometheus.values(f'sum by (node, direction) ({name}{{run="{run}",job="{job}"}})', "node", "direction")


def steps(prometheus, selector: str) -> list[float]:
    """Return the values that a counter has had, in order."""
    question = {"query": selector, "start": time.time() - 300, "end": time.time(), "step": "1"}
    url = f"http://127.0.0.1:{prometheus.port}/api/v1/query_range?{urllib.parse.urlencode(question)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        (series,) = json.load(answer)["data"]["result"]
    return sorted({float(value) for _, value in series["values"]} - {0.0})


@pytest.fixture(scope="module")
def measured(monitored):
    """The same after a run of four rounds, which take their sites three seconds each."""
    made, prometheus = monitored
    named(made, "measured")
    for site in made.sites:
        made.behave(site, seconds=3.0)
    folder = submit(made, rounds=4, min_sites=2, budget_bytes=10**7)
    assert finish(made, folder).state is RunState.COMPLETED
    settled(prometheus, made.run)
    return made, prometheus


def test_what_the_coordinator_counts_the_nodes_count_to_the_byte(measured):
    made, prometheus = measured
    coordinator = by_way(prometheus, "fedlora_payload_bytes_total", made.run, "coordinator")
    assert coordinator == by_way(prometheus, "fedlora_payload_bytes_total", made.run, "site")
    assert len(coordinator) == 4
    turns = made.ledger().turns()
    assert sum(coordinator.values()) == sum(turn.bytes_down + turn.bytes_up for turn in turns)
    for site in made.sites:  # and in each round
        for way in WAYS:
            selector = f'fedlora_payload_bytes_total{{run="{made.run}",node="{site}",direction="{way}",job="%s"}}'
            rounds = steps(prometheus, selector % "coordinator")
            assert len(rounds) == 4
            assert rounds == steps(prometheus, selector % "site")


def test_flowers_own_counters_agree(measured, figure):
    made, prometheus = measured
    for way in WAYS:
        of_run = f'run="{made.run}",direction="{way}"'
        counted = prometheus.values(f'sum(fedlora_message_bytes_total{{{of_run},job="site"}})')[()]
        flower = prometheus.values(f'fedlora_flower_traffic_bytes_total{{{of_run},job="coordinator"}}')[()]
        payload = prometheus.values(f'sum(fedlora_payload_bytes_total{{{of_run},job="coordinator"}})')[()]
        figure(f"{way}: payload {payload:.0f}, messages {counted:.0f}, by Flower's counter {flower:.0f} bytes")
        assert counted == pytest.approx(flower, rel=0.01)
        assert payload < counted
        wire = prometheus.values(f'sum(fedlora_wire_bytes_total{{{of_run},job="site"}})')[()]
        assert counted < wire < 1.5 * counted
        told = prometheus.values(f'sum(fedlora_wire_bytes_total{{{of_run},job="coordinator"}})')[()]
        assert told == pytest.approx(wire, rel=0.05)  # but for the closing answer's own bytes


def test_the_forecast_was_right(measured):
    made, prometheus = measured
    forecast = prometheus.values(f'fedlora_run_forecast_bytes{{run="{made.run}"}}')[()]
    counted = prometheus.values(f'sum(fedlora_payload_bytes_total{{run="{made.run}",job="coordinator"}})')[()]
    assert forecast == pytest.approx(counted, rel=0.02)


def test_every_series_stands_in_the_catalogue_with_its_labels(measured):
    _, prometheus = measured
    series = [one["metric"] for one in prometheus.query('{__name__=~"fedlora_.+"}')]
    assert len(series) > 100
    for labels in series:
        name = labels.pop("__name__")
        known = metric(name)
        assert labels.pop("job") in ("coordinator", "site")
        assert labels.pop("instance")
        assert sorted(labels) == sorted(known.labels), name


def test_what_is_measured_of_resources_and_health_is_there(measured):
    _, prometheus = measured
    parts = prometheus.values('fedlora_resident_memory_bytes{job="coordinator"} > 1e6', "node", "part")
    assert {("coordinator", "superlink"), ("coordinator", "serverapp"), ("coordinator", "keeper")} <= parts.keys()
    assert {(site, part) for site in ("site-1", "site-2") for part in ("supernode", "trainer")} <= parts.keys()
    assert prometheus.values("fedlora_node_online", "node") == {("site-1",): 1.0, ("site-2",): 1.0}
    skew = prometheus.values("fedlora_node_clock_skew_seconds", "node")
    assert all(-30 < value <= 0.1 for value in skew.values()), skew  # one clock, and the way takes its time
    assert prometheus.query('{__name__=~"fedlora_gpu_.+"}') == []  # absent, not zero: there is none


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.name)
def test_every_panel_has_data(measured, query):
    _, prometheus = measured
    found = prometheus.query(query.expression)
    assert bool(found) is not bool(query.needs), query.expression


def test_the_dashboards_variables_have_values(measured):
    _, prometheus = measured
    for expression, label in variables():
        assert prometheus.values(expression, label), expression


def test_no_alert_fires_for_a_run_in_order(measured):
    _, prometheus = measured
    assert prometheus.values('ALERTS{alertstate="firing"}', "alertname") == {}


def test_what_is_killed_loses_no_count_and_doubles_none(monitored):
    """A worker, a trainer and the ServerApp, each in the middle of a round of its own."""
    made, prometheus = monitored
    named(made, "killed")
    hold(made, 1)
    folder = submit(made, rounds=3, min_sites=2)
    for number, name in enumerate(("worker", "site-1-trainer", "serverapp"), 1):
        wait(made, folder, at_work(made, folder, number))
        os.kill(process_of(made, name), signal.SIGKILL)
        hold(made, number + 1)
        wait(made, folder, lambda ledger, n=number: sum(r.state == "aggregated" for r in ledger.rounds()) >= n)
    assert finish(made, folder).state is RunState.COMPLETED
    settled(prometheus, made.run)
    turns = made.ledger().turns()
    assert len(made.ledger().attempts()) == 2
    coordinator = by_way(prometheus, "fedlora_payload_bytes_total", made.run, "coordinator")
    site = by_way(prometheus, "fedlora_payload_bytes_total", made.run, "site")
    for name in made.sites:
        sizes = {way: max(getattr(turn, f"bytes_{way}") // max(1, turn.tries) for turn in turns) for way in WAYS}
        tries = sum(turn.tries for turn in turns if turn.site == name)
        assert coordinator[name, "down"] == site[name, "down"] == tries * sizes["down"]
        answered = sum(turn.outcome == "answered" for turn in turns if turn.site == name)
        assert coordinator[name, "up"] == pytest.approx(answered * sizes["up"], abs=20)
        # What the killed ServerApp did not wait for, the node has sent, or has found its run ended.
        assert 0 <= site[name, "up"] - coordinator[name, "up"] <= sizes["up"]
    assert prometheus.values(f'max(resets(fedlora_payload_bytes_total{{run="{made.run}"}}[5m]))') == {(): 0.0}
