"""The charts with real pods, in this order: `helm test`, a run, an upgrade in the middle of one, a rollback, end."""

import json
import re

import pytest
from installation import SITES, Cluster, CommandError, call, wait_until

PARTIES = ("coordinator", *SITES)
RUN_SECONDS = 1200.0


@pytest.mark.parametrize("party", PARTIES)
def test_what_helm_itself_tests(cluster, party):
    assert re.search(r"Phase:\s+Succeeded", cluster.helm(party, "test", party, "--timeout", "5m"))


@pytest.mark.parametrize("party", PARTIES)
def test_no_pod_has_more_rights_than_it_needs(cluster, party):
    for pod in cluster.pods(party):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsUser"] == 49999
        assert not any("serviceAccount" in str(volume) for volume in spec["volumes"])
        for status in pod["status"]["containerStatuses"]:
            assert status["ready"], pod["metadata"]["name"]
            said = cluster.inside(party, pod["metadata"]["labels"]["app.kubernetes.io/component"], status["name"],
                                  "sh", "-c", "id -u; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; "
                                  "touch /here 2>&1 || true")  # fmt: skip
            lines = said.splitlines()
            assert lines[0] == "49999"
            facts = dict(line.split(":\t") for line in lines[1:4])
            assert facts == {"CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}, status["name"]
            assert "Read-only file system" in said


@pytest.mark.parametrize("site", SITES)
def test_a_trainer_has_a_filter_of_its_own_against_the_network(cluster, site):
    # Containers of a pod share a network. Each filter that a process has is on top of those of its parent.
    look = (
        "import pathlib\n"
        "for folder in pathlib.Path('/proc').iterdir():\n"
        "    if folder.name.isdigit():\n"
        "        words = (folder / 'cmdline').read_bytes().split(b'\\0')\n"
        "        status = (folder / 'status').read_text()\n"
        "        count = status.partition('Seccomp_filters:')[2].split()\n"
        "        print(b'supernode.trainer' in words and b'tini' not in words[0], words[0] == b'tini', *count[:1])\n"
    )
    rows = [line.split() for line in cluster.inside(site, "supernode", "trainer", "python", "-c", look).splitlines()]
    (initial,) = (int(row[2]) for row in rows if row[1] == "True")
    trainers = [int(row[2]) for row in rows if row[0] == "True"]
    assert trainers
    assert all(count == initial + 1 for count in trainers)
    for family in ("AF_INET", "AF_INET6"):
        tried = (
            "from supernode.trainer.confinement import deny_network; import socket; deny_network(); "
            f"socket.socket(socket.{family})"
        )
        with pytest.raises(CommandError, match=r"PermissionError|Operation not permitted|not supported"):
            cluster.inside(site, "supernode", "trainer", "python", "-c", tried)


@pytest.mark.parametrize("site", SITES)
def test_neither_compartment_holds_what_is_the_others(cluster, site):
    held = {name: cluster.inside(site, "supernode", name, "sh", "-c", "ls -R /site /shard /model 2>&1 || true")
            for name in ("supernode", "trainer")}  # fmt: skip
    assert "finance.jsonl" in held["trainer"]
    assert "node.key" not in held["trainer"]
    assert "node.key" in held["supernode"]
    assert "finance.jsonl" not in held["supernode"]
    assert "model.safetensors" not in held["supernode"]


def finished(cluster: Cluster, run: str) -> dict:
    def state() -> str:
        return "\n".join(cluster.condition(party) for party in PARTIES)

    wait_until(
        lambda: cluster.run(run)["state"] not in ("queued", "running", "unknown"), f"run {run}", RUN_SECONDS, state
    )
    return cluster.run(run)


def participants(run: dict) -> dict[int, set[str]]:
    """Return who was counted in each aggregated round."""
    rounds = {one["number"] for one in run["rounds_of_attempts"] if one["state"] == "aggregated"}
    return {
        number: {turn["site"] for turn in run["turns"] if turn["round"] == number and turn["outcome"] == "answered"}
        for number in rounds
    }


def test_two_rounds_with_two_sites(cluster):
    nodes = json.loads(cluster.ask("node", "list", "--format", "json"))
    assert {node["name"]: node["status"] for node in nodes} == dict.fromkeys(SITES, "online")
    cluster.ask("run", "submit", "first", "/etc/fedlora/federation.toml")
    run = finished(cluster, "first")
    assert run["state"] == "completed", run
    assert participants(run) == {1: set(SITES), 2: set(SITES)}


def test_an_upgrade_in_the_middle_of_a_run_loses_nothing(cluster):
    before = {party: {pod["metadata"]["uid"] for pod in cluster.pods(party)} for party in PARTIES}
    cluster.ask("run", "submit", "second", "/etc/fedlora/federation.toml", "--set", "run.recipe=finance/default")
    wait_until(lambda: len(participants(cluster.run("second"))) >= 1, "the first round", RUN_SECONDS)
    for party in PARTIES:
        cluster.install(party, "--set", "podAnnotations.upgraded=yes", verb="upgrade")
    for party in PARTIES:
        pods = cluster.pods(party)
        assert {pod["metadata"]["annotations"].get("upgraded") for pod in pods} == {"yes"}
        assert before[party].isdisjoint(pod["metadata"]["uid"] for pod in pods)
    run = finished(cluster, "second")
    assert run["state"] == "completed", run
    assert participants(run) == {number: set(SITES) for number in range(1, 5)}


def test_a_rollback_goes_on_with_what_was_there(cluster):
    for party in PARTIES:
        cluster.helm(party, "rollback", party, "1", "--wait", "--timeout", "15m")
        assert {pod["metadata"]["annotations"].get("upgraded") for pod in cluster.pods(party)} == {None}
    for run in ("first", "second"):
        assert cluster.run(run)["state"] == "completed"
    cluster.ask("run", "submit", "third", "/etc/fedlora/federation.toml")
    run = finished(cluster, "third")
    assert run["state"] == "completed", run
    assert participants(run) == {1: set(SITES), 2: set(SITES)}


def test_what_is_uninstalled_leaves_its_claims_and_nothing_else(cluster):
    for party in reversed(PARTIES):
        cluster.helm(party, "uninstall", party, "--wait", "--timeout", "5m")
    kinds = (
        "pods,statefulsets,deployments,services,configmaps,networkpolicies,poddisruptionbudgets,persistentvolumeclaims"
    )
    for party in PARTIES:
        wait_until(lambda party=party: not cluster.pods(party), f"the pods of {party} are gone", 120)
        listed = call("kubectl", "--namespace", cluster.namespace(party), "get", kinds, "-o", "json",
                      "-l", "app.kubernetes.io/part-of=fedlora")  # fmt: skip
        left = {(one["kind"], one["metadata"]["name"].rpartition("-")[2]) for one in json.loads(listed)["items"]}
        wanted = ("superlink", "runs") if party == "coordinator" else ("supernode", "trainer", "model")
        assert left == {("PersistentVolumeClaim", name) for name in wanted}
