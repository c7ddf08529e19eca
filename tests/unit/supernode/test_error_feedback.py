"""Updates in few bits, over many rounds, of a site that is well, loses updates, or trains a part of its adapter."""

import numpy as np
import pytest

from fedlora.codecs import CODECS
from fedlora.errors import TrainerError
from fedlora.wire import codec_named
from supernode.trainer.error_feedback import Residue

LOSSY = [name for name in CODECS if not codec_named(name).lossless]
SIZE, ROUNDS = 600, 60


def sent_as(codec, values):
    return codec.decode(codec.encode(values), values.size)


@pytest.mark.parametrize("name", LOSSY)
def test_over_many_rounds_nothing_is_lost(name):
    """What has arrived differs from what was trained by one round's rounding, not by that of all."""
    codec, draw = codec_named(name), np.random.default_rng(0)
    trained, arrived, kept = np.zeros(SIZE), np.zeros(SIZE), None
    steady = draw.normal(size=SIZE) * 1e-3  # far below a step of int4 beside the values that drown it
    for _ in range(ROUNDS):
        delta = (steady + draw.normal(size=SIZE) * (np.arange(SIZE) % 50 == 0)).astype(np.float32)
        residue = Residue(kept, SIZE)
        sent = sent_as(codec, residue.added_to(delta))
        kept = residue.after(delta, sent)
        trained, arrived = trained + delta, arrived + sent
    np.testing.assert_allclose(arrived + Residue(kept, SIZE).values, trained, atol=1e-4)
    assert np.abs(Residue(kept, SIZE).values).max() <= 0.6 * np.abs(delta).max()


def test_a_frozen_factor_is_sent_as_zero_and_what_it_is_owed_waits():
    codec, draw = codec_named("int4"), np.random.default_rng(1)
    both, half = draw.normal(size=(2, SIZE)).astype(np.float32)
    half[: SIZE // 2] = 0
    first = Residue(None, SIZE)
    kept = first.after(both, sent_as(codec, first.added_to(both)))
    second = Residue(kept, SIZE)
    sent = sent_as(codec, second.added_to(half))
    assert not sent[: SIZE // 2].any()
    third = Residue(second.after(half, sent), SIZE)
    np.testing.assert_array_equal(third.values[: SIZE // 2], second.values[: SIZE // 2])
    assert second.values[: SIZE // 2].any()


def test_a_residue_of_another_adapter_is_refused():
    with pytest.raises(TrainerError, match="the residue on the disk has 3 values, and the adapter 4"):
        Residue(np.zeros(3, dtype="<f4").tobytes(), 4)
