"""Sites that come late, leave, answer twice or are not needed: who takes part in a round, over the real engine."""

import os
import re
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedlora import flower
from fedlora.processes import free_ports
from tests.integration import stub_trainer

HELD = 600.0  # seconds that a stub takes until the test lets it go


@contextmanager
def a_run(federation, **changes):
    """A run in whose first round the block is executed; it must complete, and has ended after the block."""
    with federation.control() as control:
        run_id = control.start_run(flower.app_bundle(), federation.config(**changes).to_flower())
        try:
            wait_until(federation, lambda _: True)
            yield
            federation.parts.wait_until(lambda: control.attempt(run_id).finished, "the run", 120)
            assert control.attempt(run_id).outcome == "completed", control.attempt(run_id)
        finally:
            if not control.attempt(run_id).finished:  # the test has failed; those after it shall not wait for its run
                control.stop_run(run_id)


def wait_until(federation, done, seconds=90):
    """Wait until round 1 has begun and `done` says so of the turns."""

    def ready():
        return federation.folder.ledger.exists() and federation.ledger().rounds() and done(federation.ledger().turns())

    federation.parts.wait_until(ready, "the run", seconds)


def turns_of(federation, site):
    return [turn for turn in federation.ledger().turns() if turn.site == site]


def outcomes(federation, site):
    return [(turn.outcome, turn.reason) for turn in turns_of(federation, site)]


def test_over_sampling_closes_the_round_and_counts_what_comes_after(running):
    running.behave("site-1", seconds=HELD, from_round=2)
    running.behave("site-2", seconds=HELD)
    with a_run(running, rounds=2, fraction=0.5, over_sampling=1):
        wait_until(running, lambda turns: turns[-1].round == 2)
        running.behave("site-2", seconds=HELD, from_round=2)
        wait_until(running, lambda turns: turns[1].dropped == 1)  # its answer for round 1 came in round 2
        running.behave("site-1")
    assert outcomes(running, "site-1") == [("answered", "")] * 2
    assert set(outcomes(running, "site-2")) == {("late", "the round was closed: it had its updates")}
    first, _ = turns_of(running, "site-2")
    values = 4 * stub_trainer.spec().size
    assert first.tries == 1
    assert values < first.bytes_up < values + 1000


def test_a_site_that_is_not_there_at_first_joins_before_the_next_round(running):
    running.end_part("site-2-supernode")
    running.behave("site-1", seconds=HELD)
    with a_run(running, rounds=3, join_timeout=2.0, absence=1.0):
        running.start_supernode("site-2")
        running.parts.wait_until(lambda: running.status("site-2") == "online", "site-2", 90)
        running.behave("site-1")
    assert outcomes(running, "site-2") == [("lost", "it has not been online yet"), *[("answered", "")] * 2]


def test_a_site_that_comes_late_with_another_spec_is_left_out_by_name(running):
    running.end_part("site-2-supernode")
    running.behave("site-1", seconds=HELD)
    running.behave("site-2", base_model_sha256="c" * 64)
    with a_run(running, rounds=2, join_timeout=2.0, absence=1.0):
        running.start_supernode("site-2")
        running.parts.wait_until(lambda: running.status("site-2") == "online", "site-2", 90)
        running.behave("site-1")
    assert outcomes(running, "site-1") == [("answered", "")] * 2
    refused = f"not admitted: SpecMismatchError: base model sha256 {'b' * 64} against {'c' * 64}"
    assert outcomes(running, "site-2") == [("lost", "it has not been online yet"), ("refused", refused)]


def test_a_site_that_leaves_for_good_is_not_waited_for_until_the_deadline(running):
    running.behave("site-2", seconds=HELD)
    with a_run(running, rounds=3, deadline=HELD, absence=2.0):
        wait_until(running, lambda turns: turns[1].tries == 1)
        running.end_part("site-2-supernode")
    running.start_supernode("site-2")
    offline = ("lost", "it has been offline since the round before")
    assert outcomes(running, "site-2") == [("lost", "its node is offline"), offline, offline]


def test_a_site_that_comes_back_with_another_spec_is_refused_by_name(running):
    running.behave("site-1", seconds=HELD)
    with a_run(running, rounds=2):
        running.behave("site-2", base_model_sha256="c" * 64)
        running.behave("site-1")
    outcome, reason = outcomes(running, "site-2")[-1]
    assert outcome == "refused"
    assert "WireError" in reason
    assert "spec" in reason


def test_two_nodes_with_one_key_answer_twice_and_count_once(running, tmp_path):
    """The SuperLink takes the second for the first come back, and the round is asked of it again: both answer."""
    running.behave("site-1", seconds=HELD)
    running.behave("site-2", seconds=HELD)
    twin = tmp_path / "twin"
    shutil.copytree(running.site("site-1") / "supernode", twin)
    settings = (running.site("site-1") / "supernode.toml").read_text()
    settings = re.sub(r"runtime-port = \d+", f"runtime-port = {free_ports(1)[0]}", settings)
    settings = re.sub(r"(?m)^state = .*", f'state = "{twin}"', settings)
    (tmp_path / "twin.toml").write_text(settings)
    with a_run(running, rounds=1, deadline=200.0):
        wait_until(running, lambda turns: turns[0].tries == 1)
        running.wait_for_log("site-1-trainer", f"run {running.run}: round 1 has begun")
        running.parts.start("twin", [sys.executable, "-m", "supernode", str(tmp_path / "twin.toml")], {})
        wait_until(running, lambda turns: turns[0].tries == 2)
        running.behave("site-1")
        wait_until(running, lambda turns: turns[0].outcome == "answered")
        time.sleep(3)  # the other answer comes as well
        running.behave("site-2")
    running.end_part("twin")
    running.end_part("site-1-supernode")
    running.start_supernode("site-1")
    first, _ = running.ledger().turns()
    values = 4 * stub_trainer.spec().size
    # Flower itself drops the second one where it has seen the first node leave before the second came.
    assert (first.outcome, first.tries, first.dropped in (0, 1)) == ("answered", 2, True)
    sent = 1 + first.dropped
    assert sent * values < first.bytes_up < sent * (values + 1000)
    saved = load_file(running.folder.adapter / "adapter_model.safetensors")
    np.testing.assert_allclose(saved["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"], 0.0625)


@pytest.fixture
def cut_off(running, tmp_path, monkeypatch):
    """The file that cuts site-2 off while it is there, in a federation whose site-2 can be."""
    file = tmp_path / "cut-off"
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).with_name("cut_off")), prepend=os.pathsep)
    monkeypatch.setenv("CUT_OFF", str(file))
    running.end_part("site-2-supernode")
    running.start_supernode("site-2")
    monkeypatch.undo()
    running.parts.wait_until(lambda: running.status("site-2") == "online", "site-2", 90)
    yield file
    running.end_part("site-2-supernode", signal.SIGKILL)
    running.start_supernode("site-2")


def test_a_site_that_dies_while_it_pushes_holds_up_neither_others_nor_the_deadline(running, cut_off):
    running.behave("site-1", seconds=HELD)
    running.behave("site-2", seconds=HELD)
    with a_run(running, rounds=2, deadline=25.0):
        cut_off.touch()
        running.behave("site-2")
        running.wait_for_log("site-2-supernode", "the node is cut off")
        time.sleep(2.0)  # its answer has been announced, and is waited for
        running.behave("site-1")
        wait_until(running, lambda turns: turns[0].outcome == "answered", seconds=15)
        wait_until(running, lambda turns: turns[-1].round == 2)
        cut_off.unlink()
    first = running.ledger().rounds()[0]
    assert outcomes(running, "site-1") == [("answered", "")] * 2
    assert outcomes(running, "site-2") == [("late", "no answer within 25 s"), ("answered", "")]
    assert 25.0 < first.ended_at - first.started_at < 35.0


def test_a_site_that_dies_while_it_pushes_is_asked_again_once_it_is_back(running, cut_off):
    running.behave("site-2", seconds=HELD)
    with a_run(running, rounds=1, min_sites=2, deadline=HELD):
        cut_off.touch()
        running.behave("site-2")
        running.wait_for_log("site-2-supernode", "the node is cut off")
        running.end_part("site-2-supernode", signal.SIGKILL)
        cut_off.unlink()
        running.start_supernode("site-2")
    tries = {turn.site: (turn.outcome, turn.tries) for turn in running.ledger().turns()}
    assert tries == {"site-1": ("answered", 1), "site-2": ("answered", 2)}


def test_a_round_with_too_few_updates_is_extended_as_the_rule_says(running):
    running.behave("site-2", seconds=HELD)
    with a_run(running, rounds=1, min_sites=2, deadline=8.0, extensions=1):
        wait_until(running, lambda turns: turns[1].tries == 2)
        running.behave("site-2")
    site_1, site_2 = running.ledger().turns()
    assert (site_1.outcome, site_1.tries) == ("answered", 1)
    assert (site_2.outcome, site_2.tries) == ("answered", 2)
