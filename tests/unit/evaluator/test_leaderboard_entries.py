"""Entries: what one holds, and that no byte of it can be changed unseen."""

import dataclasses
import hashlib
import json
import os
import shutil

import pytest
from leaderboard_entries import BASE_SHA256, Desk, figures, finance, make_adapter, make_results, write_result

from evaluator.leaderboard.files import MANIFEST, SIGNATURE, most_bytes
from evaluator.leaderboard.manifest import Manifest, read_json
from evaluator.leaderboard.signing import create_key, read_key, read_public, sign
from evaluator.leaderboard.submission import Submission, submit
from evaluator.leaderboard.verification import verify
from evaluator.results.answer import Answer, read_answers
from evaluator.results.score import score
from fedlora.adapters import open_adapter
from fedlora.adapters.checkpoint import file_sha256
from fedlora.errors import CredentialError, EntryError


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def made(desk):
    """An entry that no test changes."""
    return desk.entry("made", {**finance(), ("fpb", "likelihood"): (40, 0.8), ("mmlu", "flowertune"): (40, 0.5)})


@pytest.fixture
def entry(made, tmp_path):
    return shutil.copytree(made, tmp_path / "entry")


def files_of(entry):
    return sorted(file.relative_to(entry).as_posix() for file in entry.rglob("*") if file.is_file())


def problems(entry, public=""):
    return [(problem.file, problem.text) for problem in verify(entry, public).problems]


def test_an_entry_holds_what_anybody_needs_to_check_it(desk, made):
    places = [f"{task}/flowertune" for task in ("fiqa", "fpb", "mmlu", "tfns")] + ["fpb/likelihood"]
    assert files_of(made) == sorted(
        [MANIFEST, SIGNATURE]
        + [f"adapter/{name}" for name in ("README.md", "adapter_config.json", "adapter_model.safetensors", "spec.json")]
        + [f"{model}/evaluation.json" for model in ("adapted", "base")]
        + [f"{model}/{place}/{name}" for model in ("adapted", "base") for place in places
           for name in ("answers.jsonl", "score.json")]
    )  # fmt: skip
    found = verify(made, read_public(desk.public))
    assert (found.problems, found.vouched, found.files, found.answers) == ((), True, 26, 400)
    assert found.id == hashlib.sha256((made / MANIFEST).read_bytes()).hexdigest()[:12]
    one = found.manifest
    assert (one.title, one.submitter, one.domain, one.run.payload_bytes) == ("made", "A Lab", "finance", 52 * 2**20)
    assert one.adapter.sha256 == file_sha256(made / "adapter" / "adapter_model.safetensors")
    assert (one.adapter.rank, one.adapter.parameters, one.base.base_model_sha256) == (2, 12, BASE_SHA256)
    answers = list(read_answers(made / "base" / "tfns" / "flowertune" / "answers.jsonl"))
    assert one.by_task("base", "flowertune")["tfns"] == score("tfns", "flowertune", answers)


def test_what_nobody_has_told_is_not_there(made):
    run = json.loads((made / MANIFEST).read_bytes())["run"]
    assert "gpu-joules" not in run
    assert None not in run.values()
    assert run["seconds"] == 90.5


def test_a_flipped_byte_in_any_file_is_named(made, tmp_path):
    for path in files_of(made):
        entry = shutil.copytree(made, tmp_path / "flipped")
        content = bytearray((entry / path).read_bytes())
        for place in {0, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[place] ^= 1
            (entry / path).write_bytes(changed)
            named = {file for file, _ in problems(entry)}
            assert named & ({MANIFEST, SIGNATURE} if path == MANIFEST else {path}), (path, place, named)
        shutil.rmtree(entry)


def test_a_file_that_is_cut_or_removed_is_named(made, tmp_path):
    for path in files_of(made):
        entry = shutil.copytree(made, tmp_path / "cut")
        (entry / path).write_bytes((entry / path).read_bytes()[:-1])
        wanted = {MANIFEST, SIGNATURE} if path == MANIFEST else {path}
        assert {file for file, _ in problems(entry)} & wanted, path
        (entry / path).unlink()
        # Without manifest or signature there is nothing to hold the rest to.
        wanted = {MANIFEST} if path in (MANIFEST, SIGNATURE) else {path}
        assert {file for file, _ in problems(entry)} & wanted, path
        shutil.rmtree(entry)


@pytest.mark.parametrize(
    "path", ["notes.txt", "adapter/adapter_model.bin", "adapted/fpb/flowertune/more/answers.jsonl"]
)
def test_a_file_too_many_is_named(entry, path):
    (entry / path).parent.mkdir(exist_ok=True)
    (entry / path).write_bytes(b"x")
    assert problems(entry) == [(path, "is not in the manifest")]


def test_links_and_pipes_are_refused(entry, tmp_path):
    file = entry / "base" / "evaluation.json"
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    assert problems(entry) == [("base/evaluation.json", "is no plain file")]
    file.unlink()
    os.mkfifo(file)
    assert problems(entry) == [("base/evaluation.json", "is no plain file")]


@pytest.mark.parametrize("name", [MANIFEST, SIGNATURE])
def test_not_even_the_manifest_may_be_a_link(entry, tmp_path, name):
    (entry / name).rename(tmp_path / "elsewhere")
    (entry / name).symlink_to(tmp_path / "elsewhere")
    ((file, text),) = problems(entry)
    assert (file, text.partition(":")[0]) == (MANIFEST, f"{name} cannot be read")


def test_a_folder_that_is_a_link_is_not_followed(entry, tmp_path):
    (entry / "adapter").rename(tmp_path / "adapter")
    (entry / "adapter").symlink_to(tmp_path / "adapter")
    named = dict(problems(entry))
    assert named["adapter"] == "is not in the manifest"
    assert named["adapter/adapter_model.safetensors"] == "is missing"


@pytest.mark.parametrize(
    "path", ["../outside.json", "/etc/hostname", "adapter/../../outside.json", "adapter//x", MANIFEST]
)
def test_no_path_leads_out_of_the_folder(desk, entry, path):
    (entry.parent / "outside.json").write_text("secret")

    def change(document):
        document["files"][path] = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}

    desk.sign_again(entry, change)
    assert (path, "has no place in an entry") in problems(entry)


def test_sizes_are_bounded_before_anything_is_read(desk, entry):
    with (entry / MANIFEST).open("ab") as stream:
        stream.truncate(most_bytes(MANIFEST) + 1)
    assert problems(entry) == [(MANIFEST, f"manifest.json is larger than the {2**22} bytes that it may have")]


def test_a_large_file_is_not_read(desk, entry):
    with (entry / "base" / "evaluation.json").open("ab") as stream:
        stream.truncate(2**19)
    desk.sign_again(entry, lambda _: None)
    assert ("base/evaluation.json", "is larger than the 262144 bytes that it may have") in problems(entry)


def test_too_many_files_are_refused(entry):
    for number in range(1001):
        (entry / f"{number}").touch()
    assert "holds more than 1000 files" in problems(entry)[0][1]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"layout": NaN}', b'{"layout": 2}', b"null"]
)
def test_a_manifest_that_is_none_is_named(entry, content):
    (entry / MANIFEST).write_bytes(content)
    ((file, text),) = problems(entry)
    assert file == MANIFEST
    assert "cannot be read" in text


def test_the_key_that_is_asked_for_must_have_signed(desk, entry, tmp_path):
    (tmp_path / "other").mkdir()
    key, public = create_key(tmp_path / "other")
    assert problems(entry, read_public(desk.public)) == []
    assert problems(entry, read_public(public)) == [
        (MANIFEST, "the entry names another key than the one that is asked for")
    ]
    # Whoever signs it with a key of their own is not the one who is asked for.
    document = json.loads((entry / MANIFEST).read_bytes())
    document |= {"public-key": read_public(public), "submitter": "Somebody else"}
    content = json.dumps(document).encode()
    (entry / MANIFEST).write_bytes(content)
    (entry / SIGNATURE).write_bytes(sign(read_key(key), content))
    assert problems(entry) == []
    assert not verify(entry).vouched
    assert len(problems(entry, read_public(desk.public))) == 1
    # A key that is named and has not signed.
    document["public-key"] = read_public(desk.public)
    (entry / MANIFEST).write_bytes(json.dumps(document).encode())
    assert not verify(entry, read_public(desk.public)).vouched
    assert problems(entry, read_public(desk.public)) == [
        (SIGNATURE, "is not the signature of manifest.json: one of the two was changed")
    ]


def test_a_score_that_its_answers_do_not_make_is_named(desk, entry):
    def change(document):
        next(one for one in document["scores"]["adapted"] if one["task"] == "tfns")["accuracy"]["value"] += 1e-6

    desk.sign_again(entry, change)
    ((file, text),) = problems(entry)
    assert file == MANIFEST
    assert text.startswith("the score of adapted in tfns by flowertune is not what its answers make: accuracy 0.")


def test_a_kept_score_that_its_answers_do_not_make_is_named(desk, entry):
    file = entry / "base" / "fpb" / "flowertune" / "score.json"
    kept = json.loads(file.read_bytes())
    kept["unparsable"] = 0.25
    file.write_text(json.dumps(kept))
    desk.sign_again(entry, lambda _: None)
    assert [file for file, _ in problems(entry)] == ["base/fpb/flowertune/score.json"]


def change_answers(desk, entry, change, task="fpb", scoring="flowertune", model="adapted"):
    """Change answers and all scores that follow from them, and sign."""
    folder = entry / model
    answers = [change(one) for one in read_answers(folder / task / scoring / "answers.jsonl")]
    write_result(folder, task, scoring, answers)
    made = json.loads((folder / task / scoring / "score.json").read_bytes())

    def put(document):
        scores = document["scores"][model]
        at = next(at for at, one in enumerate(scores) if (one["task"], one["scoring"]) == (task, scoring))
        scores[at] = made

    desk.sign_again(entry, put)


@pytest.mark.parametrize(("task", "scoring"), [("fpb", "flowertune"), ("fpb", "likelihood")])
def test_an_answer_counts_as_its_labels_say(desk, entry, task, scoring):
    change_answers(desk, entry, lambda one: dataclasses.replace(one, correct=True), task, scoring)
    ((file, text),) = problems(entry)
    assert file == f"adapted/{task}/{scoring}/answers.jsonl"
    assert "answers are not judged as their labels say, the first is 'fpb-" in text


def test_a_choice_is_one_of_the_labels(desk, entry):
    change_answers(
        desk, entry, lambda one: dataclasses.replace(one, gold="x", chosen="x", correct=True), "fpb", "likelihood"
    )
    assert "40 answers are not judged as their labels say" in problems(entry)[0][1]


def test_finance_takes_what_cannot_be_read_for_neutral(desk, entry):
    change_answers(desk, entry, lambda one: dataclasses.replace(one, chosen="", correct=one.gold == "neutral"))
    assert problems(entry) == []
    change_answers(desk, entry, lambda one: dataclasses.replace(one, chosen="", correct=one.gold == "neutral"), "mmlu")
    assert problems(entry) == []  # none of its labels is that word
    change_answers(desk, entry, lambda one: dataclasses.replace(one, chosen="", correct=True), "mmlu")
    assert problems(entry)[0][0] == "adapted/mmlu/flowertune/answers.jsonl"


def test_both_models_answer_the_same_items(desk, entry):
    change_answers(desk, entry, lambda one: dataclasses.replace(one, id=f"{one.id}x"), model="base")
    assert problems(entry) == [(MANIFEST, "fpb by flowertune: adapter and base model answered other items, 40 and 40")]


def test_answers_may_stand_in_any_order(desk, entry):
    file = entry / "adapted" / "fpb" / "flowertune" / "answers.jsonl"
    answers = list(read_answers(file))[::-1]
    write_result(entry / "adapted", "fpb", "flowertune", answers)
    made = json.loads((file.parent / "score.json").read_bytes())

    def put(document):
        scores = document["scores"]["adapted"]
        scores[[(one["task"], one["scoring"]) for one in scores].index(("fpb", "flowertune"))] = made

    desk.sign_again(entry, put)
    assert problems(entry) == []


def test_answers_that_are_cut_in_a_line_are_named(desk, entry):
    file = entry / "adapted" / "fpb" / "flowertune" / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-1])
    desk.sign_again(entry, lambda _: None)
    assert problems(entry)[0] == (
        "adapted/fpb/flowertune/answers.jsonl",
        "is empty, or ends in the middle of a line",
    )


@pytest.mark.parametrize(
    ("model", "change", "reason"),
    [
        ("adapted", {"adapter-sha256": "e" * 64}, f"the adapter that was scored has the SHA-256 {'e' * 64}"),
        ("base", {"adapter-sha256": "e" * 64}, "what stands for the base model was scored with the adapter"),
        ("base", {"base-model-sha256": "e" * 64}, "the two were not scored alike: base model sha256"),
        ("base", {"precision": "fp32"}, "the two were not scored alike: precision fp4 against fp32"),
        ("base", {"seed": 8}, "the two were not scored alike: seed 7 against 8"),
    ],
)
def test_the_two_evaluations_belong_together(desk, entry, model, change, reason):
    file = entry / model / "evaluation.json"
    about = json.loads(file.read_bytes()) | change
    file.write_text(json.dumps(about))
    desk.sign_again(entry, lambda _: None)
    assert (f"{model}/evaluation.json", "is not what the manifest says") in problems(entry)
    desk.sign_again(entry, lambda document: document["evaluations"][model].update(change))
    assert [text for _, text in problems(entry) if text.startswith(reason)]


def test_the_adapter_is_the_one_that_was_scored(desk, entry, tmp_path):
    shutil.copy(make_adapter(tmp_path / "other", 2.0) / "adapter_model.safetensors", entry / "adapter")
    desk.sign_again(entry, lambda _: None)
    ((file, text),) = problems(entry)
    assert file == "adapter/adapter_model.safetensors"
    assert "and the manifest's adapter" in text


@pytest.mark.parametrize("pattern", ["(a+)+b", "["])
def test_no_pattern_of_an_adapter_is_run(desk, entry, pattern):
    file = entry / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"alpha_pattern": {pattern: 1}}))
    desk.sign_again(entry, lambda _: None)
    assert problems(entry) == [
        ("adapter/adapter_config.json", "alpha_pattern may name modules here, and hold no regular expressions")
    ]


def test_an_adapter_that_cannot_be_read_is_named(desk, entry):
    (entry / "adapter" / "adapter_model.safetensors").write_bytes(b"\xff" * 64)
    desk.sign_again(entry, lambda _: None)
    assert [file for file, _ in problems(entry)] == ["adapter"]


def test_the_adapter_is_for_the_base_model_that_was_scored(desk, entry):
    file = entry / "adapter" / "spec.json"
    file.write_text(file.read_text().replace(BASE_SHA256, "e" * 64))
    desk.sign_again(entry, lambda _: None)
    assert problems(entry) == [("adapter/spec.json", "is for another base model than the one that was scored")]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(ValueError, match=f"{number} is no number"):
        read_json(f'{{"value": {number}}}'.encode())


def test_answers_are_judged_again(made):
    def judge(task, scoring, answer):
        assert (task, scoring) in {("fpb", "flowertune"), ("fpb", "likelihood"), ("fiqa", "flowertune"),
                                   ("tfns", "flowertune"), ("mmlu", "flowertune")}  # fmt: skip
        return dataclasses.replace(answer, chosen="other") if answer.id == "tfns-3" else answer

    found = verify(made, judge=judge).problems
    assert [problem.file for problem in found] == [
        "adapted/tfns/flowertune/answers.jsonl", "base/tfns/flowertune/answers.jsonl"
    ]  # fmt: skip
    assert found[0].text == "1 answers are judged otherwise from their text, the first is 'tfns-3'"
    assert verify(made, judge=lambda _task, _scoring, answer: answer).problems == ()


def test_models_answer_again(made):
    asked = []

    def rerun(adapter, evaluation, task, scoring):
        asked.append((adapter, evaluation.adapter_sha256 == "", task, scoring))
        model = "base" if adapter is None else "adapted"
        answers = list(read_answers(made / model / task / scoring / "answers.jsonl"))
        return [Answer("new"), *answers[1:]] if (task, model) == ("fiqa", "base") else answers

    found = verify(made, rerun=rerun).problems
    assert [(one.file, one.text) for one in found] == [
        ("base/fiqa/flowertune/answers.jsonl", "2 items were answered once only")
    ]
    assert (made / "adapter", False, "mmlu", "flowertune") in asked
    assert (None, True, "fpb", "likelihood") in asked


def test_a_model_that_answers_otherwise_is_named(made):
    def rerun(adapter, evaluation, task, scoring):
        model = "base" if adapter is None else "adapted"
        answers = list(read_answers(made / model / task / scoring / "answers.jsonl"))
        return [dataclasses.replace(one, chosen="other") for one in answers[:3]] + answers[3:]

    text = verify(made, rerun=rerun).problems[0].text
    assert text.startswith("3 of 40 items are answered otherwise, the first is ('")


def submission(desk, tmp_path, **changes):
    adapter = make_adapter(tmp_path / "adapter")
    sha256 = file_sha256(adapter / "adapter_model.safetensors")
    values = {
        "title": "one",
        "submitter": "A Lab",
        "domain": "finance",
        "adapter": open_adapter(adapter),
        "results": make_results(tmp_path / "results", finance(), adapter_sha256=sha256),
        "base_results": make_results(tmp_path / "base", finance(accuracy=0.3), seed=1),
        "run": figures(),
    }
    return Submission(**{**values, **changes})


def refused(desk, tmp_path, one):
    with pytest.raises(EntryError) as caught:
        submit(one, read_key(desk.key), tmp_path / "entry")
    assert not (tmp_path / "entry").exists()
    assert not list(tmp_path.glob(".fedlora-*"))
    return str(caught.value)


def test_a_base_model_that_was_not_scored_is_asked_for(desk, tmp_path):
    one = submission(desk, tmp_path)
    shutil.rmtree(one.base_results / "tfns")
    assert "tfns/flowertune holds no whole result: no answers.jsonl and no score.json" in refused(desk, tmp_path, one)
    (one.base_results / "evaluation.json").unlink()
    assert "evaluation.json cannot be read" in refused(desk, tmp_path, one)


def test_results_of_other_items_are_refused(desk, tmp_path):
    one = submission(desk, tmp_path)
    shutil.rmtree(one.base_results)
    make_results(one.base_results, finance(n=39), seed=1)
    assert "fpb by flowertune: adapter and base model answered other items, 40 and 39" in refused(desk, tmp_path, one)


def test_results_of_another_adapter_are_refused(desk, tmp_path):
    one = submission(desk, tmp_path)
    other = open_adapter(make_adapter(tmp_path / "other", 3.0))
    assert "the adapter that was scored has the SHA-256" in refused(
        desk, tmp_path, dataclasses.replace(one, adapter=other)
    )


def test_results_on_another_base_model_are_refused(desk, tmp_path):
    one = submission(desk, tmp_path)
    for folder in (one.results, one.base_results):
        about = json.loads((folder / "evaluation.json").read_bytes()) | {"base-model-sha256": "e" * 64}
        (folder / "evaluation.json").write_text(json.dumps(about))
    assert f"is for the base model {BASE_SHA256}" in refused(desk, tmp_path, one)


def test_a_damaged_score_is_refused(desk, tmp_path):
    one = submission(desk, tmp_path)
    file = one.results / "fpb" / "flowertune" / "score.json"
    file.write_text(file.read_text().replace("0.7", "0.9"))
    assert "adapted/fpb/flowertune/score.json: is not what the answers make" in refused(desk, tmp_path, one)


@pytest.mark.parametrize("title", ["", " x", "a\nb", "x" * 121, "turned \u202e round", "bell \a"])
def test_a_title_is_one_plain_line(desk, tmp_path, title):
    assert "title: " in refused(desk, tmp_path, submission(desk, tmp_path, title=title))


def test_an_entry_is_never_overwritten(desk, tmp_path):
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry" / "file").touch()
    with pytest.raises(EntryError, match="is not empty"):
        submit(submission(desk, tmp_path), read_key(desk.key), tmp_path / "entry")


def test_the_same_manifest_is_the_same_bytes(made):
    content = (made / MANIFEST).read_bytes()
    assert Manifest.from_json(content).to_json() == content


def test_a_key_is_private_and_never_overwritten(tmp_path):
    key, public = create_key(tmp_path)
    assert [file.stat().st_mode & 0o777 for file in (key, public)] == [0o600, 0o600]
    before = key.read_bytes(), public.read_bytes()
    with pytest.raises(CredentialError, match="is not overwritten"):
        create_key(tmp_path)
    public.unlink()
    with pytest.raises(CredentialError, match="is not overwritten"):
        create_key(tmp_path)
    assert key.read_bytes() == before[0]
    key.chmod(0o640)
    with pytest.raises(CredentialError, match="chmod 600"):
        read_key(key)
    public.write_bytes(b"nonsense")
    with pytest.raises(CredentialError, match="cannot read the public key"):
        read_public(public)
