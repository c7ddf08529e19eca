"""`fedlora up|status|down` and everything before and after, as people type it, with a tiny random model."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedlora.domains import domain
from fedlora.processes import free_ports

FEDLORA = str(Path(sys.executable).with_name("fedlora"))
SITES = {"bank": "finance", "clinic": "medical", "lab": "code"}


def fedlora(*arguments: object, cwd: Path, code: int = 0) -> str:
    """Run a command, check its exit code, and return stdout, or stderr where it failed."""
    done = subprocess.run(
        [FEDLORA, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def write_federation(folder: Path, model: Path, ports: list[int], *, machine: str = "") -> None:
    """Write a federation of three sites in three domains, whose runs take place at all of them."""
    fleet, http, metrics, *runtime = ports
    lines = [
        f'name = "trio"\nbase-model = "{model}"\n[coordinator]\nhost = "127.0.0.1"\nmachine = "{machine}"',
        f"fleet-port = {fleet}\nhttp-port = {http}\nmetrics-port = {metrics}",
        f"[run]\ndomains = {json.dumps(list(SITES.values()))}\nmin-sites = 3\nabsence = 20.0",
        '[[recipe]]\ndomain = "finance"\npreset = "quick"\nrounds = 3\nsteps = 2\nrank = 4',
    ]
    lines += [
        f'[[site]]\nname = "{name}"\ndomain = "{held}"\nshard = "shards/{name}"\nmachine = "{machine}"\n'
        f"runtime-port = {port}\nmetrics-port = 0"
        for (name, held), port in zip(SITES.items(), runtime, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "federation.toml").write_text("\n".join(lines) + "\n")


def import_shard(folder: Path, name: str) -> None:
    held = domain(SITES[name])
    fedlora("shard", "import", held.sample("train"), f"shards/{name}", "--domain", held.name, cwd=folder)


def status(folder: Path) -> dict:
    return json.loads(fedlora("status", "--format", "json", cwd=folder))


@pytest.fixture
def machine(tmp_path, tiny_model, no_strays):
    """One machine with the whole federation's file and shards; whatever was started ends with the test."""
    folder = tmp_path / "machine"
    write_federation(folder, tiny_model, free_ports(6), machine="here")
    for name in SITES:
        import_shard(folder, name)
    yield folder
    fedlora("down", "--yes", cwd=folder)
    assert no_strays(folder) == []


def test_up_keeps_every_part_alive_and_down_stops_it(machine, no_strays):
    assert fedlora("up", cwd=machine) == (
        "trio is up. See it with: fedlora status federation.toml; stop it with: fedlora down federation.toml\n"
    )
    found = status(machine)
    parts = [f"{name}-{kind}" for name in SITES for kind in ("trainer", "supernode")]
    assert [part["name"] for part in found["parts"]] == ["superlink", "superexec", "keeper", "exporter", *parts]
    assert found["nodes"] == dict.fromkeys(SITES, "online")
    assert (found["stage"], found["runs"]) == ("ready", [])

    again = fedlora("up", cwd=machine, code=34)
    assert f"run already, under process {found['supervisor']}; see them with fedlora status" in again

    fedlora("run", "submit", "tweets", cwd=machine)
    trainer = next(part for part in found["parts"] if part["name"] == "clinic-trainer")
    os.kill(trainer["pid"], signal.SIGKILL)
    watched = fedlora("run", "watch", "tweets", cwd=machine)
    assert "run tweets: completed, 3 of 3 rounds" in watched
    killed = next(part for part in status(machine)["parts"] if part["name"] == "clinic-trainer")
    assert (killed["restarts"], killed["ending"]) == (1, "by signal SIGKILL")
    assert killed["pid"] not in (0, trainer["pid"])
    assert [(run["name"], run["state"]) for run in status(machine)["runs"]] == [("tweets", "completed")]

    fedlora("run", "submit", "alone", "--site", "lab", "--set", "run.min-sites=1", cwd=machine)
    assert "run alone: completed, 3 of 3 rounds" in fedlora("run", "watch", "alone", cwd=machine)
    shown = json.loads(fedlora("run", "show", "alone", "--format", "json", cwd=machine))
    assert [(turn["site"], turn["outcome"]) for turn in shown["turns"]] == [("lab", "answered")] * 3

    assert fedlora("down", cwd=machine) == "trio is down: 10 parts stopped\n"
    assert no_strays(machine) == []
    assert status(machine)["stage"] == "down"
    assert "trio is not up" in fedlora("down", cwd=machine)


def test_a_run_that_down_interrupted_goes_on_at_the_next_up(machine):
    fedlora("up", cwd=machine)
    fedlora("run", "submit", "long", "--set", "recipe.finance.rounds=3", cwd=machine)
    wait(lambda: status(machine)["runs"][0]["state"] == "running")
    assert "Stop the federation?" in fedlora("down", cwd=machine, code=1)  # nobody says yes
    assert status(machine)["stage"] == "ready"
    fedlora("down", "--yes", cwd=machine)
    fedlora("up", cwd=machine)
    assert "run long: completed, 3 of 3 rounds" in fedlora("run", "watch", "long", cwd=machine)


def test_the_supervisor_killed_takes_its_parts_with_it(machine, no_strays):
    fedlora("up", cwd=machine)
    os.kill(status(machine)["supervisor"], signal.SIGKILL)
    wait(lambda: no_strays(machine) == [])
    assert status(machine)["stage"] == "down"


def test_ctrl_c_while_it_starts_stops_what_was_started(machine, no_strays):
    starting = subprocess.Popen(
        [FEDLORA, "up"],
        cwd=machine,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait(lambda: any("flower-superlink" in line for line in no_strays(machine)))
    starting.send_signal(signal.SIGINT)
    said = starting.communicate(timeout=60)[1]
    assert (starting.returncode, "stopping what has been started" in said) == (130, True)
    assert "- made anew: CA, SuperLink certificate, key of node bank, key of node clinic, key of node lab\n" in said
    assert no_strays(machine) == []


def break_shard(machine: Path) -> None:
    data = next((machine / "shards" / "lab").glob("*.jsonl*"))
    data.chmod(0o600)
    data.write_bytes(data.read_bytes() + b"\n")


def lose_key(machine: Path) -> None:
    fedlora("node", "keygen", "state/bank", cwd=machine)
    (machine / "state" / "bank" / "node.key").unlink()


def open_key(machine: Path) -> None:
    fedlora("node", "keygen", "state/bank", cwd=machine)
    (machine / "state" / "bank" / "node.key").chmod(0o644)


def certify_another(machine: Path) -> None:
    fedlora("pki", "init", "state/coordinator", "--federation", "trio", cwd=machine)
    fedlora("pki", "server", "state/coordinator", "--name", "another.example", cwd=machine)


def block_state(machine: Path) -> None:
    (machine / "state").write_text("a file where the folder would be")


@pytest.mark.parametrize(
    ("spoil", "options", "code", "message"),
    [
        (break_shard, (), 11, "shards/lab"),
        (lose_key, (), 20, "cannot read the node key"),
        (open_key, (), 20, "node.key has mode 0644: others may read it; run: chmod 600"),
        (certify_another, (), 20, "server.crt is for another.example, not for 127.0.0.1, superlink, localhost"),
        (block_state, (), 10, "cannot be written"),
        (lambda _: None, ("--only", "bakery"), 10, "bakery is no part of this federation; it has coordinator, bank,"),
        (lambda _: None, ("--set", "site.lab.machine=there"), 10, "spreads this federation over several machines"),
        (lambda _: None, ("--set", f"base-model-sha256={'0' * 64}"), 12, f"{'0' * 64}"),
        (lambda _: None, ("--set", "base-model=nowhere"), 12, "base model 'nowhere' is neither a folder"),
    ],
)
def test_what_is_wrong_is_named_before_anything_starts(machine, spoil, options, code, message):
    spoil(machine)
    assert message in " ".join(fedlora("up", *options, cwd=machine, code=code).split())
    assert not list((machine / "state" / "logs").glob("superlink.log")) if (machine / "state").is_dir() else True
    if (machine / "state").is_file():
        (machine / "state").unlink()


def test_a_port_in_use_is_named_before_anything_starts(machine):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = fedlora("up", "--set", f"site.lab.runtime-port={port}", cwd=machine, code=32)
    assert f"port {port} (supernode of lab) on 127.0.0.1 is in use" in said
    assert not list((machine / "state").glob("coordinator"))


def test_the_whole_path_with_four_parties(tmp_path, tiny_model, no_strays):
    """A coordinator and three sites, each with its own copy of the file; only public things go from one to another."""
    ports = free_ports(6)
    parties = {name: tmp_path / name for name in ("coordinator", *SITES)}
    for folder in parties.values():
        write_federation(folder, tiny_model, ports)
        validated = fedlora("config", "validate", cwd=folder)
        assert validated == (
            "federation.toml: federation trio, 3 site(s); runs train finance/quick at bank, clinic, lab\n"
        )
    coordinator = parties["coordinator"]
    try:
        fedlora("pki", "init", "state/coordinator", "--federation", "trio", cwd=coordinator)
        fedlora("pki", "server", "state/coordinator", "--federation", "federation.toml", cwd=coordinator)
        fedlora("up", "--only", "coordinator", cwd=coordinator)
        there = ("--superlink", f"127.0.0.1:{ports[1]}", "--ca-certificate", "state/coordinator/ca.crt")
        for name in SITES:
            fedlora("node", "keygen", f"state/{name}", cwd=parties[name])
            shutil.copy(coordinator / "state" / "coordinator" / "ca.crt", parties[name] / "state" / name)
            shutil.copy(parties[name] / "state" / name / "node.key.pub", coordinator / f"{name}.pub")
            fedlora("node", "register", name, f"{name}.pub", *there, cwd=coordinator)
            import_shard(parties[name], name)
            fedlora("up", "--only", name, cwd=parties[name])
        listed = json.loads(fedlora("node", "list", *there, "--format", "json", cwd=coordinator))
        assert {node["name"]: node["status"] for node in listed} == dict.fromkeys(SITES, "online")
        assert "3 sites, 3 rounds" in fedlora("run", "submit", "tweets", cwd=coordinator)
        watched = fedlora("run", "watch", "tweets", cwd=coordinator)
        shown = json.loads(fedlora("run", "show", "tweets", "--format", "json", cwd=coordinator))
    finally:
        down = [fedlora("down", "--yes", cwd=folder) for folder in parties.values()]
    assert "run tweets: completed, 3 of 3 rounds" in watched
    assert [(turn["round"], turn["site"], turn["outcome"]) for turn in shown["turns"]] == [
        (number, name, "answered") for number in (1, 2, 3) for name in SITES
    ]
    assert down == ["trio is down: 4 parts stopped\n", *["trio is down: 2 parts stopped\n"] * 3]
    assert no_strays(tmp_path) == []
    keys = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.key")}
    assert keys == {
        "coordinator/state/coordinator/ca.key",
        "coordinator/state/coordinator/server.key",
        *(f"{name}/state/{name}/node.key" for name in SITES),
    }


def wait(ready, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.2)
