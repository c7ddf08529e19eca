"""Rounds over the real engine, with updates that can be computed by hand."""

import json
import re
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

import fedlora
from fedlora.phases import COORDINATOR
from fedlora.wire import codec_named
from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from superlink.series import work_series
from supernode.heartbeat import node_heartbeat
from tests.integration import stub_trainer


@pytest.fixture(scope="module")
def finished(_shared):
    """The folder of an undisturbed run of three rounds of half a second."""
    _shared.run = "undisturbed"
    for site in _shared.sites:
        _shared.behave(site, seconds=0.5)
    attempt = _shared.finish(_shared.config())
    assert (attempt.status, attempt.outcome) == ("finished", "completed"), attempt
    return _shared.folder


@pytest.fixture
def turns(running):
    """Return a function that runs one or more rounds with changes to the configuration, and returns all turns."""

    def call(**changes):
        attempt = running.finish(running.config(**{"rounds": 1, **changes}))
        assert attempt.outcome == "completed", attempt
        return running.ledger().turns()

    return call


def test_the_final_adapter_is_the_hand_computed_weighted_mean(finished):
    spec = stub_trainer.spec()
    # Each round r adds (10 * 1.0 r + 30 * -0.25 r) / 40 = 0.0625 r, with r = 1, 2, 3.
    expected = initial_adapter(spec, seed=7).astype(np.float64) + 0.0625 * (1 + 2 + 3)
    saved = load_file(finished.adapter / "adapter_model.safetensors")
    assert sorted(saved) == [tensor.name for tensor in spec.tensors]
    for name, values in spec.views(expected):
        np.testing.assert_allclose(saved[name], values, rtol=1e-6, atol=1e-6)


def test_the_adapter_is_in_pefts_layout(finished):
    config = json.loads((finished.adapter / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 4, 8)
    assert config["target_modules"] == ["q_proj"]


def test_dora_begins_with_the_magnitudes_that_the_sites_tell(running):
    for site in running.sites:
        running.behave(site, magnitude=2.5)
    attempt = running.finish(running.config(rounds=1))
    assert attempt.outcome == "completed", attempt
    saved = load_file(running.folder.adapter / "adapter_model.safetensors")
    magnitudes = [values for name, values in saved.items() if name.endswith("lora_magnitude_vector")]
    assert len(magnitudes) == 3
    for values in magnitudes:
        np.testing.assert_allclose(values, 2.5 + 0.0625)
    config = json.loads((running.folder.adapter / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"]) == (True, False)


def test_a_lossy_run_adds_what_arrived_to_what_it_has_kept(running):
    """Sites get a rounding of the adapter; the adapter itself is never rounded."""
    config = running.config(rounds=3, upload_codec="int4", broadcast_codec="bf16z")
    attempt = running.finish(config)
    assert attempt.outcome == "completed", attempt
    spec, rough, halves = stub_trainer.spec(), codec_named("int4"), codec_named("bf16")

    def arrived(value: float) -> np.float64:
        return np.float64(rough.decode(rough.encode(np.full(256, value, np.float32)), 256)[0])

    adapter, sent = initial_adapter(spec, seed=7), []
    for number in (1, 2, 3):
        sent.append(repr(halves.decode(halves.encode(adapter[:1]), 1)[0]))
        adapter = (adapter + (10 * arrived(number) + 30 * arrived(-0.25 * number)) / 40).astype(np.float32)
    saved = load_file(running.folder.adapter / "adapter_model.safetensors")
    for name, values in spec.views(adapter):
        np.testing.assert_allclose(saved[name], values, rtol=1e-6, atol=1e-6)
    came = rf"run {running.run}: round (\d) came in bf16z as (\S+)"
    assert re.findall(came, running.log("site-1-trainer")) == list(zip("123", sent, strict=True))
    sizes = {turn.bytes_up for turn in running.ledger().turns()}
    assert spec.size * 33 // 64 < min(sizes) <= max(sizes) < spec.size * 33 // 64 + 1000  # 4 bits and a scale's share
    labels = 'codec="{}",direction="{}",node="site-2",run="' + running.run
    told = {sample.key for sample in work_series(config, running.ledger())}
    for codec, way in (("int4", "up"), ("bf16z", "down")):
        assert f'fedlora_payload_bytes_total{{{labels.format(codec, way)}"}}' in told


def test_sites_hear_which_round_has_counted_their_update(running):
    running.behave("site-2", behaviour="nan", delta=1.0, examples=30)
    attempt = running.finish(running.config(rounds=3, min_sites=1, required_domains=""))
    assert attempt.outcome == "completed", attempt
    heard = {
        site: re.findall(rf"run {running.run}: round (\d) has begun, counted is (\d)", running.log(f"{site}-trainer"))
        for site in running.sites
    }
    assert heard["site-1"] == [("1", "0"), ("2", "1"), ("3", "2")]
    assert heard["site-2"] == [("1", "0"), ("2", "0"), ("3", "0")]


def test_the_ledger_has_every_turn_with_its_bytes(finished):
    ledger = Ledger(finished.ledger, readonly=True)
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


def test_the_phases_of_rounds_and_turns_are_there_and_add_up(finished):
    ledger = Ledger(finished.ledger, readonly=True)
    for row in ledger.rounds():
        assert list(row.phases) == list(COORDINATOR)
        assert min(row.phases.values()) >= 0
        assert sum(row.phases.values()) == pytest.approx(row.ended_at - row.started_at, abs=0.5)
        assert row.phases["wait"] >= 0.5  # the sites' half second
    for turn in ledger.turns():
        assert list(turn.phases) == ["load", "train", "transfer"]  # what the stub tells, and the rest
        assert min(turn.phases.values()) >= 0
        assert sum(turn.phases.values()) == pytest.approx(turn.round_trip_seconds)
        assert 0.5 <= turn.train_seconds <= turn.round_trip_seconds


def test_no_app_is_installed_at_a_site(running, finished):
    for site in running.sites:
        assert not list((running.site(site) / "supernode").rglob("apps"))


def test_a_node_is_healthy_while_it_is_idle(running):
    for site in running.sites:
        last = node_heartbeat(running.site(site) / "supernode")
        assert last.healthy
        assert last.seconds_ago() < 10


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"behaviour": "nan"}, "value 7 of base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is nan"),
        ({"behaviour": "inf"}, "value 7 of base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is inf"),
        ({"behaviour": "short"}, "0 blocks hold 0 bytes; the header announces 98304"),
        ({"behaviour": "doubled"}, "2 blocks hold 196608 bytes; the header announces 98304"),
        ({"behaviour": "stale"}, "header field round is 2; this run expects 1"),
        ({"header": {"run": "another"}}, "header field run is 'another'; this run expects"),
        ({"header": {"base_model_sha256": "c" * 64}}, f"header field base_model_sha256 is '{'c' * 64}'"),
    ],
    ids=["nan", "inf", "short", "twice", "round", "run", "base"],  # short: 60 letters of a test's name make its run's
)
def test_a_bad_update_is_refused_by_name_and_the_round_goes_on(running, turns, settings, reason):
    running.behave("site-2", **settings)
    good, bad = turns()
    assert (good.outcome, bad.outcome) == ("answered", "refused")
    assert reason in bad.reason
    saved = load_file(running.folder.adapter / "adapter_model.safetensors")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    np.testing.assert_allclose(saved[name], 1.0)


def test_an_update_that_is_too_long_is_refused_by_name_and_counted(running):
    """Each round adds 1.0 to 24,576 values at site 1 and takes 0.25 of them at site 2."""
    config = running.config(rounds=1, min_sites=1, largest_update_norm=100.0)
    attempt = running.finish(config)
    assert attempt.outcome == "completed", attempt
    longest, short = running.ledger().turns()
    assert (longest.outcome, longest.examples, short.outcome) == ("refused", 0, "answered")
    expected = "update refused: UpdateNormError: the update's norm is 156.767; this run takes up to 100 "
    assert longest.reason.startswith(expected)
    assert longest.examined == {"update_norm": pytest.approx(24576**0.5)}
    assert short.examined == {"update_norm": pytest.approx(0.25 * 24576**0.5)}
    found = {sample.key: sample.value for sample in work_series(config, running.ledger())}
    assert found[f'fedlora_refusals_total{{name="UpdateNormError",node="site-1",run="{running.run}"}}'] == 1
    saved = load_file(running.folder.adapter / "adapter_model.safetensors")
    np.testing.assert_allclose(saved["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"], -0.25)


def test_figures_that_cannot_be_are_not_believed_and_harm_nobody(running, turns):
    running.behave("site-2", behaviour="boasts")
    good, boasting = turns()
    assert (good.outcome, good.tokens, good.figures) == ("answered", 64, {"padded_tokens": 80.0})
    assert (boasting.outcome, boasting.tokens, boasting.loss, boasting.figures) == ("answered", None, None, {})


def test_a_site_that_failed_is_asked_again_as_far_as_the_bytes_go(running, turns):
    """One round takes four messages; to ask once more would make it up to six."""
    running.behave("site-2", behaviour="broken")
    message = 4 * stub_trainer.spec().size + 1000
    good, broken = turns(budget_bytes=4 * message, deadline=15.0)
    assert (good.outcome, broken.outcome, broken.tries) == ("answered", "failed", 1)
    assert broken.reason == "the budget does not allow asking it again"
    running.run = "asked-again-as-far-as-more-bytes-go"
    good, broken = turns(budget_bytes=8 * message, deadline=8.0)
    assert good.outcome == "answered"
    assert broken.tries > 1
    assert running.ledger().payload_bytes() <= 8 * message


def test_too_few_updates_fail_the_run_by_name(running):
    running.behave("site-2", behaviour="nan")
    attempt = running.finish(running.config(rounds=2, min_sites=2))
    assert attempt.outcome == "failed"
    expected = (
        "ParticipationError: round 1 does not count: it has 1 update(s), the rule asks for 2: site site-2: refused"
    )
    assert expected in attempt.details
    assert [row.state for row in running.ledger().rounds()] == ["failed"]


def test_a_round_without_a_required_domain_fails_the_run_by_name(running):
    running.behave("site-2", behaviour="nan")
    attempt = running.finish(running.config(sites="site-1,site-2:medical", required_domains="medical"))
    expected = "ParticipationError: round 1 does not count: it has no update of the required domain(s) medical: site"
    assert expected in attempt.details


def test_sites_with_different_kits_are_refused_by_name(running):
    running.behave("site-2", kit_version="9.9.9")
    attempt = running.finish(running.config())
    assert attempt.outcome == "failed"
    assert "site site-1 and site site-2 do not train the same adapter: kit version" in attempt.details
    assert "against 9.9.9" in attempt.details


def test_sites_with_another_kit_than_the_coordinators_are_refused_by_name(running):
    for site in running.sites:
        running.behave(site, kit_version="9.9.9")
    attempt = running.finish(running.config())
    assert attempt.outcome == "failed"
    assert f"the sites have fedlora 9.9.9, the coordinator {fedlora.__version__}: all parties" in attempt.details


def test_sites_with_different_base_models_are_refused_by_name(running):
    running.behave("site-2", base_model_sha256="c" * 64)
    attempt = running.finish(running.config())
    assert attempt.outcome == "failed"
    expected = (
        f"site site-1 and site site-2 do not train the same adapter: base model sha256 {'b' * 64} against {'c' * 64}"
    )
    assert f"SpecMismatchError: {expected}" in attempt.details


def test_a_trainer_that_is_not_there_is_named(running):
    running.end_part("site-2-trainer", signal.SIGKILL)
    attempt = running.finish(running.config(join_timeout=5.0))
    running.start_stub("site-2")
    assert attempt.outcome == "failed"
    assert (
        "ParticipationError: before round 1, site site-2: TrainerError: the site's trainer is not there"
        in attempt.details
    )


def test_a_late_site_is_left_out_and_named(running, turns):
    running.behave("site-2", seconds=600.0)  # longer than `turns` waits for the run
    late = turns(deadline=5.0)[1]
    assert (late.site, late.outcome, late.reason) == ("site-2", "late", "no answer within 5 s")
