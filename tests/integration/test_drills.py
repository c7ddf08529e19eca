"""`fedlora drill` on a federation of processes, as people type it, with a tiny random model."""

import json
import os
import shutil
import time

import pytest

from fedlora.drills import DRILLS, Place
from fedlora.drills.drill import lacking
from fedlora.processes import free_ports
from tests.integration.test_up import SITES, fedlora, import_shard, status, write_federation

ROUNDS, STEPS = 4, 6
NAMES = list(SITES)
HERE = [drill for drill in DRILLS.values() if Place.PROCESS in drill.needs]
# The supervisor waits longer before each further start of a part that has died within a minute: sites take turns.
CASES = [(drill, NAMES[number % len(NAMES)]) for number, drill in enumerate(HERE)]


@pytest.fixture(scope="module")
def drilled(tmp_path_factory, tiny_model, no_strays):
    """A federation that is up, and a completed run without a fault to compare with."""
    folder = tmp_path_factory.mktemp("drilled") / "machine"
    write_federation(folder, tiny_model, free_ports(6), machine="here")
    file = folder / "federation.toml"
    text = file.read_text().replace(
        "rounds = 3\nsteps = 2", f"rounds = {ROUNDS}\nsteps = {STEPS}\nlength = 48\nbatch = 4"
    )
    file.write_text(f"{text}\n[keeper]\nsilent-seconds = 8.0\n")
    for name in SITES:
        import_shard(folder, name)
    fedlora("up", cwd=folder)
    fedlora("run", "submit", "calm", cwd=folder)
    fedlora("run", "watch", "calm", cwd=folder)
    yield folder
    fedlora("down", "--yes", cwd=folder)
    assert no_strays(folder) == []


@pytest.fixture
def whole(drilled):
    """The federation, once every part of it lives and every node is online."""
    wait_until_whole(drilled)
    return drilled


def wait_until_whole(folder):
    end = time.monotonic() + 120
    while True:
        found = status(folder)
        if all(part["pid"] for part in found["parts"]) and set(found["nodes"].values()) == {"online"}:
            return
        assert time.monotonic() < end, found
        time.sleep(0.5)


@pytest.mark.parametrize(("drill", "site"), CASES, ids=[drill.name for drill, _ in CASES])
def test_nothing_is_lost(drill, site, whole, figure):
    if missing := lacking(drill.needs[Place.PROCESS]):
        assert "CI" not in os.environ, missing
        pytest.skip(f"left out: the drill needs {', '.join(missing)}")
    options = ("--yes", "--site", site, "--reference", "calm", "--seconds", "8", "--format", "json")
    found = json.loads(fedlora("drill", "run", drill.name, *options, cwd=whole))
    back = found["recovery_seconds"]  # none where the run went on and ended while the fault lasted
    figure(
        f"drill {drill.name}: recovered {'meanwhile' if back is None else f'{back:.1f} s after it'}; "
        f"{found['rounds_lost']} rounds and {found['bytes_wasted']:,} of {found['payload_bytes']:,} bytes lost in "
        f"{found['attempts']} attempts"
    )
    assert back is not None or drill.kind in ("slow", "lose")
    assert (found["state"], found["struck_in_round"] >= 2) == ("completed", True)
    if drill.late:  # a site fell out of a round: the aggregate is another one, and nothing else is amiss
        assert (found["same_adapter"], found["turns_lost"]) == (None, 1)
    else:
        assert (found["same_adapter"], found["turns_lost"]) == (True, 0)
    wait_until_whole(whole)  # what a run can do without, as the keeper, is there again as well


def test_without_yes_it_says_what_it_would_do_and_does_nothing(whole):
    before = status(whole)
    said = fedlora("drill", "run", "kill-site", "--site", "clinic", cwd=whole, code=10)
    parts = {part["name"]: part["pid"] for part in before["parts"]}
    for part in ("clinic-trainer", "clinic-supernode"):
        assert f"{part} (process {parts[part]})" in said
    assert "Nothing was done; do it with --yes" in said
    assert status(whole) == before


def test_a_drill_disturbs_no_run_of_others(whole):
    fedlora("run", "submit", "theirs", cwd=whole)
    said = fedlora("drill", "run", "kill-superlink", "--yes", cwd=whole, code=31)
    assert "run theirs has not ended, and a drill would disturb it" in said
    assert "run theirs: completed" in fedlora("run", "watch", "theirs", cwd=whole)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("kill-gateway", "--yes"), "drill kill-gateway runs on compose, and this is process"),
        (("kill-superlnk", "--yes"), "kill-superlink"),
        (("kill-worker", "--yes", "--site", "nobody"), "site nobody takes no part in runs"),
    ],
)
def test_what_cannot_be_drilled_is_named(arguments, said, whole):
    assert said in fedlora("drill", "run", *arguments, cwd=whole, code=10)


def test_a_federation_that_is_down_is_not_drilled(drilled, tmp_path):
    shutil.copy(drilled / "federation.toml", tmp_path)
    assert "start it with fedlora up" in fedlora("drill", "run", "kill-keeper", "--yes", cwd=tmp_path, code=31)
