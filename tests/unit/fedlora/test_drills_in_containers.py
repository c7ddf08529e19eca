"""What drills of containers are made of, without containers: the observer of runs, and the hold on a relay's link."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlora.cli.drill.compose_field import ComposeField
from fedlora.cli.drill.relay_link import RelayLink
from fedlora.cli.drill.runs import ComposeRuns
from fedlora.errors import ConfigurationError, ProcessDiedError, RunError
from fedlora.federation.writing import new_file, preset_text
from superlink.runs import RunState

OBSERVER = (sys.executable, "-m", "fedlora.cli.drill.observer")
PROGRAMS = ("unshare", "nsenter", "ip", "tc", "iptables")
SEND = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.9.8.2', 9))"


@pytest.fixture
def runs(tmp_path):
    file = new_file(tmp_path / "federation", preset_text("workstation"))
    with ComposeRuns([*OBSERVER, str(file), f"coordinator.runs={tmp_path / 'runs'}"], []) as runs:
        yield runs


def test_runs_are_looked_at_through_an_observer(runs):
    assert runs.under_way() == ""
    runs.submit("first", ["run.deadline=30"])
    found = runs.look("first")
    assert (found.state, found.rounds, len(found.sites)) == (RunState.QUEUED, [], 2)
    assert runs.under_way() == "first"
    runs.stop("first")
    assert runs.look("first").state is not RunState.COMPLETED


def test_what_the_observer_meets_is_told_by_its_name(runs):
    with pytest.raises(RunError, match="elsewhere"):
        runs.look("elsewhere")
    assert runs.under_way() == ""  # and it goes on


def test_an_observer_that_ends_is_told_of():
    with (
        ComposeRuns([sys.executable, "-c", ""], []) as runs,
        pytest.raises(ProcessDiedError, match="images of this version"),
    ):
        runs.under_way()


def test_a_folder_that_was_not_rendered_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="is no folder of fedlora render compose"):
        ComposeField(tmp_path, tmp_path / "ca")


@pytest.fixture
def relay():
    """A process with a network of its own, with a way in and a way out; what `docker inspect` would say of it."""
    if os.geteuid() or not all(map(shutil.which, PROGRAMS)):
        assert "CI" not in os.environ
        pytest.skip(f"left out: it takes root, and {', '.join(PROGRAMS)}")
    process = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    host = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{process.pid}/ns/net").readlink() == host:
        time.sleep(0.01)
    for name, peer, address in (("in0", "in1", "10.9.7.1/24"), ("out0", "out1", "10.9.8.1/24")):
        inside(process, "ip", "link", "add", name, "type", "veth", "peer", "name", peer)
        inside(process, "ip", "address", "add", address, "dev", name)
        for one in (name, peer):
            inside(process, "ip", "link", "set", one, "up")
    networks = {"fed-site_inside": {"IPAddress": "10.9.7.1"}, "fed-site_outside": {"IPAddress": "10.9.8.1"}}
    about = {
        "Config": {"Labels": {"com.docker.compose.project": "fed-site"}},
        "NetworkSettings": {"Networks": networks},
    }
    yield process, about
    process.kill()
    process.wait()


def inside(process, *command, check=True):
    entered = ["nsenter", "--target", str(process.pid), "--net", *command]
    return subprocess.run(entered, check=check, capture_output=True, text=True).stdout


def passes(process):
    entered = ["nsenter", "--target", str(process.pid), "--net", sys.executable, "-I", "-c", SEND]
    return subprocess.run(entered, capture_output=True).returncode == 0


def state(process):
    return inside(process, "iptables", "-S") + inside(process, "tc", "qdisc", "show")


def test_a_link_that_is_cut_lets_nothing_out_until_it_is_mended(relay):
    process, about = relay
    link, before = RelayLink(about, process.pid), state(process)
    assert passes(process)
    link.cut()
    assert not passes(process)
    assert "in0" not in inside(process, "iptables", "-S")  # the way to the supernode stays
    link.mend()
    assert passes(process)
    assert state(process) == before


def test_a_link_is_slow_each_way_and_loses_packets_of_the_way_out(relay):
    process, about = relay
    link, before = RelayLink(about, process.pid), state(process)
    link.slow(1e6, 0.2)
    shaped = [line for line in inside(process, "tc", "qdisc", "show").splitlines() if "tbf" in line]
    assert [("in0" in line, "out0" in line, "rate 1Mbit" in line) for line in shaped] in (
        [(True, False, True), (False, True, True)],
        [(False, True, True), (True, False, True)],
    )
    link.drop(0.05)
    rules = [line for line in inside(process, "iptables", "-S").splitlines() if "statistic" in line]
    assert len(rules) == 2
    assert all("out0" in rule and "0.0499999" in rule for rule in rules)
    link.close()
    assert state(process) == before
