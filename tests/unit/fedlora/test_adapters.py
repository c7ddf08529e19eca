"""Reading adapters and measuring them, against plain computations on whole matrices."""

import dataclasses
import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedlora.adapters import open_adapter
from fedlora.adapters.measures import compare, measure, total, total_norms
from fedlora.errors import AdapterError
from superlink.adapters import write_adapter
from superlink.checkpoints import Checkpoints
from tests.integration.stub_trainer import spec

SPEC = spec(width=24)


def vector(seed):
    return np.random.default_rng(seed).normal(size=SPEC.size).astype(np.float32)


def checkpoint(folder, seed=0, of=SPEC, number=3):
    checkpoints = Checkpoints(folder)
    return checkpoints.place(checkpoints.prepare(number, 2, vector(seed), of), number)


def plain(folder, seed=0, of=SPEC, **config):
    """Write an adapter as PEFT does, without anything of the kit's."""
    folder.mkdir()
    write_adapter(vector(seed), of, folder)
    configure(folder, **config)
    return folder


def configure(folder, **config):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))


def products(folder):
    return {one.module: one.scale * one.b.astype(np.float64) @ one.a for one in open_adapter(folder).factors}


def test_a_checkpoint_is_read_with_spec_round_and_state(tmp_path):
    adapter = open_adapter(checkpoint(tmp_path)).check()
    assert (adapter.spec, adapter.size, adapter.dtypes) == (SPEC, SPEC.size, ("F32",))
    assert (adapter.base_model, adapter.rank, adapter.alpha, adapter.target_modules) == ("stub", 4, 8.0, ("q_proj",))
    assert dataclasses.asdict(adapter.checkpoint) == {"round": 3, "epoch": 2, "changed": ()}
    assert [one.module for one in adapter.factors] == [f"model.layers.{layer}.self_attn.q_proj" for layer in range(3)]
    assert {one.scale for one in adapter.factors} == {2.0}
    assert adapter.others == ()


def test_an_adapter_of_peft_alone_is_read(tmp_path):
    adapter = open_adapter(plain(tmp_path / "a", base_model_name_or_path="/home/somebody/models/my-llm/")).check()
    assert (adapter.spec, adapter.checkpoint, adapter.base_model) == (None, None, "my-llm")


def test_a_changed_file_is_noted_and_refused_by_check(tmp_path):
    folder = checkpoint(tmp_path)
    configure(folder, lora_alpha=9)
    (folder / "spec.json").rename(folder / "gone")
    adapter = open_adapter(folder)
    assert adapter.checkpoint.changed == ("adapter_config.json", "spec.json")
    with pytest.raises(AdapterError, match=r"is damaged: adapter_config.json, spec.json is not what was written"):
        adapter.check()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 0), ("float32", 0), ("float16", 2**-11), ("bfloat16", 2**-8)]
)
def test_every_type_of_values_is_read(tmp_path, dtype, tolerance):
    import torch
    from safetensors.torch import save_file as save_tensors

    folder = plain(tmp_path / "a")
    expected = dict(SPEC.views(vector(0)))
    kind = getattr(torch, dtype)
    stored = {name: torch.from_numpy(values.copy()).to(kind) for name, values in expected.items()}
    save_tensors(stored, folder / "adapter_model.safetensors")
    for name, values in open_adapter(folder).tensors.items():
        assert values.tolist() == stored[name].float().tolist()
        np.testing.assert_allclose(values, expected[name], rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "is no adapter: no adapter_config.json; it must be"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x"), "cannot be read: SafetensorError"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "cannot be read: JSONDecodeError"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "peft_type is None; this kit reads 'LORA'"),
        (lambda folder: configure(folder, peft_type="IA3"), "peft_type is 'IA3'; this kit reads 'LORA'"),
        (lambda folder: configure(folder, r=None), "cannot be read: TypeError"),
        (lambda folder: (folder / "spec.json").write_text("{}"), "cannot be read: WireError: spec cannot be read"),
        (lambda folder: (folder / "spec.json").write_text(spec().to_json()), "are not those of spec.json"),
        (lambda folder: (folder / "checkpoint.json").write_text('{"layout": 7}'), "has layout 7; this kit reads 1"),
        (lambda folder: (folder / "checkpoint.json").write_text("[]"), "checkpoint.json cannot be read: TypeError"),
        (lambda folder: save(folder, "float32", np.nan), "holds values that are not finite"),
        (lambda folder: save(folder, "int8", 1), "is of type I8; allowed: F64, F32, F16, BF16"),
        (lambda folder: save(folder, "float32", 1, leave="lora_B"), "has no lora_A and lora_B that fit"),
    ],
)
def test_what_is_no_adapter_is_refused(tmp_path, damage, reason):
    folder = checkpoint(tmp_path)
    damage(folder)
    with pytest.raises(AdapterError) as caught:
        open_adapter(folder)
    assert str(caught.value).startswith(str(folder))
    assert reason in str(caught.value)


def save(folder, dtype, value, leave=None):
    tensors = {one.name: np.full(one.shape, value, dtype=dtype) for one in SPEC.tensors if str(leave) not in one.name}
    save_file(tensors, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("config", "scales"),
    [
        ({}, [2, 2, 2]),
        ({"use_rslora": True}, [4, 4, 4]),
        ({"alpha_pattern": {"layers.1.self_attn.q_proj": 2}}, [2, 0.5, 2]),
        ({"alpha_pattern": {r".*\.[02]\..*": 4, "q_proj": 2}}, [1, 0.5, 1]),
    ],
)
def test_scales_are_those_of_peft(tmp_path, config, scales):
    assert [one.scale for one in open_adapter(plain(tmp_path / "a", **config)).factors] == scales


def test_tensors_of_other_kinds_are_set_apart(tmp_path):
    folder = plain(tmp_path / "a")
    tensors = {**dict(SPEC.views(vector(0))), "base_model.model.lm_head.weight": np.ones((3, 3), np.float32)}
    save_file(tensors, folder / "adapter_model.safetensors")
    adapter = open_adapter(folder)
    assert adapter.others == ("base_model.model.lm_head.weight",)
    assert len(adapter.factors) == 3


def test_norms_are_those_of_whole_matrices(tmp_path):
    adapter = open_adapter(checkpoint(tmp_path))
    rows = measure(adapter)
    for row, one, product in zip(rows, adapter.factors, products(adapter.directory).values(), strict=True):
        assert (row.module, row.kind, row.rank) == (one.module, "q_proj", 4)
        expected = [np.linalg.norm(one.a), np.linalg.norm(one.b), np.linalg.norm(product)]
        assert [row.a, row.b, row.delta] == pytest.approx(expected, rel=1e-6)
    together = np.concatenate([product.ravel() for product in products(adapter.directory).values()])
    assert total_norms(rows, "all").delta == pytest.approx(np.linalg.norm(together), rel=1e-6)


@pytest.mark.parametrize("config", [{}, {"alpha_pattern": {"layers.1.self_attn.q_proj": 40}}])
def test_distances_are_those_of_whole_matrices(tmp_path, config):
    first, second = (plain(tmp_path / f"{seed}", seed=seed, **config) for seed in (0, 1))
    rows = compare(open_adapter(first), open_adapter(second))
    one, other = products(first), products(second)
    everything = [np.concatenate([product.ravel() for product in side.values()]) for side in (one, other)]
    pairs = [(row, one[row.module].ravel(), other[row.module].ravel()) for row in rows]
    for row, x, y in [*pairs, (total(rows, "all"), *everything)]:
        assert row.relative_distance == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(x), rel=1e-6)
        assert row.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), rel=1e-6)


def test_an_adapter_is_at_no_distance_from_itself_and_small_ones_are_exact(tmp_path):
    first = checkpoint(tmp_path / "a")
    same = total(compare(open_adapter(first), open_adapter(first)), "all")
    assert (same.relative_distance, same.cosine) == (0.0, pytest.approx(1.0, abs=1e-12))
    near = tmp_path / "near"
    near.mkdir()
    write_adapter(vector(0) * np.float32(1 + 2**-20), SPEC, near)
    configure(near, base_model_name_or_path="stub")
    row = total(compare(open_adapter(first), open_adapter(near)), "all")
    # Both factors grow by 2**-20; squares of whole products would lose this among the rounding of fp64's half.
    assert row.relative_distance == pytest.approx(2**-19, rel=0.1)


def test_an_adapter_that_changes_nothing(tmp_path):
    first = checkpoint(tmp_path / "a")
    for name in ("zero", "nought"):
        (tmp_path / name).mkdir()
        write_adapter(np.zeros(SPEC.size, np.float32), SPEC, tmp_path / name)
    zero, nought, one = (open_adapter(folder) for folder in (tmp_path / "zero", tmp_path / "nought", first))
    row = total(compare(zero, one), "all")
    assert (row.relative_distance, row.cosine) == (None, None)
    assert total(compare(one, zero), "all").relative_distance == pytest.approx(1.0)
    assert (total(compare(zero, nought), "all").relative_distance, measure(zero)[0].delta) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"base_model_sha256": "c" * 64}, "base model bbbbbbbbbbbb against cccccccccccc (SHA-256)"),
        ({"alpha": 9}, "alpha 8.0 against 9.0"),
        ({"tensors": spec(rank=2, width=48).tensors}, "rank 4 against 2"),
        ({"tensors": spec(layers=6, width=12).tensors}, "12 tensors differ in adapter_model.safetensors, the first is"),
    ],
)
def test_what_cannot_be_compared_is_named(tmp_path, change, reason):
    one = open_adapter(checkpoint(tmp_path / "a"))
    other = open_adapter(checkpoint(tmp_path / "b", of=dataclasses.replace(SPEC, **change)))
    with pytest.raises(AdapterError) as caught:
        compare(one, other)
    assert reason in str(caught.value)


def test_names_and_scales_are_compared_where_there_are_no_hashes(tmp_path):
    one = open_adapter(plain(tmp_path / "a"))
    named = open_adapter(plain(tmp_path / "b", base_model_name_or_path="other"))
    scaled = open_adapter(plain(tmp_path / "c", alpha_pattern={"q_proj": 2}))
    other_kind = open_adapter(plain(tmp_path / "e", use_rslora=True))
    with pytest.raises(AdapterError, match="base model stub against other"):
        compare(one, named)
    with pytest.raises(AdapterError, match="scale of a module"):
        compare(one, scaled)
    with pytest.raises(AdapterError, match="kind lora against rslora"):
        compare(one, other_kind)
    assert math.isclose(total(compare(one, open_adapter(plain(tmp_path / "d"))), "all").cosine, 1.0)
