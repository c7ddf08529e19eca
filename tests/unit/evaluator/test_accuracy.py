"""Scores against a plain computation, one record at a time."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from evaluator.scoring.accuracy import Scorer, _score
from fedlora.language_model import BaseModel
from fedlora.language_model.loading import load
from fedlora.language_model.prompt import alpaca, labelled
from fedlora.recipes import recipe
from fedlora.shards import Record

LABELS = ("up", "down", "flat")
LABELLED = [Record("Which way?", f"case {'x' * (n % 7)} {n}", LABELS[n % 3]) for n in range(30)]
FREE = [Record("Say it.", f"{n}", f"word {'ab' * (n % 5)} {n}") for n in range(12)]


@pytest.fixture(scope="module")
def scorer(tiny_model):
    model, tokenizer = load(BaseModel("tiny", tiny_model))
    model = get_peft_model(model.float(), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    return Scorer(model.eval(), tokenizer, recipe("medical", "quick"), length=512)


def tokens(scorer, text):
    return scorer.tokenizer(text, add_special_tokens=False)["input_ids"]


def log_likelihood(scorer, text, continuation):
    ids = torch.tensor([tokens(scorer, text) + tokens(scorer, continuation)])
    answered = len(tokens(scorer, continuation))
    with torch.no_grad():
        logits = scorer.model(input_ids=ids).logits[0].log_softmax(-1)
    return sum(float(logits[-answered - 1 + k, ids[0, -answered + k]]) for k in range(answered))


def test_label_accuracy_is_the_likeliest_label_record_by_record(scorer):
    hits = 0
    for record in LABELLED:
        likelihoods = {label: log_likelihood(scorer, labelled(record).prompt, f" {label}") for label in LABELS}
        hits += max(likelihoods, key=likelihoods.__getitem__) == record.output
    with torch.inference_mode():
        score = scorer.score(LABELLED)
    assert (score.measure, score.unit, score.n, score.records) == ("label accuracy", "records", 30, 30)
    assert score.accuracy == hits / 30
    assert score.majority == pytest.approx(1 / 3)


def test_labels_of_one_token_take_the_short_way_to_the_same_answer(scorer):
    prompts = [tokens(scorer, labelled(record).prompt) for record in LABELLED]
    single = [[5], [9], [77]]
    with torch.inference_mode():
        chosen = scorer._labels(prompts, single)
        for ids, choice in zip(prompts, chosen, strict=True):
            last = scorer.model(input_ids=torch.tensor([ids])).logits[0, -1]
            assert choice == int(last[[5, 9, 77]].argmax())
    assert len(set(chosen)) > 1


def test_token_accuracy_counts_every_answer_token_and_the_end(scorer):
    hits = total = 0
    for record in FREE:
        asked, answered = (tokens(scorer, text) for text in labelled(record))
        answered = [*answered, 0]
        with torch.no_grad():
            ranked = scorer.model(input_ids=torch.tensor([asked + answered])).logits[0].argmax(-1).tolist()
        hits += sum(ranked[len(asked) - 1 + k] == token for k, token in enumerate(answered))
        total += len(answered)
    with torch.inference_mode():
        score = scorer.score(FREE)
    assert (score.measure, score.unit, score.records, score.majority) == ("token accuracy", "tokens", 12, None)
    assert (score.n, score.accuracy) == (total, hits / total)


@pytest.mark.parametrize(("records", "end"), [(FREE, "<|end|>"), (LABELLED, "")])
def test_the_model_sees_records_in_the_template_that_was_trained(scorer, records, end):
    seen = []
    saw = lambda _, __, named: seen.extend(named["input_ids"])  # noqa: E731
    hook = scorer.model.register_forward_pre_hook(saw, with_kwargs=True)
    try:
        with torch.inference_mode():
            of = recipe("medical", "quick", template="alpaca", question="input")
            Scorer(scorer.model, scorer.tokenizer, of, length=512).score(records)
    finally:
        hook.remove()
    texts = {"".join(text) + end for record in records for text in [alpaca(record, "input")]}
    assert texts <= {scorer.tokenizer.decode(ids[ids.ne(0).nonzero()[0, 0] :]) for ids in seen}


def test_hits_are_the_tokens_that_the_model_would_have_said_itself(scorer):
    """Greedy continuations of known length, each ended by a token that the model would not have said."""
    prompts = [tokens(scorer, labelled(record).prompt) for record in FREE]
    answers = []
    for number, asked in enumerate(prompts):
        said = list(asked)
        with torch.no_grad():
            for _ in range(number % 5 + 1):
                said.append(int(scorer.model(input_ids=torch.tensor([said])).logits[0, -1].argmax()))
        said[-1] = (said[-1] + 1) % 257
        answers.append(said[len(asked) :])
    with torch.inference_mode():
        assert scorer._answer_hits(prompts, answers) == [number % 5 for number in range(len(FREE))]


def test_the_interval_is_wilsons():
    score = _score("label accuracy", 8, 10, "records", 10, None)
    assert (score.low, score.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert _score("label accuracy", 0, 10, "records", 10, None).low == pytest.approx(0)
    assert _score("label accuracy", 10, 10, "records", 10, None).high == pytest.approx(1)


class Seen(Scorer):
    """Keeps what it asks the model."""

    def _labels(self, prompts, labels):
        self.asked = [self.tokenizer.decode(prompt) for prompt in prompts], [*map(self.tokenizer.decode, labels)]
        return super()._labels(prompts, labels)


@pytest.mark.parametrize(
    ("template", "prompt", "answer"),
    [
        ("labelled", "Instruction: Which way?\nInput: case  0\nAnswer:", " down"),
        ("alpaca", "### Instruction:\nWhich way? case  0\n### Response:", " down"),
        ("chat", "<user>Which way?\n\ncase  0;<assistant>", "down"),
    ],
)
def test_records_are_scored_in_the_text_that_was_trained_on(template, prompt, answer, scorer):
    scorer.tokenizer.chat_template = (
        "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }};{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    other = Seen(scorer.model, scorer.tokenizer, recipe("medical", "quick", template=template), length=512)
    with torch.inference_mode():
        other.score(LABELLED)
    prompts, labels = other.asked
    assert prompts[0].endswith(prompt)
    assert labels[0] == answer


def test_what_ends_an_answer_is_scored_as_the_recipe_teaches_it(scorer):
    scored = {}
    for end_of_text in (True, False):
        of = recipe("medical", "quick", end_of_text=end_of_text)
        with torch.inference_mode():
            scored[end_of_text] = Scorer(scorer.model, scorer.tokenizer, of, length=512).score(FREE).n
    assert scored[True] == scored[False] + len(FREE)
