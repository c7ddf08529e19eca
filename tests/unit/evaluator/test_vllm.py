"""The examiner on vLLM against the one on transformers.

vLLM cannot be installed where these tests run. A stand-in takes its place, which answers as vLLM's documentation says
and computes with the real model of the tests.
"""

import json
import shutil
import sys
import types
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch
from evaluation_sets import questions
from peft import PeftModel

from evaluator.examination import Examination, examine
from evaluator.sandbox.run import available
from evaluator.scoring.examiner import Examiner
from evaluator.tasks.catalogue import TASKS, task
from fedlora.errors import EvaluationError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load


@dataclass
class SamplingParams:
    """Those of vLLM's that are used."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    stop_token_ids: list = field(default_factory=list)
    ignore_eos: bool = False
    prompt_logprobs: int | None = None
    detokenize: bool = True


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


class LLM:
    """Generates with transformers, a prompt at a time."""

    made: ClassVar = []

    def __init__(self, model, **options):
        self.options, self.requests = options, []
        self.base, _ = load(BaseModel("m", model), precision="fp32", compute="fp32")
        self.worn = None
        LLM.made.append(self)

    def generate(self, prompts, sampling_params, *, lora_request, use_tqdm):
        return [
            self._one(prompt["prompt_token_ids"], params, lora_request)
            for prompt, params in zip(prompts, sampling_params, strict=True)
        ]

    @torch.inference_mode()
    def _one(self, prompt, params, lora):
        self.requests.append((len(prompt), params, lora))
        assert len(prompt) < self.options["max_model_len"]
        model = self.base
        if lora is not None:
            self.worn = model = self.worn or with_adapter(self.folder, lora.lora_path)
        ids = torch.tensor([prompt])
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=params.max_tokens,
            eos_token_id=params.stop_token_ids or None, pad_token_id=0,
        )[0, len(prompt) :].tolist()  # fmt: skip
        told = None
        if params.prompt_logprobs is not None:
            said = model(input_ids=ids).logits[0].log_softmax(-1)
            told = [None] + [
                {token: types.SimpleNamespace(logprob=float(said[place, token]))}
                for place, token in enumerate(prompt[1:])
            ]
        return types.SimpleNamespace(outputs=[types.SimpleNamespace(token_ids=made)], prompt_logprobs=told)


def with_adapter(folder, adapter):
    return PeftModel.from_pretrained(load(BaseModel("m", folder), precision="fp32", compute="fp32")[0], adapter).eval()


@pytest.fixture
def vllm(monkeypatch, model):
    LLM.folder = model.directory
    package = types.ModuleType("vllm")
    package.LLM, package.SamplingParams = LLM, SamplingParams
    request = types.ModuleType("vllm.lora.request")
    request.LoRARequest = LoRARequest
    for name, module in (("vllm", package), ("vllm.lora", types.ModuleType("vllm.lora")), (request.__name__, request)):
        monkeypatch.setitem(sys.modules, name, module)
    from evaluator.scoring.vllm import VllmExaminer

    LLM.made.clear()
    return VllmExaminer(model, precision="fp32")


def answered(examiner, of, scoring, items, adapter=None):
    with examiner.wear(adapter):
        return {answer.id: answer for batch in examiner.answers(of, scoring, items) for answer in batch}


def test_answers_are_those_of_transformers(vllm, model, adapter, tmp_path):
    plain = Examiner(*load(model, precision="fp32", compute="fp32"))
    items = task("medmcqa").read(questions(tmp_path / "q.jsonl", 4))
    rows = [{"text": f"Shares of number {n} go up", "label": n % 3} for n in range(2)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tweets = replace(TASKS["tfns"], most_tokens=160)  # of which the prompt has about 140
    for of, ones in ((task("medmcqa"), items), (tweets, tweets.read(tmp_path / "t.jsonl"))):
        for worn in (None, adapter):
            for scoring in of.scorings:
                ours, theirs = (answered(one, of, scoring, ones, worn) for one in (vllm, plain))
                assert ours.keys() == theirs.keys()
                for key, answer in ours.items():
                    expected = theirs[key]
                    assert (answer.chosen, answer.prompt_tokens, answer.cut) == (
                        expected.chosen, expected.prompt_tokens, expected.cut
                    )  # fmt: skip
                    assert answer.text.startswith(expected.text)  # a text that is settled may go on
                    assert answer.likelihoods == pytest.approx(expected.likelihoods, abs=1e-3)
    (engine,) = LLM.made
    assert engine.options["enable_lora"]
    assert {lora and (lora.lora_int_id, lora.lora_path) for _, _, lora in engine.requests} == {None, (1, str(adapter))}
    assert {params.temperature for _, params, _ in engine.requests} == {0.0}


def test_programs_are_drawn_with_a_seed_each(vllm, tmp_path):
    if available("python"):
        pytest.skip("left out: no sandbox here")
    rows = [
        {"task_id": f"HumanEval/{n}", "prompt": f"def f{n}():\n", "entry_point": f"f{n}", "test": "def check(f): pass"}
        for n in range(2)
    ]
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    short = replace(TASKS["humaneval"], most_tokens=20)
    found = [one for batch in vllm.answers(short, "flowertune", short.read(tmp_path / "h.jsonl"), 2) for one in batch]
    assert sorted((one.id, one.sample) for one in found) == [(f"HumanEval/{n}", k) for n in range(2) for k in range(2)]
    drawn = [params for _, params, _ in LLM.made[0].requests]
    assert len({params.seed for params in drawn}) == 4
    assert {(params.temperature, params.top_p) for params in drawn} == {(0.2, 0.95)}


def test_adapters_that_vllm_does_not_apply_are_refused(vllm, adapter, tmp_path):
    for name, change in (("dora", {"use_dora": True}), ("wide", {"r": 128})):
        folder = shutil.copytree(adapter, tmp_path / name)
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(EvaluationError, match="ranks up to 64, and no DoRA"):
            vllm.wear(folder)


def test_without_vllm_it_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    asked = Examination({"medmcqa": questions(tmp_path / "q.jsonl", 2)}, model, tmp_path / "results", engine="vllm")
    with pytest.raises(EvaluationError, match=r"vllm is not installed here; run: pip install 'fedlora\[vllm\]'"):
        examine(asked, lambda *_: None)
