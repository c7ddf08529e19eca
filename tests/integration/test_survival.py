"""A run that is killed in the middle of a round ends by itself, and with the bits of an undisturbed one.

Real processes; stub trainers, whose updates are known, take a second and a half for each round.
"""

import os
import signal
import subprocess
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from superlink.runs import RunFolder, RunState, verdict
from tests.integration import stub_trainer

ROUNDS = 5


def submit(federation, name="test", **changes) -> RunFolder:
    folder = RunFolder(federation.runs, name)
    folder.submit(federation.config(run=name, rounds=ROUNDS, **changes))
    return folder


def wait(federation, folder, done, seconds=150, revive=True):
    """Wait until `done` says so of the run's ledger, starting dead parts again meanwhile."""
    end = time.monotonic() + seconds
    while True:
        if folder.ledger.exists():
            ledger = Ledger(folder.ledger, readonly=True)
            try:
                if done(ledger):
                    return
            finally:
                ledger.close()
        if revive:
            federation.parts.revive()
        if time.monotonic() > end:
            logs = {name: federation.log(name)[-1500:] for name in ("keeper", "superexec")}
            pytest.fail(f"not after {seconds} s; {verdict(folder)}; {logs}")
        time.sleep(0.1)


def in_round(number):
    return lambda ledger: any(row.number == number and row.state == "training" for row in ledger.rounds())


def finish(federation, folder, seconds=150):
    wait(federation, folder, lambda _: verdict(folder).state.ended, seconds)
    return verdict(folder)


def expected() -> np.ndarray:
    """The adapter of an undisturbed run, computed as the engine does: fp64 mean, fp32 between the rounds."""
    adapter = initial_adapter(stub_trainer.spec(), seed=7)
    for number in range(1, ROUNDS + 1):
        total = np.zeros(adapter.size)
        for delta, weight in ((1.0, 10), (-0.25, 30)):
            total += np.full(adapter.size, np.float32(delta * number), dtype=np.float32).astype(np.float64) * weight
        mean = (total / 40).astype(np.float32)
        adapter = (adapter.astype(np.float64) + mean).astype(np.float32)
    return adapter


def assert_undisturbed(federation, folder):
    """Every round was aggregated once, and the final adapter is the undisturbed run's to the bit."""
    ledger = Ledger(folder.ledger, readonly=True)
    aggregated = [row.number for row in ledger.rounds() if row.state == "aggregated"]
    attempts = [(row.epoch, row.outcome, row.reason) for row in ledger.attempts()]
    ledger.close()
    assert aggregated == list(range(1, ROUNDS + 1)), attempts
    assert attempts[-1][1] == "completed", attempts
    saved = load_file(folder.adapter / "adapter_model.safetensors")
    for name, values in stub_trainer.spec().views(expected()):
        assert saved[name].tobytes() == values.tobytes(), name
    return attempts


def process_of(federation, name: str) -> int:
    """Return the process that a name of the kill tests stands for."""
    owners = {"serverapp": ("superexec", "flwr-serverapp"), "worker": ("site-1-supernode", "supernode.worker")}
    owner, command = owners.get(name, (name, ""))
    leader = next(part.process.pid for part in federation.parts.started if part.name == owner)
    if not command:
        return leader
    group = subprocess.run(["pgrep", "-g", str(leader), "-f", command], capture_output=True, text=True, check=True)
    return int(group.stdout.split()[0])


PARTS = ("superlink", "superexec", "serverapp", "keeper", "site-1-supernode", "worker", "site-1-trainer")


@pytest.mark.parametrize("name", PARTS)
def test_kill_9_in_the_middle_of_a_round(kept, name, figure):
    folder = submit(kept)
    wait(kept, folder, in_round(2))
    killed = time.monotonic()
    os.kill(process_of(kept, name), signal.SIGKILL)
    aggregated = {"count": 0}

    def next_round(ledger):
        aggregated["count"] = sum(row.state == "aggregated" for row in ledger.rounds())
        return aggregated["count"] >= 2

    wait(kept, folder, next_round)
    figure(f"kill -9 of {name}: its round was aggregated {time.monotonic() - killed:.1f} s later")
    assert finish(kept, folder).state is RunState.COMPLETED
    attempts = assert_undisturbed(kept, folder)
    if name in ("serverapp", "superexec"):
        assert len(attempts) == 2
        assert attempts[0][1] == "lost"


def test_kill_9_of_a_whole_site(kept):
    folder = submit(kept)
    wait(kept, folder, in_round(2))
    for part in kept.parts.started:
        if part.name.startswith("site-1"):
            os.killpg(part.process.pid, signal.SIGKILL)
    assert finish(kept, folder).state is RunState.COMPLETED
    assert_undisturbed(kept, folder)


def test_kill_9_of_everything_at_once(kept):
    folder = submit(kept)
    wait(kept, folder, in_round(3))
    for part in kept.parts.started:
        os.killpg(part.process.pid, signal.SIGKILL)
    for part in kept.parts.started:
        part.process.wait()
    assert verdict(folder).state is RunState.RUNNING
    assert finish(kept, folder, 240).state is RunState.COMPLETED
    assert_undisturbed(kept, folder)
