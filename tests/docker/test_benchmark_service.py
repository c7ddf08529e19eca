"""The service that scores rounds in benchmarks: in its container, beside a federation."""

import json
import re

import pytest
from deployment import COORDINATOR, docker, wait_until

RESULTS = "/var/lib/fedlora/runs/first/benchmarks"
SECONDS = 600
# Made up; what a model says to them does not matter.
ITEMS = [
    {"id": f"item-{number}", "question": f"Which of these has {number} legs?", "cop": number % 4,
     **dict(zip(("opa", "opb", "opc", "opd"), ("an ant", "a bird", "a cat", "a snake"), strict=True))}
    for number in range(6)
]  # fmt: skip


@pytest.fixture(scope="module")
def service(deployment, trained):
    """The service, scoring the third round of the run that has ended."""
    party = deployment.party(COORDINATOR)
    (party / "benchmarks").mkdir()
    items = party / "benchmarks" / "medmcqa.jsonl"
    items.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    items.chmod(0o644)
    environment = party / ".env"
    told = re.sub("(?m)^BENCHMARK_ROUNDS=.*$", "BENCHMARK_ROUNDS=3", environment.read_text())
    environment.write_text(re.sub("(?m)^MODEL=.*$", f"MODEL={deployment.folder / 'model'}", told))
    deployment.compose(COORDINATOR, "--profile", "benchmarks", "up", "--detach", "benchmarks")
    yield deployment.compose(COORDINATOR, "--profile", "*", "ps", "--all", "--quiet", "benchmarks").strip()
    deployment.compose(COORDINATOR, "--profile", "*", "rm", "--stop", "--force", "benchmarks")


def scores(deployment, who):
    """Return the scores of a model by scoring; none as long as there are none."""
    found = {}
    for scoring in ("flowertune", "likelihood"):
        file = f"{RESULTS}/{who}/medmcqa/{scoring}/score.json"
        done = deployment.inside(COORDINATOR, "keeper", "cat", file)
        if done.returncode == 0:
            found[scoring] = json.loads(done.stdout)
    return found


def test_a_round_is_scored_though_the_service_is_killed(deployment, service):
    answers = f"cat {RESULTS}/base/medmcqa/*/answers.jsonl"

    def answered() -> bool:
        return bool(deployment.inside(COORDINATOR, "keeper", "sh", "-c", answers).stdout)

    wait_until(answered, "the first answers", SECONDS)
    docker("kill", "--signal", "KILL", service)
    docker("start", service, check=False)  # a kill by hand is final for Docker; a death is not
    wait_until(lambda: len(scores(deployment, "round-0003")) == 2, "the scores of round 3", SECONDS)
    for who in ("base", "round-0003"):
        for scoring, score in scores(deployment, who).items():
            assert score["accuracy"]["n"] == len(ITEMS), (who, scoring)
    lines = deployment.inside(COORDINATOR, "keeper", "sh", "-c", answers).stdout.splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(item["id"] for item in ITEMS for _ in range(2))


def test_it_has_no_network_and_the_lowest_rank(service):
    (described,) = json.loads(docker("inspect", service).stdout)
    assert described["HostConfig"]["NetworkMode"] == "none"
    assert described["HostConfig"]["CpuShares"] == 64
    looked = docker("exec", service, "cat", "/proc/1/oom_score_adj").stdout
    assert int(looked) == 500


def test_its_scores_are_exported(deployment, service):
    def exported() -> set[str]:
        text = deployment.inside(
            COORDINATOR, "exporter", "python", "-c",
            "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9464/metrics').read().decode())",
        ).stdout  # fmt: skip
        return set(re.findall(r'fedlora_evaluation_score_ratio\{benchmark="([^"]*)",model="([^"]*)",run="first"', text))

    wanted = {(f"medmcqa by {scoring}", who) for scoring in ("flowertune", "likelihood") for who in ("base", "adapted")}
    wait_until(lambda: wanted <= exported(), "the scores among the metrics", 60)
