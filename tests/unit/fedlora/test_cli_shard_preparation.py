"""`fedlora shard import|validate|partition`: what is left out or only counted, what is said of it and kept of it."""

import dataclasses
import hashlib
import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError, ShardError
from fedlora.shards import open_shard

CANARY = "canary-7f30"
NONE_LEFT_OUT = dict.fromkeys(("empty", "missing", "no_text", "label", "no_id", "duplicate", "leak"), 0)
LEAKED = f"how many of the {CANARY} were there in the end"


def shard(*arguments):
    return CliRunner().invoke(application, ["shard", *map(str, arguments)], env={"COLUMNS": "150", "TERM": "dumb"})


def lines(file, *rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def row(question, answer="yes", **more):
    return {"instruction": question, "output": answer, **more}


@pytest.fixture
def held_out(tmp_path):
    return lines(tmp_path / "held-out.jsonl", {"question": LEAKED, "choices": ["a", "b"]}, {"question": "Why not?"})


def imported(tmp_path, *rows, arguments=()):
    """Import rows; return what is said behind the first line, the manifest, and the questions that are in the shard."""
    source = lines(tmp_path / "source.jsonl", *rows)
    result = shard("import", source, tmp_path / "s", "--domain", "medical", *arguments)
    assert result.exit_code == 0, result.exception
    made = open_shard(tmp_path / "s")
    assert CANARY not in result.stdout + made.manifest.to_json()
    return result.stdout.splitlines()[1:], made.manifest, [record.instruction for record in made.records()]


def test_repeated_rows_are_left_out_and_contradicting_ones_stay(tmp_path):
    rows = (row("a"), row("b"), row(" a "), row("a", "no"), row("b", input="x"))
    said, manifest, questions = imported(tmp_path, *rows)
    assert said == [
        "left out 1 of 5 rows: 1 repeated",
        "1 record(s) answer a question differently than an earlier one",
    ]
    assert questions == ["a", "b", "a", "b"]
    assert json.loads(manifest.to_json())["preparation"] == [
        {
            "source": "source.jsonl",
            "rows": 5,
            "left_out": {**NONE_LEFT_OUT, "duplicate": 1},
            "duplicates": 1,
            "contradictions": 1,
            "held_out": [],
        }
    ]


def test_repeated_rows_are_kept_on_request_and_counted(tmp_path):
    said, manifest, questions = imported(tmp_path, row("a"), row("a"), row("b"), arguments=["--keep-duplicates"])
    assert said == ["1 record(s) repeat an earlier one"]
    assert questions == ["a", "a", "b"]
    (step,) = manifest.preparation
    assert (step.duplicates, step.left_out.total) == (1, 0)


BAD = {
    "empty": row("a", " \u200b"),
    "missing": {"instruction": "a"},
    "no_text": row("a", 7),
    "label": {"text": "a", "label": 9},
}


def test_rows_that_are_no_records_are_left_out_on_request_and_counted_by_reason(tmp_path):
    source = lines(tmp_path / "source.jsonl", row("a"), *BAD.values(), BAD["empty"], row("b"))
    result = shard("import", source, tmp_path / "s", "--domain", "finance", "--skip-bad")
    assert result.stdout.splitlines()[1:] == [
        "left out 5 of 7 rows: 2 empty, 1 without a field, 1 with a field that is no text, 1 with an unknown label"
    ]
    (step,) = open_shard(tmp_path / "s").manifest.preparation
    assert step.left_out.total == 5
    assert (step.left_out.empty, step.left_out.missing, step.left_out.no_text, step.left_out.label) == (2, 1, 1, 1)


@pytest.mark.parametrize("kind", BAD)
def test_else_the_first_is_named_and_nothing_is_left(tmp_path, kind):
    source = lines(tmp_path / "source.jsonl", row("a"), BAD[kind])
    result = shard("import", source, tmp_path / "s", "--domain", "finance")
    assert isinstance(result.exception, ShardError)
    assert str(result.exception).startswith(f"{source}, line 2: field ")
    assert not (tmp_path / "s").exists()


def test_a_file_that_is_damaged_is_refused_all_the_same(tmp_path):
    source = tmp_path / "source.jsonl"
    source.write_text(json.dumps(row("a")) + "\n{\n")
    result = shard("import", source, tmp_path / "s", "--domain", "medical", "--skip-bad")
    assert str(result.exception).startswith(f"{source}, line 2: is not JSON")


def test_a_shard_of_which_nothing_would_be_left_is_refused(tmp_path):
    source = lines(tmp_path / "source.jsonl", BAD["empty"], BAD["missing"])
    result = shard("import", source, tmp_path / "s", "--domain", "medical", "--skip-bad")
    assert str(result.exception) == (
        f"{source}: holds 0 records; a shard needs at least one; all of its 2 rows were left out"
    )
    assert not (tmp_path / "s").exists()


LEAKS = (row(LEAKED.upper()), row("So:", f"It was asked {LEAKED}."), row("So:", LEAKED), row("c"))
FOUND = "1 record(s) ask what is in it, 1 more share 13 words or a whole text with it"


def test_what_stands_in_an_evaluation_set_is_counted(tmp_path, held_out):
    said, manifest, questions = imported(tmp_path, *LEAKS, arguments=["--held-out", held_out])
    assert said == [
        "1 record(s) answer a question differently than an earlier one",
        f"held-out.jsonl, 1 items: {FOUND}",
    ]
    assert len(questions) == 4
    assert json.loads(manifest.to_json())["preparation"][0]["held_out"] == [
        {
            "file": "held-out.jsonl",
            "sha256": hashlib.sha256(held_out.read_bytes()).hexdigest(),
            "items": 1,
            "words": 13,
            "exact": 1,
            "partial": 1,
        }
    ]
    assert manifest.preparation[0].left_out.total == 0


def test_and_left_out_on_request(tmp_path, held_out):
    arguments = ["--held-out", held_out, "--drop-leaks", "--words", "9"]
    said, manifest, questions = imported(tmp_path, *LEAKS, arguments=arguments)
    assert said[0] == "left out 3 of 4 rows: 3 in evaluation sets"
    assert (
        said[-1]
        == "held-out.jsonl, 1 items: 1 record(s) ask what is in it, 2 more share 9 words or a whole text with it"
    )
    assert questions == ["c"]
    assert manifest.preparation[0].left_out.leak == 3
    checked = shard("validate", tmp_path / "s", "--held-out", held_out)
    assert checked.stdout.splitlines()[1:] == [
        "held-out.jsonl, 1 items: 0 record(s) ask what is in it, 0 more share 13 words or a whole text with it"
    ]


def test_a_shard_is_compared_later(tmp_path, held_out):
    imported(tmp_path, *LEAKS)
    checked = shard("validate", tmp_path / "s", "--held-out", held_out)
    assert (checked.exit_code, checked.stdout.splitlines()) == (
        0,
        [f"{tmp_path}/s: 4 records of domain medical fit the manifest", f"held-out.jsonl, 1 items: {FOUND}"],
    )


@pytest.mark.parametrize(
    ("name", "shown"), [("a\nb.jsonl", r"a\nb.jsonl"), ("a\udcff.jsonl", r"a\udcff.jsonl"), ("ä.jsonl", "ä.jsonl")]
)
def test_names_of_files_that_cannot_be_printed(tmp_path, name, shown):
    source, held_out = lines(tmp_path / name, row("a")), lines(tmp_path / f"of {name}", row(LEAKED))
    result = shard("import", source, tmp_path / "s", "--domain", "medical", "--name", "s", "--held-out", held_out)
    assert result.exit_code == 0, result.exception
    (step,) = open_shard(tmp_path / "s").manifest.preparation
    assert (step.source, step.held_out[0].file) == (shown, f"of {shown}")


def test_leaks_cannot_be_left_out_where_nothing_says_what_leaks(tmp_path):
    source = lines(tmp_path / "source.jsonl", row("a"))
    result = shard("import", source, tmp_path / "s", "--domain", "medical", "--drop-leaks")
    assert isinstance(result.exception, ConfigurationError)
    assert "name them with --held-out" in str(result.exception)


AUTHORS = [row(f"q{number}", user=f"user {number % 5}" if number % 2 else number % 5) for number in range(40)]


def divided(tmp_path, source, *arguments, parts=3):
    result = shard("partition", source, tmp_path / "p", "--parts", parts, *arguments, "--format", "json")
    assert result.exit_code == 0, result.exception
    listed = json.loads(result.stdout)
    made = [open_shard(tmp_path / "p" / f"part-{number}") for number in range(1, parts + 1)]
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [f"part-{n}" for n in range(1, parts + 1)]
    return listed, [list(one.records()) for one in made]


def test_rows_of_the_same_id_stay_together(tmp_path):
    source = lines(tmp_path / "source.jsonl", *AUTHORS)
    listed, parts = divided(tmp_path, source, "--by", "natural-id", "--id-field", "user", "--domain", "medical")
    holders = Counter()
    for records in parts:
        numbers = [int(record.instruction[1:]) for record in records]
        holders.update({(number % 2, number % 5) for number in numbers})
    assert sorted(holders.values()) == [1] * 10
    assert sorted(len(records) for records in parts) == [12, 12, 16]
    assert [one["preparation"][-1]["division"] for one in listed] == [
        {"by": "natural-id", "part": part, "parts": 3, "seed": 0, "id_field": "user"} for part in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [("", "empty"), (" ", "empty"), (None, "empty"), (1.5, "a float"), (True, "a bool"), (["x"], "a list")],
)
def test_rows_without_an_id_are_named_or_left_out(tmp_path, value, found):
    source = lines(tmp_path / "source.jsonl", *AUTHORS[:6], row("x", user=value))
    options = ("--by", "natural-id", "--id-field", "user", "--domain", "medical")
    result = shard("partition", source, tmp_path / "p", "--parts", 2, *options)
    assert str(result.exception) == f"{source}, line 7: field 'user' is {found}, and no id"
    listed, parts = divided(tmp_path, source, *options, "--skip-bad", parts=2)
    assert sum(map(len, parts)) == 6
    assert listed[0]["preparation"][0]["left_out"] == {**NONE_LEFT_OUT, "no_id": 1}


def test_a_field_that_is_not_there_is_named(tmp_path):
    imported(tmp_path, *AUTHORS)
    options = ("--by", "natural-id", "--id-field", "user")
    result = shard("partition", tmp_path / "s", tmp_path / "p", "--parts", 2, *options)
    assert str(result.exception) == (
        f"{tmp_path}/s, line 1: field 'user' is missing; found: instruction, input, output (a shard keeps no other; "
        "divide the file that it was made from)"
    )


@pytest.mark.parametrize(
    "options", [("--by", "natural-id"), ("--id-field", "user"), ("--by", "iid", "--id-field", "x")]
)
def test_the_rule_and_its_field_go_together(tmp_path, options):
    source = lines(tmp_path / "source.jsonl", *AUTHORS)
    result = shard("partition", source, tmp_path / "p", "--parts", 2, "--domain", "medical", *options)
    assert isinstance(result.exception, ConfigurationError)
    assert "--by natural-id and --id-field go together" in str(result.exception)


def test_few_labels_and_a_history_of_two_steps(tmp_path):
    source = tmp_path / "tweets.csv"
    source.write_text("text,label\nt0,0\n" + "".join(f"t{number},{number % 3}\n" for number in range(30)))
    shard("import", source, tmp_path / "tweets", "--domain", "finance")
    listed, parts = divided(tmp_path, tmp_path / "tweets", "--by", "few-labels", "--labels", 1, "--seed", 4)
    held = [{record.output for record in records} for records in parts]
    assert sorted(map(sorted, held)) == [[label] for label in sorted(DOMAINS["finance"].sentiment_labels)]
    first, second = listed[2]["preparation"]
    assert (first["source"], first["rows"], first["left_out"]["duplicate"]) == ("tweets.csv", 31, 1)
    assert "division" not in first
    assert (second["source"], second["rows"], second["left_out"]) == ("tweets", 30, NONE_LEFT_OUT)
    assert second["division"] == {"by": "few-labels", "part": 3, "parts": 3, "seed": 4, "labels": 1}
    shown = shard("show", tmp_path / "p" / "part-3").stdout.splitlines()
    assert shown[9:15] == [
        "from     tweets.csv, 31 rows",
        "         left out 1 of 31 rows: 1 repeated",
        "from     tweets, 30 rows",
        "         part 3 of 3, by few-labels, labels 1, seed 4",
        "",
        "prompts, records by characters",
    ]


def test_a_concentration_is_checked_before_the_data_are_read(tmp_path):
    source = lines(tmp_path / "source.jsonl", row("a"), BAD["empty"])
    for by in ("label-skew", "size-skew"):
        options = ("--parts", 2, "--by", by, "--alpha", 0, "--domain", "medical")
        assert str(shard("partition", source, tmp_path / "p", *options).exception).startswith("alpha is 0.0; allowed")


def test_free_text_is_refused_at_the_51st_answer(tmp_path):
    source = lines(tmp_path / "source.jsonl", *[row(f"q{n}", f"a{n}") for n in range(60)])
    for by in ("few-labels", "label-skew"):
        result = shard("partition", source, tmp_path / "p", "--parts", 2, "--by", by, "--domain", "medical")
        assert "more than 50 different answer(s) are no labels to divide by" in str(result.exception)


def test_a_partition_says_what_it_left_out(tmp_path):
    source = lines(tmp_path / "source.jsonl", row("a"), row("b"), row("a"), row("c", ""))
    result = shard("partition", source, tmp_path / "p", "--parts", 2, "--domain", "medical", "--skip-bad")
    assert result.stdout.splitlines()[-1] == "left out 2 of 4 rows: 1 empty, 1 repeated"


REAL = {  # source and evaluation sets; rows, of these left out, records that contradict, and of each set what leaks
    "finance": (
        "finance/open/train/tfns_sent_train.csv",
        {"finance/open/eval/tfns_sent_valid.csv": (12, 45)},
        (9543, {"duplicate": 6}, 0),
    ),
    "code": (
        "code/research-only/train/code_alpaca_2k.json",
        {"code/open/eval/HumanEval.jsonl.gz": (0, 10), "code/open/eval/mbpp.jsonl": (0, 17)},
        (2017, {"empty": 2}, 0),
    ),
    "general-nlp": (
        "general-nlp/research-only/train/alpaca_cleaned_every10.jsonl",
        {"general-nlp/open/eval/mmlu_test.jsonl.gz": (1, 0)},
        (5193, {}, 0),
    ),
    "medical": (
        "medical/open/train/medical_meadow_wikidoc_patient_information.jsonl",
        {"medical/open/eval/medmcqa_dev.jsonl.gz": (0, 3), "medical/open/eval/medqa_us_4options_test.jsonl.gz": (0, 0)},
        (5940, {"duplicate": 92}, 63),
    ),
}


@pytest.mark.real_data
@pytest.mark.parametrize("domain", REAL)
def test_real_data(real_data, tmp_path, domain, figure):
    source, sets, (rows, left_out, contradictions) = REAL[domain]
    options = [word for name in sets for word in ("--held-out", real_data / name)]
    result = shard("import", real_data / source, tmp_path / "s", "--domain", domain, "--skip-bad", *options)
    (step,) = open_shard(tmp_path / "s").manifest.preparation
    assert (step.rows, dataclasses.asdict(step.left_out)) == (rows, {**NONE_LEFT_OUT, **left_out})
    assert step.contradictions == contradictions
    assert [(one.exact, one.partial) for one in step.held_out] == list(sets.values())
    for line in result.stdout.splitlines()[1:]:
        figure(f"{domain}: {line}")
