"""A step without enough memory: begun again in smaller portions, with the same gradient."""

import ctypes
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fedlora.errors import TrainerError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.recipes import recipe as recipe_of
from superlink.initialisation import initial_adapter
from supernode.trainer.examples import Example
from supernode.trainer.model import AdapterModel
from supernode.trainer.out_of_memory import give_back
from supernode.trainer.training import train_round

RECIPE = recipe_of("medical", "quick", rounds=2, steps=2, batch=8, length=64, rank=4, alpha=8, dropout=0.2)
EXAMPLES = [Example(tuple((7 * row + column) % 250 + 1 for column in range(32)), 8) for row in range(40)]


@pytest.fixture
def adapter(tiny_model):
    base = BaseModel("tiny", tiny_model)
    model, _ = load(base)
    made = AdapterModel(base, model, RECIPE)
    made.load(initial_adapter(made.spec, 0))
    return made


def train(adapter, tokens_at_once, recipe=RECIPE):
    return train_round(adapter, EXAMPLES, recipe, 1, seed=0, padding=0, tokens_at_once=tokens_at_once)


def short_of_memory(adapter, most, error=None):
    """Let the model raise a real error of torch's allocator where more than `most` tokens come at once."""

    def look(_module, _inputs, named):
        if named["input_ids"].numel() > most and not (most < 0 and adapter.checkpointing):
            raise error if error is not None else torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    return adapter.model.register_forward_pre_hook(look, with_kwargs=True)


@pytest.mark.parametrize(
    "error",
    [
        None,
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_the_portions_halve_until_they_fit_and_stay_so(adapter, caplog, error):
    short_of_memory(adapter, 100, error)
    figures = train(adapter, 512)
    assert (figures.tokens_at_once, figures.checkpointing) == (64, False)
    said = [record.message.partition(" (")[0] for record in caplog.records]
    assert said == [
        "out of memory with 512 tokens at once; 128 from now on",
        "out of memory with 128 tokens at once; 64 from now on",
    ]


def test_the_smaller_portion_stays_for_the_rest_of_the_process(resident_trainer):
    site = resident_trainer(RECIPE)
    start = initial_adapter(site.adapter.spec, 0)
    hook = short_of_memory(site.adapter, 100)
    assert site.train(RECIPE, start, 1, lambda: False)[1].tokens_at_once == 64
    hook.remove()
    assert site.train(RECIPE, start, 2, lambda: False)[1].tokens_at_once == 64


def test_the_step_is_begun_again_with_the_same_dropout_and_gradient(adapter):
    """Fails in the middle of a step, when a part of its gradient is there already."""
    start = adapter.vector()
    expected = train(adapter, 64), adapter.vector().tobytes()
    adapter.load(start)
    calls = iter(range(100))

    def look(_module, _inputs, named):
        if named["input_ids"].numel() > 64 and next(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    adapter.model.register_forward_pre_hook(look, with_kwargs=True)
    found = train(adapter, 128), adapter.vector().tobytes()
    assert found[1] == expected[1]
    assert dataclasses.replace(found[0], train_seconds=0) == dataclasses.replace(expected[0], train_seconds=0)


def test_at_one_record_activations_are_computed_again(adapter, caplog):
    expected = train(adapter, 32), adapter.vector()
    adapter.load(initial_adapter(adapter.spec, 0))
    short_of_memory(adapter, -1)
    figures = train(adapter, 32)
    assert (figures.tokens_at_once, figures.checkpointing) == (32, True)
    assert "out of memory with one record at once; gradient checkpointing from now on" in caplog.text
    assert figures.loss == pytest.approx(expected[0].loss, rel=1e-4)
    assert abs(adapter.vector() - expected[1]).max() < 1e-4


def test_what_does_not_fit_at_all_ends_the_round_by_name(adapter):
    short_of_memory(adapter, 0)
    with pytest.raises(TrainerError, match="out of memory with one record of 32 tokens at once and gradient check"):
        train(adapter, 64)


def test_another_error_is_not_taken_for_it(adapter):
    short_of_memory(adapter, 100, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(adapter, 512)


LIMITED = """
import re, resource, sys
from pathlib import Path
import torch
from tests.unit.supernode.test_out_of_memory import *
def address_space(which):
    return 1024 * int(re.search(which + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
torch.set_num_threads(1)
base = BaseModel("tiny", Path(sys.argv[1]))
model, _ = load(base)
adapter = AdapterModel(base, model, RECIPE)
adapter.load(initial_adapter(adapter.spec, 0))
long = [Example(example.ids * 15, 200) for example in EXAMPLES]
train_round(adapter, long, RECIPE, 1, seed=0, padding=0, tokens_at_once=480)  # whatever is made once is there
before, peak = address_space("VmSize"), address_space("VmPeak")
if sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_AS, (before + int(sys.argv[2]), resource.RLIM_INFINITY))
figures = train_round(adapter, long, RECIPE, 1, seed=0, padding=0, tokens_at_once=4096)
print(figures.tokens_at_once, address_space("VmPeak") - max(before, peak), address_space("VmPeak") - before)
"""


def test_a_process_that_the_system_gives_no_more_goes_on_with_less(tiny_model):
    """The allocator's own error, from a limit of the kernel's: half of what the same process took without one."""

    def run(*limit):
        program = [sys.executable, "-c", LIMITED, str(tiny_model), *map(str, limit)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stderr, *map(int, done.stdout.split())

    _, tokens, grown, taken = run()
    assert tokens == 4096
    assert grown > taken // 2  # the second round it was that took the most
    said, tokens, _, _ = run(taken // 2)
    assert "out of memory with 4096 tokens at once; 1920 from now on" in said
    assert 480 <= tokens <= 1920


def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library has no malloc_trim")
def test_what_is_free_goes_back_to_the_system():
    held = [torch.ones(25_000) for _ in range(2000)]  # 100 kB each: from the heap
    last = held[-1]  # at its end, so that nothing before it goes back by itself
    before = resident_mib()
    del held
    give_back()
    assert resident_mib() < before - 150
    assert last.sum() == 25_000
