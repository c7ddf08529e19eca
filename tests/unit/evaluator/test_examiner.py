"""Many items at once against one at a time, by plain code of transformers; and examinations that are interrupted."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
import torch
from evaluation_sets import PROGRAMS, REAL, questions, real_file

from evaluator import examination
from evaluator.examination import Examination, examine, follow, results
from evaluator.results.answer import read_answers
from evaluator.sandbox.run import require
from evaluator.scoring.batches import batches
from evaluator.scoring.examiner import Examiner
from evaluator.scoring.generation import Generator, Wanted, sampled
from evaluator.scoring.reader import Reader
from evaluator.tasks.catalogue import TASKS, task
from fedlora.domains import DOMAINS
from fedlora.errors import EvaluationError
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load

ITEMS = 100


@pytest.fixture(scope="module")
def examiner(model):
    return Examiner(*load(model, precision="fp32", compute="fp32"), batch_tokens=4096)


def answered(examiner, of, scoring, items):
    return {answer.id: answer for batch in examiner.answers(of, scoring, items) for answer in batch}


def literally(examiner, of, item):
    """Generate as the reference's scripts do, for an item alone."""
    tokenizer = examiner.tokenizer
    ids = tokenizer(of.prompt(item), return_tensors="pt")["input_ids"]
    if of.domain == "finance":
        limit = {"max_length": 512}
    else:
        limit = {"max_new_tokens": len(tokenizer(item.gold, add_special_tokens=False)["input_ids"])}
    with torch.inference_mode():
        whole = examiner.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=tokenizer.eos_token_id, **limit
        )
    return tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)


def plain_likelihoods(examiner, of, item):
    """Return the log-likelihood of each label behind the prompt, one pass for each."""
    values = {}
    for label in item.labels:
        prompt, said = (
            examiner.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (of.ask(item), f" {label}")
        )
        with torch.inference_mode():
            logits = examiner.model(input_ids=torch.tensor([prompt + said])).logits[0].log_softmax(-1)
        values[label] = sum(float(logits[len(prompt) - 1 + place, token]) for place, token in enumerate(said))
    return values


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_generation_is_the_references_item_by_item(examiner, real_data, tmp_path, name):
    of = task(name)
    items = sorted(of.read(real_file(real_data, REAL[name][0], tmp_path)), key=lambda item: len(item.question))
    if of.domain == "finance":  # behind a long prompt few tokens are left to generate
        items = [item for item in items if len(item.question) < 700][-ITEMS:]
    else:  # a token is a byte
        most = max(ITEMS, sum(len(item.question) < 700 for item in items))
        items = items[: most : most // ITEMS][:ITEMS]
    assert len(items) == ITEMS
    found = answered(examiner, of, "flowertune", items)
    for item in items:
        text = literally(examiner, of, item)
        assert text.startswith(found[item.id].text)
        assert found[item.id].chosen == of.extract(item, text)
        assert found[item.id].text == text or of.settled(item, found[item.id].text)


@pytest.mark.real_data
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_are_written_as_one_at_a_time(examiner, real_data, name):
    of = task(name)
    items = of.read(real_data / PROGRAMS[name])[:ITEMS]
    assert len(items) == ITEMS
    prompts = examiner.tokenizer([item.prompt for item in items])["input_ids"]
    generator = Generator(Reader(examiner.model, 0), examiner.tokenizer.decode, {0}, 16384)
    texts = {}
    with torch.inference_mode():
        for batch in generator.generate([Wanted(prompt, 20) for prompt in prompts]):
            texts |= batch
        for row, (item, prompt) in enumerate(zip(items, prompts, strict=True)):
            ids = torch.tensor([prompt])
            mask = torch.ones_like(ids)
            whole = examiner.model.generate(
                ids, attention_mask=mask, do_sample=False, max_new_tokens=20, pad_token_id=0, eos_token_id=0
            )
            alone = examiner.tokenizer.decode(whole[0, len(prompt) :], skip_special_tokens=True)
            assert texts[row] == alone, item.id


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["careqa", "pubmedqa", "fpb"])
def test_likelihoods_are_those_of_each_label_alone(examiner, real_data, tmp_path, name):
    of = task(name)
    items = [item for item in of.read(real_file(real_data, REAL[name][0], tmp_path)) if len(item.question) < 2000][:20]
    found = answered(examiner, of, "likelihood", items)
    for item in items:
        alone = plain_likelihoods(examiner, of, item)
        assert found[item.id].likelihoods == pytest.approx(alone, abs=2e-3)
        assert found[item.id].tokens == {label: len(label) + 1 for label in item.labels}  # a token a byte
        assert found[item.id].chosen == max(alone, key=alone.__getitem__)


def test_an_adapter_is_worn_and_taken_off(model, adapter):
    examiner = Examiner(*load(model, precision="fp32", compute="fp32"))
    items = task("tfns").read(_tweets(adapter.parent / "t.jsonl", 8))

    def likelihoods(folder):
        with examiner.wear(folder):
            return [answer.likelihoods for answer in answered(examiner, task("tfns"), "likelihood", items).values()]

    bare, worn = likelihoods(None), likelihoods(adapter)
    assert bare != worn
    assert likelihoods(None) == bare
    assert likelihoods(adapter) == worn
    with pytest.raises(EvaluationError, match="does not fit this base model"), examiner.wear(adapter.parent):
        pass


def test_a_prompt_beyond_the_context_is_cut_at_its_beginning_and_counted(tiny_model, tmp_path):
    examiner = Examiner(*load(BaseModel("tiny", tiny_model), precision="fp32", compute="fp32"))  # 512 tokens
    long = {"text": "up " * 300, "label": 1}
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (long, {"text": "up", "label": 1})))
    items = task("tfns").read(tmp_path / "t.jsonl")
    found = answered(examiner, task("tfns"), "likelihood", items)
    assert [answer.cut > 0 for answer in (found["0"], found["1"])] == [True, False]
    assert found["0"].prompt_tokens - found["0"].cut + max(found["0"].tokens.values()) == 512
    generated = answered(examiner, task("tfns"), "flowertune", items)
    assert generated["0"].text == ""  # the prompt alone is longer than prompt and answer may be
    assert generated["0"].chosen == "neutral"


def test_what_a_cut_prompt_is_answered_with_is_what_its_end_alone_is(tiny_model, tmp_path):
    examiner = Examiner(*load(BaseModel("tiny", tiny_model), precision="fp32", compute="fp32"))  # 512 tokens
    row = {"id": "1", "QUESTION": "Is it so?", "CONTEXTS": ["It may be. " * 60], "final_decision": "maybe"}
    (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
    (item,) = task("pubmedqa").read(tmp_path / "q.jsonl")
    (found,) = answered(examiner, task("pubmedqa"), "flowertune", [item]).values()
    ids = examiner.tokenizer(task("pubmedqa").prompt(item))["input_ids"]
    assert found.cut == len(ids) + len("maybe") - 512 > 0
    end = torch.tensor([ids[found.cut :]])
    with torch.inference_mode():
        new = examiner.model.generate(end, attention_mask=torch.ones_like(end), max_new_tokens=5, do_sample=False)
    assert found.text == examiner.tokenizer.decode(new[0, end.shape[1] :], skip_special_tokens=True)


def test_a_sample_does_not_depend_on_its_batch(examiner):
    prompts = [list(range(1, 2 + place % 5)) for place in range(9)]
    wanted = [Wanted(prompt, 6) for prompt in prompts]
    reader = Reader(examiner.model, 0)

    def texts(most_tokens):
        generator = Generator(reader, lambda tokens: " ".join(map(str, tokens)), set(), most_tokens)
        made = {}
        with torch.inference_mode():
            for batch in generator.generate(wanted, choose=sampled(list(range(9)), 2.0, 0.95)):
                made |= batch
        return made

    together, alone = texts(10_000), texts(1)
    assert together == alone
    assert len({together[place] for place in (0, 5)}) == 2  # the same prompt with another seed


def test_batches_hold_every_row_once_and_no_more_than_fit():
    lengths = [5, 90, 7, 30, 30, 31, 100, 1]
    made = list(batches(lengths, 100))
    assert sorted(row for batch in made for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= 100 for batch in made)
    assert all(len(batch) <= 2 for batch in batches([1] * 9, 100, most_rows=2))


def _tweets(file, count):
    rows = [{"text": f"Shares of number {number} go up", "label": number % 3} for number in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _examination(model, adapter, folder, **changes):
    values = {
        "benchmarks": {"medmcqa": questions(folder / "questions.jsonl", 12)},
        "base_model": model,
        "results": folder / "results",
        "adapters": {"adapted": adapter} if adapter else {},
        "base_precision": "fp32",
        "batch_tokens": 512,
    }
    return Examination(**{**values, **changes})


def test_an_examination_goes_on_where_it_was_interrupted(model, adapter, tmp_path, monkeypatch):
    done = examine(_examination(model, adapter, tmp_path), lambda *_: None)
    assert {who: [(one.task, one.scoring) for one in scores] for who, scores in done.items()} == {
        who: [("medmcqa", "flowertune"), ("medmcqa", "likelihood")] for who in ("base", "adapted")
    }
    files = sorted((tmp_path / "results").rglob("answers.jsonl"))
    assert [len(file.read_text().splitlines()) for file in files] == [12] * 4
    whole = [sorted((one.id, one.chosen) for one in read_answers(file)) for file in files]
    for file in files[:2]:
        file.write_bytes(file.read_bytes()[:-300])
    asked = []
    answers = Examiner.answers

    def counted(self, of, scoring, items, samples):
        asked.extend(items)
        return answers(self, of, scoring, items, samples)

    monkeypatch.setattr(Examiner, "answers", counted)
    assert examine(_examination(model, adapter, tmp_path), lambda *_: None) == done
    assert 0 < len(asked) < 12
    assert [sorted((one.id, one.chosen) for one in read_answers(file)) for file in files] == whole


def test_rounds_are_scored_as_they_come_each_nth_and_the_last(model, adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(examination, "LOOK_SECONDS", 0.0)
    checkpoints, looks = tmp_path / "checkpoints", []

    def ended():
        looks.append(sorted(entry.name for entry in (tmp_path / "results").iterdir()))
        shutil.copytree(adapter, checkpoints / f"round-{len(looks):04d}")
        return len(looks) == 5

    follow(_examination(model, None, tmp_path), checkpoints, 2, ended, lambda *_: None)
    assert looks == [["base"], ["base"], ["base", "round-0002"], ["base", "round-0002"],
                     ["base", "round-0002", "round-0004"]]  # fmt: skip
    assert [name for name, _, scores in results(tmp_path / "results") if len(scores) == 2] == [
        "base", "round-0002", "round-0004", "round-0005"
    ]  # fmt: skip


def test_results_of_something_else_are_not_gone_on_with(model, adapter, tmp_path):
    examine(_examination(model, None, tmp_path, limit=4), lambda *_: None)
    assert not (tmp_path / "results" / "adapted").exists()
    with pytest.raises(EvaluationError, match="holds results with another limit, seed"):
        examine(_examination(model, None, tmp_path, limit=5, seed=1), lambda *_: None)


def test_rounds_whose_checkpoints_are_gone_are_named_unless_they_were_scored(model, adapter, tmp_path, caplog):
    shutil.copytree(adapter, tmp_path / "checkpoints" / "round-0002")
    ones = _examination(model, None, tmp_path, limit=2)
    follow(ones, tmp_path / "checkpoints", 2, lambda: True, lambda *_: None)
    (tmp_path / "checkpoints" / "round-0002").rename(tmp_path / "checkpoints" / "round-0007")
    caplog.set_level(logging.WARNING)
    logging.getLogger("fedlora").propagate = True
    follow(ones, tmp_path / "checkpoints", 2, lambda: True, lambda *_: None)
    assert [line.partition(" is not scored")[0] for line in caplog.messages] == ["round 4", "round 6"]


def test_an_adapter_of_another_base_model_is_refused_before_anything_is_answered(model, foreign, tmp_path):
    with pytest.raises(EvaluationError, match="was trained on"):
        examine(_examination(model, foreign, tmp_path), lambda *_: None)
    assert not list((tmp_path / "results").rglob("answers.jsonl"))


def test_programs_are_written_drawn_and_judged_in_sandboxes(model, tmp_path):
    require("python")
    rows = [
        {"task_id": f"HumanEval/{n}", "prompt": f"def f{n}():\n", "entry_point": f"f{n}", "test": "def check(f): pass",
         "canonical_solution": ""} for n in range(3)
    ]  # fmt: skip
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    short = replace(TASKS["humaneval"], most_tokens=24)
    items = short.read(tmp_path / "h.jsonl")
    examiner = Examiner(*load(model, precision="fp32", compute="fp32"), seed=7)

    def texts(scoring, samples, asked=items):
        found = [one for batch in examiner.answers(short, scoring, asked, samples) for one in batch]
        assert all(one.chosen for one in found)  # judged, whatever came of it
        return {(one.id, one.sample): one.text for one in found}

    drawn = texts("flowertune", 2)
    assert len(drawn) == 6
    assert texts("flowertune", 2, items[1:2]).items() <= drawn.items()  # the same alone
    greedy = texts("greedy", 2)
    assert set(greedy) == {(item.id, 0) for item in items}


def test_every_task_stands_in_the_catalogue():
    assert {one.domain for one in TASKS.values()} == set(DOMAINS)
