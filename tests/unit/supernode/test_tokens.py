"""Records as tokens: each template in each domain on the real tokenizer, where answers begin, what is left out."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fedlora.errors import BaseModelError
from fedlora.language_model import obtain
from fedlora.language_model.encoding import encode, padding
from fedlora.language_model.prompt import Text, alpaca, chat, labelled
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import Record
from supernode.trainer.tokens import Counts, Tokeniser

RECORDS = {
    "general-nlp": Record("Name the colour.", "A ripe lemon.", "Yellow, 100 %."),
    "finance": Record("What is the sentiment of this tweet?", "$ACME up 7% after upgrade", "positive"),
    "medical": Record("Answer this question truthfully", "What is asthma?", "Inflamed airways."),
    "code": Record("Add two numbers.", "", "def add(a, b):\n    return a + b"),
}


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def smollm():
    return AutoTokenizer.from_pretrained(obtain().directory)


@pytest.fixture(scope="module")
def metaspace():
    """A tokenizer of Llama's first kind: blanks are letters, one before each text, and a first and a last token."""
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzAQINs:.?\n", "▁ab"]
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{letter: row for row, letter in enumerate(letters, 3)}}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def quick(**changes):
    return recipe_of("general-nlp", "quick", **changes)


def tokenise(records, tokenizer, **changes):
    return Tokeniser(tokenizer, quick(**changes)).examples(records)


def pieces(example, tokenizer):
    """Return prompt and answer of an example, token by token."""
    said = ["|".join(tokenizer.decode(token) for token in part) for part in parts(example)]
    return f"{said[0]} >> {said[1]}"


def parts(example):
    border = len(example.ids) - example.answer_length
    return example.ids[:border], example.ids[border:]


# Tokens of the real tokenizer, as this test first printed them; what the templates put around questions and answers.
ALPACA = (
    "Below| is| an| instruction| that| describes| a| task|.| Write| a| response| that| appropriately| completes| the| "
    "request|.|\n|###| Instruction|:|\n|%s|\n|###| Response|:"
)
CHAT = (
    "<|im_start|>|system|\n|You| are| a| helpful| AI| assistant| named| Sm|ol|LM|,| trained| by| H|ugging| Face|"
    "<|im_end|>|\n|<|im_start|>|user|\n|%s|<|im_end|>|\n|<|im_start|>|ass|istant|\n"
)
LABELLED = "Instruction|:| %s|\n|Answer|:"
ANSWERS = {
    "general-nlp": "Yellow|,| |1|0|0| %.",
    "finance": "positive",
    "medical": "In|fl|amed| airways|.",
    "code": "def| add|(|a|,| b|):|\n   | return| a| +| b",
}
ASKED = {
    ("flowertune", "general-nlp"): ALPACA % "Name| the| colour|.",
    ("default", "general-nlp"): ALPACA % "Name| the| colour|.| A| ripe| lemon|.",
    ("quick", "general-nlp"): LABELLED % "Name| the| colour|.|\n|Input|:| A| ripe| lemon|.",
    ("chat", "general-nlp"): CHAT % "Name| the| colour|.|\n|\n|A| ripe| lemon|.",
    ("flowertune", "finance"): ALPACA
    % "What| is| the| sentiment| of| this| tweet|?| $|AC|ME| up| |7|%| after| upgrade",
    ("default", "finance"): ALPACA % "What| is| the| sentiment| of| this| tweet|?| $|AC|ME| up| |7|%| after| upgrade",
    ("quick", "finance"): LABELLED
    % "What| is| the| sentiment| of| this| tweet|?|\n|Input|:| $|AC|ME| up| |7|%| after| upgrade",
    ("chat", "finance"): CHAT % "What| is| the| sentiment| of| this| tweet|?|\n|\n|$|AC|ME| up| |7|%| after| upgrade",
    ("flowertune", "medical"): ALPACA % "What| is| asthma|?",
    ("default", "medical"): ALPACA % "What| is| asthma|?",
    ("quick", "medical"): LABELLED % "Answer| this| question| truth|fully|\n|Input|:| What| is| asthma|?",
    ("chat", "medical"): CHAT % "What| is| asthma|?",
    ("flowertune", "code"): ALPACA % "Add| two| numbers|.| ",
    ("default", "code"): ALPACA % "Add| two| numbers|.| ",
    ("quick", "code"): LABELLED % "Add| two| numbers|.",
    ("chat", "code"): CHAT % "Add| two| numbers|.",
}


@pytest.mark.model
@pytest.mark.parametrize(("preset", "domain"), ASKED)
def test_the_tokens_of_a_record_are_the_pinned_ones(smollm, preset, domain):
    """In the chat no blank stands before the answer; the benchmark's own recipe does not teach the end of a text."""
    chosen = recipe_of(domain, template="chat") if preset == "chat" else recipe_of(domain, preset)
    (example,), counts = Tokeniser(smollm, chosen).examples([RECORDS[domain]])
    blank = "" if preset == "chat" else " "
    end = "" if preset == "flowertune" else "|<|im_end|>"
    assert pieces(example, smollm) == f"{ASKED[preset, domain]} >> {blank}{ANSWERS[domain]}{end}"
    assert counts == Counts(1)


@pytest.mark.model
def test_no_token_of_an_answer_is_lost_or_won_against_the_whole_text(smollm):
    text = alpaca(RECORDS["code"])
    (encoded,) = encode([text], smollm)
    assert encoded.ids == smollm(text.prompt + text.answer)["input_ids"]
    assert smollm.decode(encoded.answer) == text.answer


def test_a_long_prompt_loses_its_beginning_and_never_the_whole_answer(tokenizer):
    (example,), counts = tokenise([Record("y" * 200, "", "short")], tokenizer, length=40)
    assert (len(example.ids), counts) == (40, Counts(1, cut=1))
    assert tokenizer.decode(example.ids).endswith("\nAnswer: short<|end|>")


def test_what_is_too_long_loses_the_end_of_its_answer_and_is_counted(tokenizer):
    asked = labelled(Record("Go.", "", "x")).prompt  # 24 characters, so 24 tokens
    (example,), counts = tokenise([Record("Go.", "", "x" * 50)], tokenizer, length=60)
    assert (len(example.ids), counts) == (60, Counts(1, cut=1))
    assert tokenizer.decode(example.ids) == f"{asked} {'x' * (60 - len(asked) - 1)}"


def test_a_record_of_just_the_length_is_not_cut(tokenizer):
    record = Record("Go.", "", "x")
    whole = len(tokenise([record], tokenizer)[0][0].ids)
    assert tokenise([record], tokenizer, length=whole)[1] == Counts(1)
    assert tokenise([record], tokenizer, length=whole - 1)[1] == Counts(1, cut=1)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("both", "Instruction: Add.\nInput: 1 + 1\nAnswer:"),
        ("instruction", "Instruction: Add.\nAnswer:"),
        ("input", "Input: 1 + 1\nAnswer:"),
    ],
)
def test_the_question_decides_what_is_asked(question, expected):
    assert labelled(Record("Add.", "1 + 1", "2"), question) == Text(expected, " 2")
    assert labelled(Record("Add.", "", "2"), question) == Text("Instruction: Add.\nAnswer:", " 2")


def test_the_benchmarks_layout_joins_instruction_and_input_by_a_blank_even_where_there_is_none():
    asked = {question: alpaca(Record("Add.", "1 + 1", "2"), question) for question in ("both", "instruction", "input")}
    before = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n"
        "### Instruction:\n"
    )
    behind = "\n### Response:"
    assert asked == {
        "both": Text(f"{before}Add. 1 + 1{behind}", " 2"),
        "instruction": Text(f"{before}Add.{behind}", " 2"),
        "input": Text(f"{before}1 + 1{behind}", " 2"),
    }
    assert alpaca(Record("Add.", "", "2")).prompt == f"{before}Add. {behind}"


def test_an_answer_begins_where_it_stands_in_the_text_whatever_tokens_are_there(metaspace):
    """Tokenised apart, this answer would get a second blank, which it never has behind its prompt."""
    (example,), _ = tokenise([Record("ab.", "", "ab")], metaspace)
    assert [metaspace.convert_ids_to_tokens(int(token)) for token in parts(example)[1]] == ["▁", "a", "b", "</s>"]
    assert metaspace.tokenize(" ab") == ["▁", "▁", "a", "b"]


def test_the_first_token_stays_where_a_prompt_is_cut_and_an_end_is_there_once(metaspace):
    (whole,), _ = tokenise([Record("abc" * 30, "", "ab")], metaspace)
    (cut,), _ = tokenise([Record("abc" * 30, "", "ab")], metaspace, length=20)
    assert (whole.ids[0], cut.ids[0], len(cut.ids)) == (1, 1, 20)
    assert list(cut.ids[1:]) == list(whole.ids[-19:])
    assert list(whole.ids).count(2) == 1
    (unended,), _ = tokenise([Record("ab.", "", "ab")], metaspace, end_of_text=False)
    assert 2 not in unended.ids


def test_a_token_across_the_border_is_the_answers(tokenizer):
    merged = Tokenizer(models.BPE(vocab={"a": 0, ":": 1, ":a": 2, "b": 3}, merges=[(":", "a")]))
    fast = PreTrainedTokenizerFast(tokenizer_object=merged)
    assert encode([Text("b:", "ab")], fast)[0] == ([3, 2, 3], 0, 1)


def test_what_cannot_be_trained_on_is_left_out_and_counted(tiny_model):
    """A tokenizer that drops control characters has no token for an answer of nothing else."""
    made = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    made.normalizer = normalizers.Replace("\x01", "")
    deaf = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")
    deaf.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    records = [Record("a", "", " \n"), Record("a", "", "\x01"), Record("a", "", "b")]
    examples, counts = tokenise(records, deaf)
    assert (len(examples), counts, counts.examples) == (1, Counts(3, empty=1, unanswered=1), 1)
    assert tokenise([Record("a", "", "b")], deaf, length=1) == ([], Counts(1, cut=1, unanswered=1))
    assert Counts(3, 1, 1, 1) + Counts(2, 1) == Counts(5, 2, 1, 1)


def test_an_end_of_text_is_wanted_only_where_it_is_taught(tiny_model):
    endless = AutoTokenizer.from_pretrained(tiny_model, eos_token=None)
    with pytest.raises(
        BaseModelError, match="has no end-of-text token, which belongs to the answers; set the recipe's"
    ):
        tokenise([Record("a", "", "b")], endless)
    (example,), _ = tokenise([Record("a", "", "b")], endless, end_of_text=False)
    assert endless.decode(example.ids) == "Instruction: a\nAnswer: b"
    assert padding(endless) == 0


def with_template(tokenizer, template, **changes):
    made = AutoTokenizer.from_pretrained(tokenizer.name_or_path, **changes)
    made.chat_template = template
    return made


def turns(end="", opening=""):
    """Return a template: who speaks, what is said without blanks around it, `end`; `opening` where more is wanted."""
    said = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}" + end + "{% endfor %}"
    return said + "{% if add_generation_prompt %}<assistant>" + opening + "{% endif %}"


THINKING = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}|"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% if enable_thinking is false %}<think></think>{% endif %}"
    "{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "ended", "unended"),
    [
        (turns("|\n"), Text("<user>ask|\n<assistant>", "say|"), Text("<user>ask|\n<assistant>", "say")),
        (turns(), Text("<user>ask<assistant>", "say<|end|>"), Text("<user>ask<assistant>", "say")),
        (
            turns("|", "<think>\n"),  # what it opens for a new turn, it does not show of past ones
            Text("<user>ask|<assistant><think>\n", " say<|end|>"),
            Text("<user>ask|<assistant><think>\n", " say"),
        ),
        (
            THINKING,
            Text("<user>ask|<assistant><think></think>", " say |"),
            Text("<user>ask|<assistant><think></think>", " say"),
        ),
    ],
)
def test_a_chat_template_says_where_a_turn_ends(tokenizer, template, ended, unended):
    """Turns with an end and a break behind it, without an end, with a thought that is not kept, with an empty one."""
    own = with_template(tokenizer, template)
    assert chat(Record("ask", "", " say "), own) == ended
    assert chat(Record("ask", "", " say "), own, end_of_text=False) == unended


TODAY = (  # the way of Llama's templates
    "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "Today Date: {{ date_string }}. "
)


def test_a_chat_template_that_states_the_date_gives_the_same_text_each_day(tokenizer):
    own = with_template(tokenizer, TODAY + turns("|"))
    assert chat(Record("ask", "", "say"), own) == Text("Today Date: 26 Jul 2024. <user>ask|<assistant>", "say|")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (None, "is not there; set the recipe's template to"),
        ("{{ raise_exception('no') }}", "cannot be rendered: no; set"),
        ("{% for %}", "cannot be rendered: "),
        ("{{ messages[0].content + 1 }}", "cannot be rendered: "),
    ],
)
def test_a_chat_template_that_cannot_be_rendered_is_refused_before_the_first_record(tokenizer, template, reason):
    with pytest.raises(BaseModelError, match=reason):
        Tokeniser(with_template(tokenizer, template), quick(template="chat"))


def test_a_chat_without_any_end_is_refused_where_it_is_taught(tokenizer):
    own = with_template(tokenizer, turns(), eos_token=None)
    with pytest.raises(BaseModelError, match="marks no end of a turn, and there is no end-of-text token"):
        Tokeniser(own, quick(template="chat"))
    Tokeniser(own, quick(template="chat", end_of_text=False))


def test_a_tokenizer_that_knows_no_places_is_refused(tokenizer):
    class Slow:
        is_fast, name_or_path = False, "/models/slow"

    with pytest.raises(BaseModelError, match="the tokenizer in /models/slow cannot say where in a text a token stands"):
        encode([Text("a", "b")], Slow())
