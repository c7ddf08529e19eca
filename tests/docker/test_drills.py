"""`fedlora drill` on containers, as people type it; that each fault has really been there is looked at from outside."""

import json
import os
import re
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deployment import (
    COORDINATOR,
    HOST,
    SITES,
    USER,
    Deployment,
    docker,
    fedlora,
    give_away,
    sample_records,
    wait_until,
)

from fedlora.drills import DRILLS, Place
from fedlora.drills.drill import lacking
from fedlora.errors import ProcessDiedError
from fedlora.pki.contents import now
from fedlora.pki.reading import ca_fingerprints, read_certificate
from fedlora.processes import free_ports
from superlink.restoring import EPOCHS_BEYOND

RECIPE = """\
[[recipe]]
domain = "finance"
preset = "quick"
rounds = 6
steps = 6
batch = 4
length = 48
rank = 4

[[recipe]]
domain = "medical"
preset = "quick"
rounds = 40
steps = 6
batch = 4
length = 48
rank = 4
"""
ROUNDS, MANY_ROUNDS = 6, 40
# The engine waits longer before each further start of a container that has ended soon: blows take turns.
BLOWS = {  # drill: its site, and what is started again by it
    "kill-superlink": ("finance", [(COORDINATOR, "superlink")]),
    "kill-worker": ("medical", []),  # its supernode begins anew within its container
    "kill-relay": ("code", [("code", "relay")]),
    "kill-serverapp": ("finance", []),
    "kill-trainer": ("finance", [("finance", "trainer")]),
    "kill-gateway": ("finance", [(COORDINATOR, "gateway")]),
    "kill-supernode": ("code", [("code", "supernode")]),
    "kill-site": ("medical", [("medical", service) for service in ("relay", "supernode", "trainer")]),
    "kill-everything": (
        "finance",
        [
            *((COORDINATOR, service) for service in ("superlink", "gateway", "serverapp", "keeper", "exporter")),
            *((site, service) for site in SITES for service in ("relay", "supernode", "trainer")),
        ],
    ),
}
TWO_ATTEMPTS = {"kill-serverapp", "kill-everything", "full-disk"}
Sight = Callable[[], bool]


@pytest.fixture(scope="module")
def drilled(engine: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A federation whose rounds take a second or so, and in it the completed run ``calm``, without a fault."""
    folder = tmp_path_factory.mktemp("drilled")
    made = Deployment(folder / "deploy", f"drilled-{secrets.token_hex(3)}")
    fleet, http = free_ports(2)
    made.render(tiny_model, sample_records(folder / "records"), RECIPE, (fleet, http))
    try:
        made.start()
        made.submit("calm")
        assert made.end("calm")["state"] == "completed"
        yield made
    finally:
        made.remove()


@pytest.fixture
def whole(drilled: Deployment) -> Deployment:
    """The federation, once every container of it runs and every node is online."""

    def is_whole() -> bool:
        if len(started(drilled)) < 5 + 3 * len(SITES):
            return False
        asked = ("exec", "-T", "keeper", "fedlora", "node", "list", "--format", "json")
        said = drilled.compose(COORDINATOR, *asked, check=False)  # nothing while the SuperLink starts
        return {node["status"] for node in json.loads(said or "[]")} == {"online"}

    wait_until(is_whole, "the federation is whole", 180)
    return drilled


def drill(
    name: str, site: str, deployment: Deployment, figure: Callable[[str], None], seconds: int = 6
) -> dict[str, object]:
    """Run a drill; return what it has reported."""
    if missing := lacking(DRILLS[name].needs[Place.COMPOSE]):
        assert "CI" not in os.environ, missing
        pytest.skip(f"left out: the drill needs {', '.join(missing)}")
    options = ("--yes", "--site", site, "--reference", "calm", "--seconds", f"{seconds}", "--format", "json")
    found = dict(json.loads(fedlora("drill", "run", name, deployment.folder, *options)))
    back = found["recovery_seconds"]  # none where the run went on and ended while the fault lasted
    figure(
        f"drill {name} on containers: recovered {'meanwhile' if back is None else f'{back:.1f} s after it'}; "
        f"{found['rounds_lost']} rounds and {found['bytes_wasted']:,} of {found['payload_bytes']:,} bytes lost in "
        f"{found['attempts']} attempts"
    )
    return found


def nothing_lost(found: dict[str, object]) -> None:
    """Check what a drill reports whose fault is to cost no site its turn."""
    assert (found["place"], found["state"], found["same_adapter"], found["turns_lost"]) == (
        *("compose", "completed", True, 0),
    ), found
    assert (found["attempts"] == 2) == (found["drill"] in TWO_ATTEMPTS), found


def started(deployment: Deployment) -> dict[tuple[str, str], str]:
    """Return when each container that runs was started last, by party and service."""
    own = ("--filter", f"name=^{deployment.name}-", "--filter", "label=com.docker.compose.oneoff=False")
    listed = docker("ps", "--quiet", *own).stdout.split()
    said = {}
    for one in json.loads(docker("inspect", *listed).stdout):
        labels = one["Config"]["Labels"]
        party = labels["com.docker.compose.project"].removeprefix(f"{deployment.name}-").removeprefix("site-")
        said[party, labels["com.docker.compose.service"]] = one["State"]["StartedAt"]
    return said


@pytest.mark.parametrize(("name", "site", "again"), [(name, *blow) for name, blow in BLOWS.items()], ids=BLOWS)
def test_a_blow_costs_nothing_that_was_aggregated(name, site, again, whole, figure):
    before = started(whole)
    nothing_lost(drill(name, site, whole, figure))
    after = started(whole)
    assert {one for one in before if before[one] != after.get(one)} == set(again)


@pytest.fixture
def seen() -> Iterator[Callable[[Sight], Callable[[], bool]]]:
    """Look again and again, while the test goes on, whether something is the case; return what says if it ever was."""
    over, found = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def begin(sight: Sight) -> Callable[[], bool]:
        def look() -> None:
            while not over.wait(0.3) and not found.is_set():
                if sight():
                    found.set()

        threads.append(threading.Thread(target=look, daemon=True))
        threads[-1].start()
        return found.is_set

    yield begin
    over.set()
    for thread in threads:
        thread.join()


def relay_says(deployment: Deployment, site: str, *command: str) -> str:
    """Return what a command says in the network of a site's relay."""
    asked = ("inspect", "--format", "{{.State.Pid}}", deployment.container(site, "relay"))
    enter = ("nsenter", "--target", docker(*asked).stdout.strip(), "--net")
    return subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "site", "command", "sign"),
    [
        ("cut-link", "code", ("iptables", "-S"), "-j DROP"),
        ("slow-link", "medical", ("tc", "qdisc", "show"), "tbf"),
        ("lossy-link", "finance", ("iptables", "-S"), "--probability 0.0499"),
    ],
    ids=["cut-link", "slow-link", "lossy-link"],
)
def test_a_bad_link_costs_time_alone(name, site, command, sign, whole, seen, figure):
    was_there = seen(lambda: sign in relay_says(whole, site, *command))
    nothing_lost(drill(name, site, whole, figure))
    assert was_there()
    assert sign not in relay_says(whole, site, *command)


def test_a_supernode_that_stands_still_past_the_deadline_falls_out_of_its_round_alone(whole, seen, figure):
    asked = ("inspect", "--format", "{{.State.Paused}}", whole.container("code", "supernode"))
    was_there = seen(lambda: "true" in docker(*asked).stdout)
    found = drill("pause-supernode", "code", whole, figure, seconds=12)  # the deadline of all rounds
    assert (found["state"], found["turns_lost"], found["same_adapter"]) == ("completed", 1, None)
    assert was_there()
    assert "false" in docker(*asked).stdout


def test_a_disk_that_is_full_is_written_to_again_once_there_is_room(whole, seen, figure):
    asked = ("inspect", "--format", "{{.State.Pid}}", whole.container(COORDINATOR, "serverapp"))
    runs = Path(f"/proc/{docker(*asked).stdout.strip()}/root/var/lib/fedlora/runs")

    def is_full() -> bool:
        return any(
            folder.is_mount() and os.statvfs(folder).f_bavail == 0 for folder in runs.glob("full-disk-*/checkpoints")
        )

    was_there = seen(is_full)
    found = drill("full-disk", "finance", whole, figure)
    nothing_lost(found)
    assert was_there()
    (folder,) = runs.glob("full-disk-*/checkpoints")
    assert not folder.is_mount()
    assert whole.run(str(found["run"]))["rounds_done"] == ROUNDS


def test_an_expired_certificate_stops_nothing_for_good(whole, seen, figure):
    file = whole.party(COORDINATOR) / "secrets" / "server.crt"
    before = file.stat(), file.read_bytes()
    was_there = seen(lambda: read_certificate(file).not_valid_after_utc < now())
    found = drill("expired-certificate", "finance", whole, figure)
    assert (found["state"], found["same_adapter"], found["turns_lost"]) == ("completed", True, 0)
    assert was_there()
    after = file.stat()
    assert file.read_bytes() == before[1]
    assert (after.st_ino, after.st_uid, after.st_mode) == (before[0].st_ino, before[0].st_uid, before[0].st_mode)


def test_a_coordinator_whose_volumes_are_lost_in_the_middle_of_a_run_goes_on_from_its_backup(whole, figure):
    backups = whole.party(COORDINATOR) / "backups"
    backups.mkdir()
    give_away(backups, USER)
    whole.submit("lost")
    wait_until(lambda: whole.run("lost")["rounds_done"] >= 1, "round 1 of run lost", 120)
    saved = json.loads(whole.compose(COORDINATOR, "run", "--rm", "backup", "/backups/noon", "--format", "json"))
    assert saved["runs"].keys() >= {"calm", "lost"}
    assert "keys" not in {Path(name).parts[0] for name in saved["files"]}
    wait_until(lambda: whole.run("lost")["rounds_done"] > saved["runs"]["lost"], "a round after the backup", 120)

    whole.down(COORDINATOR)
    left = docker("volume", "ls", "--format", "{{.Name}}").stdout.split()
    assert not [name for name in left if name.startswith(f"{whole.name}-coordinator_")]
    began = time.monotonic()
    whole.compose(COORDINATOR, "run", "--rm", "restore", "/backups/noon", "--sha256", saved["sha256"])
    whole.start_coordinator()
    whole.join_links()
    assert whole.end("lost")["state"] == "completed"
    figure(f"a coordinator's volumes lost: restored from round {saved['runs']['lost']} of {ROUNDS}, and complete after "
           f"{time.monotonic() - began:.0f} s")  # fmt: skip
    ended = whole.run("lost")
    assert ended["rounds_done"] == ROUNDS
    assert ended["attempts"][-1]["epoch"] > EPOCHS_BEYOND
    assert adapter_of(whole, "lost") == adapter_of(whole, "calm")


def adapter_of(deployment: Deployment, run: str) -> str:
    """Return the SHA-256 of a run's last adapter."""
    file = f"/var/lib/fedlora/runs/{run}/checkpoints/round-{ROUNDS:04d}/adapter_model.safetensors"
    said = deployment.inside(COORDINATOR, "keeper", "sha256sum", file)
    assert said.returncode == 0, said.stderr
    return said.stdout.split()[0]


def test_the_ca_that_is_on_no_machine_of_containers_is_exchanged_in_the_middle_of_a_run(whole, tmp_path, figure):
    new, old = tmp_path / "new", (whole.ca / "ca.crt").read_bytes()
    whole.submit("exchanged", "--set", "run.recipe=medical/quick")
    wait_until(lambda: whole.run("exchanged")["rounds_done"] >= 1, "round 1 of run exchanged", 120)
    began = time.monotonic()
    fedlora("pki", "rotate", whole.ca, "begin", "--yes")
    bring(whole, whole.ca / "ca.crt", COORDINATOR, "secrets/ca.crt")
    whole.compose(COORDINATOR, "restart", "keeper", "serverapp", "exporter")
    with pytest.raises(ProcessDiedError, match=r"not every site trusts the new CA .*finance \(online, trusts the old"):
        switch(whole, tmp_path)
    for site in SITES:
        bring(whole, whole.ca / "ca.crt", site, "ca.crt")
        whole.compose(site, "restart", "supernode")
    wait_until(lambda: all(len(one["authorities"]) == 2 for one in trust(whole)["sites"]), "all trust both CAs", 240)
    assert whole.run("exchanged")["state"] == "running"
    switch(whole, tmp_path)
    fedlora("pki", "coordinator", whole.ca, "--federation", whole.folder / "federation.toml", "--to", new)
    for file in new.iterdir():
        bring(whole, file, COORDINATOR, f"secrets/{file.name}")
    whole.compose(COORDINATOR, "restart")
    ended = whole.end("exchanged")
    assert (ended["state"], ended["rounds_done"]) == ("completed", MANY_ROUNDS)
    aggregated = {(row["number"], row["epoch"]) for row in ended["rounds_of_attempts"] if row["state"] == "aggregated"}
    turns = [turn for turn in ended["turns"] if (turn["round"], turn["epoch"]) in aggregated]
    assert [turn["outcome"] for turn in turns] == ["answered"] * len(SITES) * MANY_ROUNDS
    figure(f"the CA exchanged in containers, in a run of {MANY_ROUNDS} rounds: {time.monotonic() - began:.0f} s, "
           f"{len(ended['attempts'])} attempts")  # fmt: skip
    assert (served(whole, old), served(whole, (whole.ca / "ca.crt").read_bytes())) == (False, True)

    fedlora("pki", "rotate", whole.ca, "end", "--yes")
    for party, place in ((COORDINATOR, "secrets/ca.crt"), *((site, "ca.crt") for site in SITES)):
        bring(whole, whole.ca / "ca.crt", party, place)
    sha256 = ca_fingerprints(whole.ca / "ca.crt")[0]
    for site in SITES:
        environment = whole.party(site) / ".env"
        environment.write_text(re.sub("(?m)^CA_SHA256=.*$", f"CA_SHA256={sha256}", environment.read_text()))
        whole.compose(site, "up", "--detach", "--force-recreate", "supernode")
    whole.compose(COORDINATOR, "restart", "keeper", "serverapp", "exporter")
    whole.submit("afterwards")
    assert whole.end("afterwards")["state"] == "completed"
    assert whole.run("calm")["state"] == "completed"


def bring(deployment: Deployment, file: Path, party: str, place: str) -> None:
    """Put a file in the place of one that a party's containers read, whose inode, owner and mode stay."""
    target = deployment.party(party) / place
    mode = target.stat().st_mode
    target.chmod(0o600)
    target.write_bytes(file.read_bytes())
    target.chmod(mode)


def trust(deployment: Deployment) -> dict[str, list[dict[str, object]]]:
    """Return what each site has said that it trusts; nobody as long as the coordinator's parts start."""
    asked = ("exec", "-T", "keeper", "fedlora", "pki", "trust", "--format", "json")
    said = deployment.compose(COORDINATOR, *asked, check=False)
    return dict(json.loads(said or '{"sites": [{"authorities": []}]}'))


def switch(deployment: Deployment, folder: Path) -> None:
    """Let the new CA sign, by what sites have told the coordinator, which is on another machine."""
    wait_until(lambda: "made_at" in trust(deployment), "the keeper notes nodes", 120)
    (folder / "trust.json").write_text(json.dumps(trust(deployment)))
    fedlora("pki", "rotate", deployment.ca, "switch", "--trust", folder / "trust.json", "--yes")


def served(deployment: Deployment, authority: bytes) -> bool:
    """Whether who trusts `authority` alone accepts the SuperLink that the fleet port leads to."""
    context = ssl.create_default_context(cadata=authority.decode().partition("-----END CERTIFICATE-----\n")[0]
                                         + "-----END CERTIFICATE-----\n")  # fmt: skip
    with socket.create_connection(("127.0.0.1", deployment.ports[0]), 10) as plain:
        try:
            context.wrap_socket(plain, server_hostname=HOST).close()
        except ssl.SSLCertVerificationError:
            return False
    return True


def test_without_yes_nothing_is_done(whole):
    before = started(whole)
    with pytest.raises(ProcessDiedError, match=r"would kill -9 of service relay of code.*Nothing was done"):
        fedlora("drill", "run", "kill-relay", whole.folder, "--site", "code")
    assert started(whole) == before


def test_what_does_not_run_is_named(whole, tmp_path):
    elsewhere = tmp_path / "deploy"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "fedlora", "drill", "run", "kill-relay", str(elsewhere), "--yes"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, "is no folder of fedlora render compose" in done.stderr) == (10, True)
    whole.compose("medical", "stop", "relay")
    try:
        with pytest.raises(ProcessDiedError, match="relay of medical does not run"):
            fedlora("drill", "run", "kill-relay", whole.folder, "--yes")
    finally:
        whole.compose("medical", "up", "--detach", "relay")
