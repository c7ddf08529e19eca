"""Rounds over the real engine, with updates that can be computed by hand."""

import json
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from superlink.initialisation import initial_adapter
from superlink.runs import RunFolder
from tests.integration import stub_trainer


@pytest.fixture(scope="module")
def finished(running):
    attempt = running.finish(running.config())
    assert (attempt.status, attempt.outcome) == ("finished", "completed"), attempt
    return running


def test_the_final_adapter_is_the_hand_computed_weighted_mean(finished):
    spec = stub_trainer.spec()
    # Each round r adds (10 * 1.0 r + 30 * -0.25 r) / 40 = 0.0625 r, with r = 1, 2, 3.
    expected = initial_adapter(spec, seed=7).astype(np.float64) + 0.0625 * (1 + 2 + 3)
    saved = load_file(RunFolder(finished.runs, "test").adapter / "adapter_model.safetensors")
    assert sorted(saved) == [tensor.name for tensor in spec.tensors]
    for name, values in spec.views(expected):
        np.testing.assert_allclose(saved[name], values, rtol=1e-6, atol=1e-6)


def test_the_adapter_is_in_pefts_layout(finished):
    config = json.loads((RunFolder(finished.runs, "test").adapter / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    assert config["target_modules"] == ["q_proj"]


def test_the_ledger_has_every_turn_with_its_bytes(finished):
    ledger = finished.ledger()
    rounds, turns = ledger.rounds(), ledger.turns()
    assert [(row.number, row.state) for row in rounds] == [(n, "aggregated") for n in (1, 2, 3)]
    assert [(turn.round, turn.site, turn.outcome, turn.examples) for turn in turns] == [
        (n, site, "answered", weight) for n in (1, 2, 3) for site, weight in (("site-1", 10), ("site-2", 30))
    ]
    values = 4 * stub_trainer.spec().size
    for turn in turns:
        assert values < turn.bytes_down < values + 1000
        assert values < turn.bytes_up < values + 1000
        assert turn.loss == pytest.approx(1 / turn.round)


def test_no_app_is_installed_at_a_site(finished):
    for site in finished.sites:
        assert not list((finished.site(site) / "supernode").rglob("apps"))


def test_a_node_is_healthy_while_it_is_idle(finished):
    from supernode.fleet import LastCall

    for site in finished.sites:
        last = LastCall(finished.site(site) / "supernode" / "last-fleet-call")
        assert last.healthy
        assert last.seconds_ago() < 10


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("nan", "value 7 of base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is nan"),
        ("short", "0 blocks hold 0 bytes; the header announces 98304"),
        ("stale", "header field round is 2; this run expects 1"),
    ],
)
def test_a_bad_update_is_refused_by_name_and_the_round_goes_on(new_federation, behaviour, reason):
    new_federation.start(site_1={"delta": 0.5}, site_2={"behaviour": behaviour})
    attempt = new_federation.finish(new_federation.config(rounds=1))
    assert attempt.outcome == "completed", attempt
    good, bad = new_federation.ledger().turns()
    assert (good.outcome, bad.outcome) == ("answered", "refused")
    assert reason in bad.reason
    saved = load_file(RunFolder(new_federation.runs, "test").adapter / "adapter_model.safetensors")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    np.testing.assert_allclose(saved[name], 0.5)


def test_too_few_updates_fail_the_run_by_name(new_federation):
    new_federation.start(site_2={"behaviour": "nan"})
    attempt = new_federation.finish(new_federation.config(rounds=2, min_sites=2))
    assert attempt.outcome == "failed"
    assert "ParticipationError: round 1 has 1 update(s), the rule asks for 2: site site-2: refused" in attempt.details
    assert [row.state for row in new_federation.ledger().rounds()] == ["failed"]


def test_sites_with_different_base_models_are_refused_by_name(new_federation):
    new_federation.start(site_2={"base_model_sha256": "c" * 64})
    attempt = new_federation.finish(new_federation.config())
    assert attempt.outcome == "failed"
    expected = (
        f"site site-1 and site site-2 do not train the same adapter: base model sha256 {'b' * 64} against {'c' * 64}"
    )
    assert f"SpecMismatchError: {expected}" in attempt.details


def test_a_trainer_that_is_not_there_is_named(new_federation):
    new_federation.start()
    trainer = next(part for part in new_federation.parts.started if part.name == "site-2-trainer")
    trainer.process.kill()
    trainer.process.wait()
    new_federation.parts.started.remove(trainer)
    attempt = new_federation.finish(new_federation.config(join_timeout=5.0))
    assert attempt.outcome == "failed"
    assert (
        "ParticipationError: before round 1, site site-2: TrainerError: the site's trainer is not there"
        in attempt.details
    )


def test_a_late_site_is_left_out_and_named(new_federation):
    new_federation.start(site_1={"delta": 0.5}, site_2={"seconds": 60.0})
    started = time.monotonic()
    attempt = new_federation.finish(new_federation.config(rounds=1, deadline=6.0))
    assert attempt.outcome == "completed", attempt
    assert time.monotonic() - started < 40
    late = new_federation.ledger().turns()[1]
    assert (late.site, late.outcome, late.reason) == ("site-2", "late", "no answer within 6 s")
