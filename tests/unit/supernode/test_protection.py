"""Updates with clipping and noise, from the trainer's service: what leaves, what is noted, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest

from fedlora.errors import PrivacyError, TrainerError
from fedlora.recipes import recipe as recipe_of
from fedlora.wire import Header, Payload, decode, encode
from supernode.trainer import trainer_pb2
from supernode.trainer.accountant import epsilon_of
from supernode.trainer.journal import Journal
from supernode.trainer.privacy_ledger import FILE, PrivacyLedger
from supernode.trainer.service import TrainerService
from supernode.trainer.settings import Policy

RECIPE = recipe_of("medical", "quick", rounds=9, steps=1, batch=8, length=32, rank=4, alpha=4)
NOISE = {"clip_norm": 0.05, "noise_multiplier": 2.0}


class Caller:
    """A gRPC context of somebody who waits; what is refused is raised again."""

    def time_remaining(self):
        return 60.0

    def is_active(self):
        return True

    def abort(self, status, reason):
        raise {"FAILED_PRECONDITION": PrivacyError}.get(status.name, TrainerError)(reason)


class Site:
    """A trainer's service, called as its supernode calls it."""

    def __init__(self, trainer, recipe, folder):
        self.trainer, self.recipe = trainer, recipe
        self.service = TrainerService(trainer, trainer.settings.policy, Journal(folder / "journal"))
        self.spec = trainer.adapter.spec
        self.start = np.random.default_rng(1).normal(0.0, 0.05, self.spec.size).astype(np.float32)
        self.ledger = self.service.protection.ledger

    def open(self, run="r", epoch=1, codec="fp32"):
        about = {"recipe_sha256": self.recipe.sha256, "spec_sha256": self.spec.sha256, "broadcast_codec": "fp32"}
        self.service.Configure(
            trainer_pb2.ConfigureRequest(run=run, epoch=epoch, upload_codec=codec, **about), Caller()
        )

    def ask(self, number=1, run="r", epoch=1, counted=0):
        sent = encode(self.start, self.spec, kind="global", run=run, epoch=epoch, round_number=number)
        adapter = trainer_pb2.Adapter(header=sent.header.to_json(), blocks=sent.blocks)
        request = trainer_pb2.TrainRequest(run=run, epoch=epoch, round=number, adapter=adapter, counted=counted)
        return self.service.Train(request, Caller())

    def update(self, *args, codec="fp32", **named):
        """Return what is sent of an update, and its part of the spec."""
        answer = self.ask(*args, **named).update
        part = self.spec.trained(self.recipe.factors, args[0] if args else 1)
        return decode(Payload(Header.from_json(answer.header), tuple(answer.blocks)), part, codec), part


@pytest.fixture
def site(resident_trainer, tmp_path):
    """Return a function that makes a site with a policy."""

    def make(recipe=RECIPE, folder="", **policy):
        return Site(resident_trainer(recipe, **policy), recipe, tmp_path / folder)

    return make


def test_clipping_alone_bounds_the_norm_and_changes_nothing_below_it(site):
    plain, cut, far = site(folder="plain"), site(folder="cut", clip_norm=0.01), site(folder="far", clip_norm=100.0)
    values = []
    for one in (plain, cut, far):
        one.open()
        values.append(one.update()[0])
    norm = np.linalg.norm(values[0])
    assert norm > 0.01
    assert np.linalg.norm(values[1]) == pytest.approx(0.01, rel=1e-5)
    np.testing.assert_allclose(values[1], values[0] * 0.01 / norm, rtol=1e-4, atol=1e-10)
    np.testing.assert_array_equal(values[2], values[0])
    assert far.ledger.spent() == dataclasses.replace(far.ledger.spent(), updates=1, bare=1, distance=0.0)


def test_noise_covers_every_value_that_is_trained_and_no_other(site):
    """Half of the ranks, and one factor alone: what the site never trains is zero, and tells so of no record."""
    recipe = dataclasses.replace(RECIPE, factors="alternating")
    one = site(recipe, most_rank=2, **NOISE)
    one.start[:] = 0  # with both factors zero no record changes anything: the noise must not show where
    one.open()
    for number, side in ((1, "B"), (2, "A")):
        sent, part = one.update(number)
        assert {tensor.name.split(".lora_")[1][0] for tensor in part.tensors} == {side}
        for name, values in part.views(sent):
            whole = values if side == "A" else values.T  # the rank's axis first
            assert not whole[2:].any(), name
            assert (whole[:2] != 0).mean() > 0.9
            assert whole[:2].std() == pytest.approx(0.1, rel=0.5)


def test_noise_is_new_for_each_update_and_the_same_call_again_gets_the_same_and_spends_nothing(site):
    one = site(**NOISE)
    one.open()
    first = one.ask()
    assert one.ask() == first
    assert one.ledger.spent().updates == 1
    one.open(epoch=2)
    again = one.ask(epoch=2)  # the same round of a new attempt, from the same adapter: trained alike, noised anew
    assert one.ledger.spent().updates == 2
    assert again.update.blocks != first.update.blocks
    assert first.policy_sha256 == one.service.policy.sha256


def test_what_a_lossy_codec_leaves_out_is_of_the_noised_update(site):
    """The residue is what of the noised update the codec has not sent, and holds nothing that has no noise."""
    one = site(**NOISE)
    one.open(codec="int4")
    sent, _ = one.update(codec="int4")
    journal = one.service.journal
    left = np.frombuffer(journal.carried("noised-residue", "r", 1), dtype="<f4")
    noised = (left.astype(np.float64) + sent) / (2.0 ** math.floor(math.log2(0.1)) / 1024)
    np.testing.assert_allclose(noised, np.rint(noised), atol=1e-2)  # back on the grid of the noise
    assert (sent + left).std() == pytest.approx(0.1, rel=0.1)  # and as large as the noise is
    assert journal.carried("residue", "r", 1) is None


def test_a_residue_from_before_the_noise_is_never_sent(site):
    """An owner who switches noise on in the middle of a run: what bare updates still owe would come without noise."""
    bare = site()
    bare.open(codec="int4")
    bare.update(codec="int4")
    owed = np.frombuffer(bare.service.journal.carried("residue", "r", 1), dtype="<f4")
    assert owed.any()
    huge = (1e6 * np.sign(owed)).astype("<f4")
    bare.service.journal.carry("residue", "r", 1, huge.tobytes(), after=0)  # so that nobody could miss it
    noisy = site(**NOISE)
    noisy.open(codec="int4")
    sent, _ = noisy.update(2, counted=1, codec="int4")
    assert np.abs(sent).max() < 2


def test_moments_and_a_proximal_term_stay_below_the_noise(site):
    recipe = dataclasses.replace(RECIPE, preset="flowertune", optimizer_state="kept", proximal=0.1)
    one = site(recipe, clip_norm=0.05, noise_multiplier=1e-6)  # so little that the norm shows
    one.open()
    for number in (1, 2, 3):
        sent, _ = one.update(number, counted=number - 1)
        assert np.linalg.norm(sent) <= 0.05 * 1.001
    assert one.service.journal.carried("moments", "r", 3)


def test_no_figure_of_the_records_leaves_with_the_noise(site):
    bare, noisy = site(folder="bare"), site(folder="noisy", **NOISE)
    told = []
    for one in (bare, noisy):
        one.open()
        told.append(set(one.ask().figures))
    assert {"loss", "tokens", "padded_tokens", "answer_tokens", "first_loss", "last_loss"} <= told[0]
    assert told[1] == {"examples", "rank", "train_seconds", "queue_seconds", "load_seconds", "encode_seconds"}


def test_epsilon_is_counted_by_run_and_in_all_and_the_limit_is_refused_by_name(site):
    one = site(**NOISE, epsilon_limit=9.5, delta=1e-6)
    for run, number in (("a", 1), ("a", 2), ("b", 1)):
        one.open(run)
        one.ask(number, run)
    told = {sample.key: sample.value for sample in one.service.protection.samples()}
    assert told == {
        "fedlora_site_updates_total{}": 3.0,
        "fedlora_site_epsilon{}": pytest.approx(epsilon_of(math.sqrt(3), 1e-6)),
        "fedlora_site_epsilon_limit{}": 9.5,
        'fedlora_run_epsilon{run="b"}': pytest.approx(epsilon_of(1.0, 1e-6)),
        'fedlora_run_epsilon{run="a"}': pytest.approx(epsilon_of(math.sqrt(2), 1e-6)),
    }
    one.open("c")
    trained = []
    one.trainer.train = lambda *args: trained.append(args)
    reason = r"with this update the site's epsilon would be 10.997 \(delta 1e-06\); its policy's limit is 9.5, and 3"
    with pytest.raises(PrivacyError, match=reason):
        one.ask(1, "c")
    assert not trained  # nothing is computed for what may not leave
    assert one.ask(2, "a").update.blocks  # what has left before is answered as before
    refused = {sample.labels["name"]: sample.value for sample in one.service.refusals.samples()}
    assert refused == {"PrivacyError": 1.0}


def test_the_limit_holds_for_a_trainer_that_is_started_anew_and_for_other_names_of_runs(site):
    first = site(**NOISE, most_updates=2)
    for run in ("a", "b"):
        first.open(run)
        first.ask(run=run)
    second = site(**NOISE, most_updates=2)
    second.open("c")
    with pytest.raises(PrivacyError, match="has given 2 updates, 0 of them to run c; its policy's most-updates is 2"):
        second.ask(run="c")


def test_an_update_is_spent_before_it_can_leave(site, monkeypatch):
    """Whatever stops the trainer between the two: the ledger has it, and the next call is another update."""
    one = site(**NOISE)
    one.open()

    def killed(*_):
        assert one.ledger.spent().updates == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(one.service.journal, "record", killed)
    with pytest.raises(KeyboardInterrupt):
        one.ask()
    monkeypatch.undo()
    one.ask()
    assert one.ledger.spent().updates == 2


def test_a_ledger_that_cannot_be_used_lets_nothing_leave(site, tmp_path):
    one = site(**NOISE)
    one.open()
    (tmp_path / "journal" / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(TrainerError, match="the site's privacy ledger cannot be used, and no update leaves: file is"):
        one.ask()


def test_updates_of_different_noise_add_up_and_bare_ones_stand_for_themselves(tmp_path):
    ledger = PrivacyLedger(tmp_path)
    for noise, count in ((4.0, 3), (2.0, 1), (0.0, 2)):
        for number in range(count):
            ledger.spend("r", 1, number, clip_norm=1.0, noise_multiplier=noise)
    ledger.spend("other", 1, 1, clip_norm=1.0, noise_multiplier=4.0)
    spent = PrivacyLedger(tmp_path).spent("r")
    assert (spent.updates, spent.bare) == (6, 2)
    assert spent.distance**2 == pytest.approx(3 / 4 + 1)
    assert spent.another(2.0).distance ** 2 == pytest.approx(3 / 4 + 2)
    assert ledger.runs() == ["other", "r"]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"noise_multiplier": 1.0}, "noise-multiplier is 1 and clip-norm is 0: noise hides nothing of unbounded"),
        ({"clip_norm": 1.0, "epsilon_limit": 8.0}, "epsilon-limit is 8 and noise-multiplier is 0: without noise there"),
        ({"clip_norm": -1.0}, "clip-norm is -1.0; it must be at least 0, and finite"),
        ({"clip_norm": math.nan}, "clip-norm is nan; it must be at least 0, and finite"),
        ({"noise_multiplier": math.inf}, "noise-multiplier is inf; it must be"),
        ({"delta": 0.0}, "delta is 0.0; it must be above 0 and below 1"),
        ({"most_updates": -1}, "most-updates is -1; it must be at least 0"),
    ],
)
def test_a_policy_that_would_protect_nothing_is_refused(policy, reason):
    with pytest.raises(ValueError, match=reason):
        Policy((RECIPE,), **policy)
