"""The dashboards: made from their source, over the catalogue, and every query has data in a real Prometheus."""

import json
import re
from contextlib import ExitStack
from pathlib import Path

import made_up_samples
import pytest
import yaml
from board_files import BOARDS, SOURCE, text
from dashboard_queries import FOLDER, dashboards, queries, variables
from prometheus_server import promtool, rules

from fedlora.metrics.exposition import serve
from fedlora.processes import free_ports

PROVISIONING = FOLDER.parent / "provisioning"
RULES_TESTS = Path(__file__).parent / "rules"
EXPRESSIONS = "needs.test.yml"  # of panels that have no data without a GPU or the evaluator


@pytest.fixture(scope="module")
def asked(prometheus):
    """A Prometheus that asks a coordinator, a part of it, and a site."""
    sources = {name: getattr(made_up_samples, name) for name in ("coordinator", "parts", "site")}
    ports = free_ports(len(sources))
    with ExitStack() as running:
        for samples, port in zip(sources.values(), ports, strict=True):
            running.callback(serve(samples, f"127.0.0.1:{port}"))
        server = prometheus({job: [f"127.0.0.1:{port}"] for job, port in zip(sources, ports, strict=True)})
        for rule in rules("record"):
            server.wait_for(rule["record"])
        yield server


def test_the_files_are_what_their_source_says():
    assert sorted(file.name for file in FOLDER.iterdir()) == ["cost.json", "federation.json", "node.json"]
    for board in BOARDS:
        assert (FOLDER / f"{board.name}.json").read_text() == text(board), "call: make docs"


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.name)
def test_a_panel_has_data(query, asked):
    found = asked.query(query.expression)
    assert found
    named = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
    for one in found if named else ():
        assert named & set(one["metric"]) or one["metric"] == {}, one  # each line has a name of its own


def test_a_name_of_a_recorded_series_says_its_labels(asked):
    for rule in rules("record"):
        labels = set(rule["record"].partition(":")[0].split("_"))
        assert {frozenset(one["metric"]) - {"__name__"} for one in asked.query(rule["record"])} == {frozenset(labels)}


def test_a_variable_has_values(asked):
    for expression, label in variables():
        assert {one["metric"][label] for one in asked.query(expression)} >= {"run": {"first"}, "node": {"a"}}[label]


def test_a_sites_own_word_about_its_machine_comes_first(asked):
    assert len(asked.query('node_part:fedlora_disk_free:ratio{node="a", part="trainer"}')) == 1
    assert {one["metric"]["part"] for one in asked.query('node_part:fedlora_disk_free:ratio{node="coordinator"}')} == {
        "keeper"
    }


def test_a_panel_that_needs_something_says_so_and_stands_with_promtools_series():
    needing = [query for query in queries() if query.needs]
    assert {need for query in needing for need in query.needs} == {"gpu", "evaluator"}
    words = {"gpu": "a GPU", "evaluator": "the evaluator's scores"}
    assert all(words[need] in query.panel for query in needing for need in query.needs)
    tested = yaml.safe_load((RULES_TESTS / EXPRESSIONS).read_text())["tests"]
    asserted = {one["expr"] for test in tested for one in test["promql_expr_test"] if one["exp_samples"]}
    assert {query.expression for query in needing} == asserted


def test_panels_have_a_place_a_unit_and_a_description():
    for board in dashboards():
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        places = [
            (column, row)
            for place in (panel["gridPos"] for panel in panels)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        ]
        assert len(set(places)) == len(places)
        assert max(column for column, _ in places) < 24
        for panel in panels:
            if panel["type"] != "row":
                assert panel["description"].endswith("."), panel["title"]
                assert panel["fieldConfig"]["defaults"]["unit"]


def test_provisioning_and_dashboards_know_one_prometheus_and_nothing_outside():
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "fedlora.yml").read_text())["providers"]
    dockerfile = (FOLDER.parents[1] / "Dockerfile").read_text()
    assert f"COPY docker/grafana/dashboards/ {provider['options']['path']}/\n" in dockerfile
    for board in dashboards():
        assert "http" not in json.dumps(board)
        assert {panel.get("datasource", SOURCE)["uid"] for panel in board["panels"]} == {source["uid"]}


def test_expressions_hold_with_promtools_series():
    promtool("test", "rules", EXPRESSIONS, folder=RULES_TESTS)
