"""What Prometheus in a container learns of a run in containers; bytes on the wire against the machine's own count."""

import json
import re
import time

import pytest
from deployment import COORDINATOR, SITES, Deployment, wait_until

from fedlora.processes import free_ports

SITE, RUN = SITES[0], "measured"
ETHERNET, IPV4, TCP = 14, 20, 32  # bytes of headers; TCP's with its timestamps, as Linux has them
ASK = (
    "import json, sys, urllib.parse, urllib.request as request\n"
    "url = 'http://127.0.0.1:9090/api/v1/query?' + urllib.parse.urlencode({'query': sys.argv[1]})\n"
    "print(request.urlopen(url, timeout=10).read().decode())"
)
SCRAPE = "import urllib.request as request; print(request.urlopen('http://127.0.0.1:9465/metrics').read().decode())"


def ask(deployment: Deployment, expression: str) -> list[tuple[dict[str, str], float]]:
    """Ask Prometheus, in its container."""
    said = deployment.inside(COORDINATOR, "prometheus", "python3", "-c", ASK, expression)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)["data"]["result"]
    return [(one["metric"], float(one["value"][1])) for one in found]


def on_the_interface(deployment: Deployment) -> dict[str, int]:
    """Return what the supernode's only network has carried, without headers, by direction."""
    text = deployment.inside(SITE, "supernode", "cat", "/proc/net/dev").stdout
    (line,) = re.findall(r"^ *eth\d+:(.*)$", text, re.MULTILINE)
    received, packets_in, *_ = fields = list(map(int, line.split()))
    sent, packets_out = fields[8:10]
    headers = ETHERNET + IPV4 + TCP
    return {"down": received - headers * packets_in, "up": sent - headers * packets_out}


def told_by_the_node(deployment: Deployment) -> dict[str, float]:
    """Return what the node has counted on the wire, of all runs and of none, by direction."""
    text = deployment.inside(SITE, "supernode", "python", "-c", SCRAPE).stdout
    total = {"down": 0.0, "up": 0.0}
    for way, value in re.findall(r'^fedlora_(?:idle_)?wire_bytes_total\{.*direction="(\w+)".*\} (\S+)$', text, re.M):
        total[way] += float(value)
    return total


@pytest.fixture(scope="module")
def measured(deployment):
    """The federation and its Prometheus, after a run; and what the first site's interface and node counted in it."""
    environment = deployment.party(COORDINATOR) / ".env"
    (port,) = free_ports(1)
    environment.write_text(re.sub("(?m)^PROMETHEUS_PORT=.*$", f"PROMETHEUS_PORT={port}", environment.read_text()))
    deployment.compose(COORDINATOR, "--profile", "monitoring", "up", "--detach", "--wait", "prometheus")
    before = on_the_interface(deployment), told_by_the_node(deployment)
    deployment.submit(RUN)
    assert deployment.end(RUN)["state"] == "completed"
    time.sleep(5)  # the meter's next look
    after = on_the_interface(deployment), told_by_the_node(deployment)
    wait_until(
        lambda: bool(ask(deployment, f'fedlora_run_state{{run="{RUN}",state="completed"}} == 1')), "a scrape", 60
    )
    yield [{way: b[way] - a[way] for way in a} for a, b in zip(before, after, strict=True)]
    deployment.compose(COORDINATOR, "--profile", "monitoring", "rm", "--stop", "--force", "prometheus")


def test_every_part_of_the_coordinator_is_scraped(deployment, measured):
    up = {(labels["job"], labels["instance"]): value for labels, value in ask(deployment, "up")}
    assert sorted(job for job, _ in up) == ["coordinator", "gateway", "parts", "parts", "parts"]
    assert set(up.values()) == {1.0}, up
    resident = {labels["part"] for labels, _ in ask(deployment, 'fedlora_resident_memory_bytes{job="parts"} > 1e7')}
    assert resident == {"superlink", "serverapp", "keeper"}


def test_prometheus_has_what_the_ledger_has(deployment, measured):
    turns = deployment.run(RUN)["turns"]
    found = {
        (labels["node"], labels["direction"]): value
        for labels, value in ask(deployment, f'fedlora_payload_bytes_total{{run="{RUN}",job="coordinator"}}')
    }
    assert found == {
        (site, way): sum(turn[f"bytes_{way}"] for turn in turns if turn["site"] == site)
        for site in SITES
        for way in ("down", "up")
    }
    trainers = {labels["node"] for labels, _ in ask(deployment, 'fedlora_resident_memory_bytes{part="trainer"} > 1e8')}
    assert trainers == set(SITES)  # told in-band: Prometheus reaches no site


def test_bytes_on_the_wire_are_those_of_the_interface(measured, figure):
    interface, node = measured
    for way in ("down", "up"):
        figure(f"supernode in a container, {way}: interface {interface[way]}, node {node[way]:.0f} bytes")
        assert node[way] == pytest.approx(interface[way], rel=0.05)
        assert node[way] > 10**6
