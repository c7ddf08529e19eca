"""Recording rules and alerts: promtool takes them, each alert fires and does not, and all stands in the catalogue."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dashboard_queries import queries
from prometheus_server import RULES, promtool, rules

from fedlora.federation import read_federation
from fedlora.federation.presets import PRESETS
from fedlora.federation.writing import new_file, preset_text
from fedlora.metrics import metric
from fedlora.rendering import compose_files

REPOSITORY = RULES.parents[2]
FILES = sorted((Path(__file__).parent / "rules").glob("*.test.yml"))
SITE_URL = "https://github.com/fedlora/fedlora/blob/main/"
OURS = re.compile(r"\b((?:[a-z_]+:)?fedlora_[a-z_]+(?::[a-z0-9_]+)?)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r"\s*(\w+)\s*(?:=~|!~|!=|=)\s*[\"']")
GROUPED = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
PROMETHEUS_OWN = {"job", "instance"}  # labels that Prometheus adds
JOBS = {"coordinator", "parts", "gateway", "site"}


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    """The rendered configuration, with the rules where they lie here."""
    file = new_file(tmp_path_factory.mktemp("federation") / "f", preset_text(min(PRESETS)))
    rendered = compose_files(read_federation(file).federation)["coordinator/prometheus.yml"].decode()
    assert "- /etc/fedlora/rules/*.yml\n" in rendered
    assert "COPY docker/prometheus/rules/ /etc/fedlora/rules/\n" in (REPOSITORY / "docker" / "Dockerfile").read_text()
    here = file.parent / "prometheus.yml"
    here.write_text(rendered.replace("/etc/fedlora/rules", str(RULES)))
    return here


def test_promtool_takes_the_rules():
    said = promtool("check", "rules", *sorted(RULES.glob("*.yml")))
    assert f"{len(rules('alert'))} rules found" in said
    assert f"{len(rules('record'))} rules found" in said


def test_promtool_takes_the_rendered_configuration(configuration):
    said = promtool("check", "config", configuration)
    assert f"SUCCESS: {configuration} is valid prometheus config file syntax" in said
    assert f"{len(rules('alert'))} rules found" in said


def test_promtool_takes_the_example_without_containers(tmp_path):
    (example,) = re.findall(r"```yaml\n(global:.*?)```", (REPOSITORY / "docs" / "monitoring.md").read_text(), re.DOTALL)
    file = tmp_path / "prometheus.yml"
    file.write_text(example.replace("/srv/fedlora/docker/prometheus/rules", str(RULES)))
    assert "rules found" in promtool("check", "config", file)
    assert {job["job_name"] for job in yaml.safe_load(example)["scrape_configs"]} == {"coordinator", "site"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_rules_do_what_their_tests_say(file):
    assert "SUCCESS" in promtool("test", "rules", file.name, folder=file.parent)


@pytest.mark.parametrize("alert", rules("alert"), ids=lambda rule: rule["alert"])
def test_an_alert_is_seen_firing_and_not(alert):
    tests = [test for file in FILES for test in yaml.safe_load(file.read_text())["tests"]]
    seen = {
        bool(one["exp_alerts"])
        for test in tests
        for one in test.get("alert_rule_test", ())
        if one["alertname"] == alert["alert"]
    }
    assert seen == {True, False}


@pytest.mark.parametrize("alert", rules("alert"), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_where_and_what_to_do(alert):
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert "$labels" in notes["summary"]
    assert "value" in notes["description"]
    severity = alert["labels"]["severity"]
    assert severity in ("critical", "warning") or re.findall(r"critical|warning", severity) == ["critical", "warning"]
    page, _, anchor = notes["runbook_url"].removeprefix(SITE_URL).partition("#")
    headings = re.findall(r"^## (.+)$", (REPOSITORY / page).read_text(), re.MULTILINE)
    assert anchor == alert["alert"].lower()
    assert alert["alert"] in headings


def test_the_runbooks_are_of_these_alerts_and_no_others():
    headings = re.findall(r"^## (Fedlora\w+)$", (REPOSITORY / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert headings == [alert["alert"] for alert in rules("alert")]


def expressions() -> Iterator[tuple[str, str]]:
    """Yield every expression of rules, their texts and dashboards, with where it stands."""
    for rule in [*rules("record"), *rules("alert")]:
        yield rule.get("record") or rule["alert"], rule["expr"]
        for text in rule.get("annotations", {}).values():
            yield f"a text of {rule['alert']}", text
    for query in queries():
        yield query.name, query.expression


def labels_of(name: str) -> set[str]:
    """Return the labels of a metric of the catalogue, or of a recorded series, whose name begins with them."""
    if ":" in name:
        assert name in {rule["record"] for rule in rules("record")}, f"{name} is recorded by no rule"
        return set(name.partition(":")[0].split("_"))
    return {*metric(name).labels, *PROMETHEUS_OWN}


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_every_name_and_label_stands_in_the_catalogue(where, expression):
    all_labels = set(PROMETHEUS_OWN) if expression.startswith("up{") else set()
    for name, matchers in OURS.findall(expression):
        labels = labels_of(name)
        assert {match[1] for match in MATCHER.finditer(matchers)} <= labels, name
        all_labels |= labels
    if "ALERTS{" in expression:
        all_labels |= {"alertname", "alertstate"}
    grouped = {label.strip() for one in GROUPED.findall(expression) for label in one.split(",")} - {""}
    assert grouped <= all_labels
    assert {job for text in re.findall(r'job[=!~]+"([^"]*)"', expression) for job in text.split("|")} <= JOBS
