"""Tokens on the disk: made once, made again where anything about them changed, and never all in memory."""

import dataclasses
import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from fedlora.domains import domain
from fedlora.errors import ShardError, TrainerError
from fedlora.language_model import BaseModel
from fedlora.recipes import recipe as recipe_of
from fedlora.shards import Record, read_records, write_records
from fedlora.shards.shard import write_shard
from supernode.trainer.token_cache import ShardContent, TokenCache
from supernode.trainer.tokens import Counts, Tokeniser

MEDICAL = domain("medical")
RECIPE = recipe_of("medical", "quick", length=100)
RECORDS = [*read_records(MEDICAL.sample("eval"), MEDICAL), Record("Empty?", "", "x")]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture
def source(tmp_path):
    write_records(RECORDS, tmp_path / "records.jsonl")
    return tmp_path / "records.jsonl"


@pytest.fixture
def cache(tiny_model, tokenizer, tmp_path, source):
    """Return a function that opens the cache anew, as each start of the trainer does."""

    def opened(recipes=(RECIPE,), tokenizer=tokenizer, source=source, base=tiny_model):
        return TokenCache(
            tmp_path / "tokens", ShardContent(source, MEDICAL), BaseModel("tiny", base), tokenizer, recipes
        )

    return opened


class Idle:
    """A tokenizer that must not be asked."""

    is_fast, eos_token_id, name_or_path = True, 0, "idle"

    def __len__(self):
        return 257

    def __call__(self, *_, **__):
        raise AssertionError("the tokens were to be there already")


def same(one, other):
    return [(list(example.ids), example.answer_length) for example in one] == [
        (list(example.ids), example.answer_length) for example in other
    ]


def places(tmp_path):
    return sorted(entry.name for entry in (tmp_path / "tokens").iterdir())


def test_what_is_read_from_the_disk_is_what_was_tokenised(cache, tokenizer):
    expected, counts = Tokeniser(tokenizer, RECIPE).examples(RECORDS)
    found, told = cache().examples(RECIPE)
    assert same(found, expected)
    assert told == counts == Counts(41, cut=counts.cut)
    assert counts.cut > 0
    assert len(found) == 41
    assert same(found[3:5], expected[3:5])
    assert same([found[-1]], expected[-1:])
    assert found[0].ids.dtype == np.int64
    with pytest.raises(IndexError):
        found[41]


def test_a_second_start_tokenises_nothing(cache, tmp_path):
    first, counts = cache().examples(RECIPE)
    (place,) = (tmp_path / "tokens").iterdir()
    before = {file.name: file.stat() for file in place.iterdir()}
    second, told = cache(tokenizer=Idle()).examples(RECIPE)
    assert same(first, second)
    assert counts == told
    assert {file.name: file.stat() for file in place.iterdir()} == before
    assert sorted(before) == ["about.json", "answers.npy", "ids.npy", "starts.npy"]
    assert place.stat().st_mode & 0o777 == 0o700
    assert np.load(place / "ids.npy", mmap_mode="r").dtype == np.uint16
    assert np.load(place / "answers.npy", mmap_mode="r").dtype == np.int32


def test_the_files_are_those_that_numpy_writes(cache, tmp_path):
    found, _ = cache().examples(RECIPE)
    (place,) = (tmp_path / "tokens").iterdir()
    np.save(tmp_path / "again.npy", np.concatenate([example.ids for example in found]).astype(np.uint16))
    assert (tmp_path / "again.npy").read_bytes() == (place / "ids.npy").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"length": 99},
        {"template": "alpaca"},
        {"question": "input"},
        {"end_of_text": False},
    ],
)
def test_another_way_of_tokenising_has_tokens_of_its_own(cache, tmp_path, change):
    one = dataclasses.replace(RECIPE, length=400)
    other = dataclasses.replace(one, **change)
    both = cache(recipes=(one, other))
    assert not same(both.examples(one)[0], both.examples(other)[0])
    assert len(places(tmp_path)) == 2


def test_recipes_that_tokenise_alike_share_their_tokens(cache, tmp_path):
    other = dataclasses.replace(RECIPE, rank=1, rounds=7)
    both = cache(recipes=(RECIPE, other))
    assert same(both.examples(RECIPE)[0], both.examples(other)[0])
    assert len(places(tmp_path)) == 1


def test_changed_content_and_another_tokenizer_are_tokenised_anew(cache, source, tiny_model, tmp_path):

    first, _ = cache().examples(RECIPE)
    write_records([*RECORDS[1:], RECORDS[0]], source)
    second, _ = cache().examples(RECIPE)
    assert same([*first[1:], first[0]], second)
    before = places(tmp_path)
    shutil.copytree(tiny_model, tmp_path / "other")
    configuration = tmp_path / "other" / "tokenizer_config.json"
    configuration.write_text(configuration.read_text() + "\n")
    cache(base=tmp_path / "other").examples(RECIPE)
    assert len(before) == len(places(tmp_path)) == 1
    assert before != places(tmp_path)


def test_what_no_recipe_asks_for_any_more_goes_at_the_start(cache, tmp_path):
    other = dataclasses.replace(RECIPE, length=50)
    both = cache(recipes=(RECIPE, other))
    both.examples(RECIPE), both.examples(other)
    (tmp_path / "tokens" / ".fedlora-abandoned").mkdir()
    assert len(places(tmp_path)) == 3
    cache(recipes=(RECIPE,))
    assert len(places(tmp_path)) == 1
    cache(tokenizer=Idle()).examples(RECIPE)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "a bit": lambda place: flip(place / "ids.npy"),
    "cut": lambda place: (place / "starts.npy").write_bytes((place / "starts.npy").read_bytes()[:-8]),
    "gone": lambda place: (place / "answers.npy").unlink(),
    "no note": lambda place: (place / "about.json").unlink(),
    "no JSON": lambda place: (place / "about.json").write_text("{"),
    "a list": lambda place: (place / "about.json").write_text("[]"),
    "other counts": lambda place: (place / "about.json").write_text(
        json.dumps({**json.loads((place / "about.json").read_text()), "counts": {"records": 1, "rows": 2}})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tokens_are_made_again(cache, tmp_path, damage, caplog):
    first, _ = cache().examples(RECIPE)
    expected = [dataclasses.replace(example) for example in first]
    (place,) = (tmp_path / "tokens").iterdir()
    DAMAGES[damage](place)
    with caplog.at_level("INFO", "fedlora.trainer"):
        assert same(cache().examples(RECIPE)[0], expected)
    assert [record.getMessage() for record in caplog.records] == [
        f"the tokens in {place} are damaged, and are made again"
    ]
    assert places(tmp_path) == [place.name]
    cache(tokenizer=Idle()).examples(RECIPE)


def test_a_shard_that_was_changed_after_its_manifest_is_refused_with_tokens_there(cache, tmp_path):
    folder = tmp_path / "shard"
    folder.mkdir()
    write_shard(RECORDS, folder, MEDICAL, name="test")
    cache(source=folder).examples(RECIPE)
    assert len(cache(source=folder, tokenizer=Idle()).examples(RECIPE)[0]) == 41
    write_records(RECORDS[1:], folder / "records.jsonl")
    for _ in range(2):
        with pytest.raises(ShardError, match="was changed after its manifest was written"):
            cache(source=folder).examples(RECIPE)
    assert places(tmp_path) == []


def test_a_file_that_changes_while_it_is_read_leaves_no_tokens(cache, source, tmp_path):
    opened = cache()
    write_records(RECORDS[1:], source)
    with pytest.raises(ShardError, match=r"records.jsonl: was changed while it was read"):
        opened.examples(RECIPE)
    assert places(tmp_path) == []


def test_nothing_to_train_on_is_refused_with_the_reasons(cache, source, tmp_path):
    write_records([Record("a", "", "b")] * 3, source)
    short = dataclasses.replace(RECIPE, length=1)
    with pytest.raises(ShardError) as refused:
        cache(recipes=(short,)).examples(short)
    assert str(refused.value) == (
        f"{source}: none of its 3 records can be trained on under recipe medical/quick: 0 have an answer of blanks, 3 "
        "no token of an answer within 1 tokens"
    )
    assert places(tmp_path) == []


def test_a_disk_that_takes_no_tokens_is_named(cache, tmp_path):
    (tmp_path / "tokens").write_text("in the way")
    with pytest.raises(TrainerError, match="cannot be made"):
        cache().examples(RECIPE)


def test_a_shard_in_pieces_is_joined_without_a_seam(cache, tokenizer, monkeypatch):
    monkeypatch.setattr("supernode.trainer.token_cache.RECORDS_AT_ONCE", 7)
    found, counts = cache().examples(RECIPE)
    expected, told = Tokeniser(tokenizer, RECIPE).examples(RECORDS)
    assert same(found, expected)
    assert counts == told
    assert all(first < second for first, second in pairwise(found.starts.tolist()))


MANY = """
import resource, sys
from pathlib import Path
from transformers import AutoTokenizer
from fedlora.domains import domain
from fedlora.language_model import BaseModel
from fedlora.recipes import recipe
from fedlora.shards import Record
from supernode.trainer.examples import rows_of_round
from supernode.trainer.token_cache import ShardContent, TokenCache

class Many(ShardContent):
    def records(self):
        for row in range(self.count):
            yield Record("Which?", "", f"{row}")

model, source, folder = map(Path, sys.argv[1:])
tokenizer, wanted = AutoTokenizer.from_pretrained(model), recipe("medical", "quick")
peaks = []
for count in (20_000, 200_000):
    content = Many(source, domain("medical"))
    content.count = count
    cache = TokenCache(folder / str(count), content, BaseModel("tiny", model), tokenizer, (wanted,))
    examples, counts = cache.examples(wanted)
    assert len(examples) == counts.records == count
    rows_of_round(count, 100, round_number=3, seed=0)
    assert tokenizer.decode(examples[count - 1].ids).endswith(f"Answer: {count - 1}<|end|>")
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""


def test_ten_times_the_records_take_no_more_memory_but_for_a_few_bytes_each(tiny_model, source, tmp_path, figure):
    command = [sys.executable, "-c", MANY, str(tiny_model), str(source), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    more = int(done.stdout) * 1024 / 180_000
    figure(f"tokens of 200,000 records against 20,000: {more:.0f} bytes of memory more for each further record")
    assert more < 60  # the tokens of each, as numbers of Python's, would take above 300
