"""A run that is killed in the middle of a round ends by itself, and with the bits of an undisturbed one.

Real processes; stub trainers, whose updates are known, and which hold a round while one of the parts is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from superlink.runs import RunFolder, RunState, verdict
from tests.integration import stub_trainer

ROUNDS = 3
HELD = 600.0  # seconds that a round takes its sites until the test lets it go


def submit(federation, name="", **changes) -> RunFolder:
    folder = RunFolder(federation.runs, name or federation.run)
    # A deadline that a busy machine keeps, too: no test but that of a late site is about it.
    folder.submit(federation.config(**{"run": folder.name, "rounds": ROUNDS, "deadline": 240.0, **changes}))
    return folder


def wait(federation, folder, done, seconds=240, revive=True):
    """Wait until `done` says so of the run's ledger (None before there is one), starting dead parts again meanwhile."""
    end = time.monotonic() + seconds
    while True:
        ledger = Ledger(folder.ledger, readonly=True) if folder.ledger.exists() else None
        try:
            if done(ledger):
                return
        finally:
            if ledger:
                ledger.close()
        if revive:
            federation.revive()
        if time.monotonic() > end:
            logs = {name: federation.log(name)[-1500:] for name in ("keeper", "superexec")}
            pytest.fail(f"not after {seconds} s; {verdict(folder)}; {logs}")
        time.sleep(0.1)


def in_round(number):
    return lambda ledger: (
        ledger is not None and any(row.number == number and row.state == "training" for row in ledger.rounds())
    )


def hold(federation, number):
    """Let no site end a round from round `number` on; those before take no time."""
    for site in federation.sites:
        federation.behave(site, seconds=HELD, from_round=number)


def at_work(federation, folder, number):
    """Whether both trainers have begun a round that has not ended."""
    text = f"run {folder.name}: round {number} has begun"
    return lambda ledger: (
        in_round(number)(ledger) and all(text in federation.log(f"{site}-trainer") for site in federation.sites)
    )


def finish(federation, folder, seconds=240):
    wait(federation, folder, lambda _: verdict(folder).state.ended, seconds)
    return verdict(folder)


def expected(rounds: int = ROUNDS) -> np.ndarray:
    """The adapter of an undisturbed run, computed as the engine does: fp64 mean, fp32 between the rounds."""
    adapter = initial_adapter(stub_trainer.spec(), seed=7)
    for number in range(1, rounds + 1):
        total = np.zeros(adapter.size)
        for delta, weight in ((1.0, 10), (-0.25, 30)):
            total += np.full(adapter.size, np.float32(delta * number), dtype=np.float32).astype(np.float64) * weight
        mean = (total / 40).astype(np.float32)
        adapter = (adapter.astype(np.float64) + mean).astype(np.float32)
    return adapter


def assert_undisturbed(federation, folder, rounds=ROUNDS):
    """Every round was aggregated once, and the final adapter is the undisturbed run's to the bit."""
    ledger = Ledger(folder.ledger, readonly=True)
    aggregated = [row.number for row in ledger.rounds() if row.state == "aggregated"]
    attempts = [(row.epoch, row.outcome, row.reason) for row in ledger.attempts()]
    ledger.close()
    assert aggregated == list(range(1, rounds + 1)), attempts
    assert attempts[-1][1] == "completed", attempts
    saved = load_file(folder.adapter / "adapter_model.safetensors")
    for name, values in stub_trainer.spec().views(expected(rounds)):
        assert saved[name].tobytes() == values.tobytes(), name
    return attempts


def process_of(federation, name: str) -> int:
    """Return the process that a name of the kill tests stands for."""
    if name == "serverapp":  # of several that the SuperExec holds ready, the one that writes the run's ledger
        writers, ledger = set(), str(federation.folder.ledger)
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                if any(os.path.realpath(file) == ledger for file in (process / "fd").iterdir()):
                    writers.add(int(process.name))
        readers = {part.process.pid for part in federation.parts.started if part.name in ("keeper", "exporter")}
        (writer,) = writers - readers - {os.getpid()}
        return writer
    if name == "worker":
        site = federation.part("site-1-supernode").process.pid
        found = subprocess.run(["pgrep", "-g", str(site), "-f", "supernode.worker"], capture_output=True, check=True)
        return int(found.stdout)
    return federation.part(name).process.pid


def ended_for_good(process: int) -> bool:
    """Whether a process has ended; whoever started it may not have asked for its exit code yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


PARTS = ("superlink", "superexec", "serverapp", "keeper", "site-1-supernode", "worker", "site-1-trainer")


@pytest.mark.parametrize("name", PARTS)
def test_a_part_ends_in_the_middle_of_a_round(kept, name, figure):
    """Killed in round 2, and asked to end in round 3, of one run."""
    hold(kept, 2)
    folder = submit(kept, rounds=4)
    for round_number, number in ((2, signal.SIGKILL), (3, signal.SIGTERM)):
        wait(kept, folder, at_work(kept, folder, round_number))
        process, ended = process_of(kept, name), time.monotonic()
        os.kill(process, number)
        hold(kept, round_number + 1)
        wait(kept, folder, lambda ledger, n=round_number: sum(r.state == "aggregated" for r in ledger.rounds()) >= n)
        figure(f"{number.name} of {name}: its round was aggregated {time.monotonic() - ended:.1f} s later")
        wait(kept, folder, lambda _, process=process: ended_for_good(process))
    hold(kept, 5)
    assert finish(kept, folder).state is RunState.COMPLETED
    attempts = assert_undisturbed(kept, folder, rounds=4)
    if name in ("serverapp", "superexec"):
        assert [outcome for _, outcome, _ in attempts] == ["lost", "lost", "completed"]
        assert attempts[0][2].startswith("its ServerApp has been silent for"), attempts  # not after Flower's 55 s
    else:
        assert len(attempts) == 1, attempts


def test_kill_9_of_a_whole_site(kept):
    hold(kept, 2)
    folder = submit(kept)
    wait(kept, folder, at_work(kept, folder, 2))
    for part in kept.parts.started:
        if part.name.startswith("site-1"):
            os.killpg(part.process.pid, signal.SIGKILL)
    hold(kept, 4)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert_undisturbed(kept, folder)


def test_kill_9_of_everything_at_once(kept):
    hold(kept, 2)
    folder = submit(kept)
    wait(kept, folder, at_work(kept, folder, 2))
    for part in kept.parts.started:
        os.killpg(part.process.pid, signal.SIGKILL)
    for part in kept.parts.started:
        part.process.wait()
    assert verdict(folder).state is RunState.RUNNING
    hold(kept, 4)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert_undisturbed(kept, folder)


def outcomes(ledger: Ledger) -> list[tuple[int, str]]:
    return [(turn.round, turn.outcome) for turn in ledger.turns() if turn.site == "site-1"]


def test_a_paused_site_is_late_and_takes_part_again_when_it_goes_on(kept):
    kept.behave("site-1", seconds=HELD, from_round=2)
    folder = submit(kept, deadline=12.0, rounds=99)
    wait(kept, folder, at_work(kept, folder, 2))
    paused = kept.part("site-1-supernode").process.pid
    os.killpg(paused, signal.SIGSTOP)
    try:
        wait(kept, folder, in_round(3))
    finally:
        kept.behave("site-1", seconds=1.5)
        os.killpg(paused, signal.SIGCONT)
    # Its node is back after a round or several; nobody but this test needs a 99th.
    wait(kept, folder, lambda ledger: "answered" in [outcome for number, outcome in outcomes(ledger) if number > 2])
    folder.stop()
    assert finish(kept, folder).state is RunState.STOPPED
    ledger = Ledger(folder.ledger, readonly=True)
    aggregated = [row.number for row in ledger.rounds() if row.state == "aggregated"]
    assert aggregated == list(range(1, len(aggregated) + 1))
    assert outcomes(ledger)[:2] == [(1, "answered"), (2, "late")]
    ledger.close()


def test_a_ledger_that_another_process_holds_for_a_while(kept):
    folder = submit(kept)
    wait(kept, folder, in_round(2))
    # Two seconds between signs of life, and three that a busy machine may take: within the eight that the keeper waits.
    hold = "import sqlite3, sys, time; d = sqlite3.connect(sys.argv[1]); d.execute('BEGIN IMMEDIATE'); time.sleep(3)"
    subprocess.run([sys.executable, "-c", hold, str(folder.ledger)], check=True)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert len(assert_undisturbed(kept, folder)) == 1


@pytest.fixture
def full_disk(kept):
    """A disk of its own below the run's checkpoints, too small for one of them, and a function that makes it larger."""
    folder = RunFolder(kept.runs, kept.run)
    place = folder.directory / "checkpoints"
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode != 0:
        if "CI" in os.environ:
            pytest.fail(f"CI may mount a disk, but: {mounted.stderr}")
        pytest.skip("left out: only root can mount the small disk that this test fills")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=16m", str(place)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_holds_a_run_up_until_there_is_room(kept, full_disk):
    folder = submit(kept)
    wait(kept, folder, lambda ledger: ledger and any("CheckpointError" in row.reason for row in ledger.attempts()))
    full_disk()
    assert finish(kept, folder).state is RunState.COMPLETED
    attempts = assert_undisturbed(kept, folder)
    assert "No space left on device" in attempts[0][2]


def test_a_damaged_checkpoint_costs_its_round_and_no_more(kept):
    """Cut in half while the run is stopped: the one before it is taken, and the log says so."""
    hold(kept, 3)
    folder = submit(kept)
    wait(kept, folder, in_round(3))
    folder.stop()
    assert finish(kept, folder).state is RunState.STOPPED
    hold(kept, 4)
    newest = folder.checkpoints.newest_folder() / "adapter_model.safetensors"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    folder.resume(epoch=1)
    assert finish(kept, folder).state is RunState.COMPLETED
    ledger = Ledger(folder.ledger, readonly=True)
    rounds = [(row.number, row.epoch, row.state) for row in ledger.rounds() if row.state != "training"]
    ledger.close()
    assert rounds == [(1, 1, "aggregated"), (2, 1, "discarded"), (2, 2, "aggregated"), (3, 2, "aggregated")]
    assert "round-0002 is damaged" in folder.log.read_text()
    saved = load_file(folder.adapter / "adapter_model.safetensors")
    for name, values in stub_trainer.spec().views(expected()):
        assert saved[name].tobytes() == values.tobytes(), name
