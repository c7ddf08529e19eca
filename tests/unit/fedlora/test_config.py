"""Configuration files as dataclasses: what is built, and every error at once by its dotted path."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from fedlora.config import from_mapping, read_toml
from fedlora.errors import ConfigurationError
from fedlora.recipes import Recipe


@dataclass(frozen=True)
class Limits:
    fewest_examples: int
    largest_norm: float = 1000.0

    def __post_init__(self) -> None:
        if self.fewest_examples < 1:
            raise ValueError(f"fewest-examples is {self.fewest_examples}; it must be at least 1")


@dataclass(frozen=True)
class Site:
    name: str
    shard: Path
    threads: int
    rate: float
    guard: bool
    codec: Literal["fp32", "fp16"]
    limits: Limits
    hashes: tuple[str, ...] = ()
    recipes: tuple[Limits, ...] = ()
    folders: tuple[Path, ...] = ()
    cache: Path | None = None
    seed: int | None = None
    tags: tuple[str, ...] = field(default_factory=lambda: ("none",))


GOOD = {
    "name": "a",
    "shard": "train.jsonl",
    "threads": 2,
    "rate": 0.5,
    "guard": True,
    "codec": "fp16",
    "limits": {"fewest-examples": 8},
}


@dataclass(frozen=True)
class Pair:
    first: int
    second: int

    def __post_init__(self) -> None:
        if self.first > self.second:
            raise ValueError(f"first {self.first} is above second {self.second}")


@dataclass(frozen=True)
class Run:
    rounds: int
    recipe: Recipe
    recipes: tuple[Recipe, ...] = ()


def problems(schema: type, values: dict) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        from_mapping(schema, values, origin="here")
    head, *lines = str(caught.value).split("\n")
    assert head == f"here has {len(lines)} problem(s):"
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


def test_defaults():
    built = from_mapping(Site, GOOD, origin="here")
    assert built == Site("a", Path("train.jsonl"), 2, 0.5, True, "fp16", Limits(8, 1000.0))
    assert built.tags == ("none",)


def test_every_value():
    values = GOOD | {
        "limits": {"fewest-examples": 1, "largest-norm": 2.5},
        "hashes": ["x", "y"],
        "recipes": [{"fewest-examples": 3}, {"fewest-examples": 4, "largest-norm": 5.0}],
        "folders": ["/b", "c"],
        "cache": "/d",
        "seed": 7,
        "tags": [],
    }
    assert from_mapping(Site, values, origin="here") == Site(
        "a",
        Path("train.jsonl"),
        2,
        0.5,
        True,
        "fp16",
        Limits(1, 2.5),
        ("x", "y"),
        (Limits(3), Limits(4, 5.0)),
        (Path("/b"), Path("c")),
        Path("/d"),
        7,
        (),
    )


def test_a_whole_number_where_a_number_is_asked_becomes_one():
    rate = from_mapping(Site, GOOD | {"rate": 3}, origin="here").rate
    assert (rate, type(rate)) == (3.0, float)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": 5}, "name: 5 is not a string"),
        ({"threads": "2"}, "threads: '2' is not a whole number"),
        ({"threads": 2.0}, "threads: 2.0 is not a whole number"),
        ({"threads": True}, "threads: True is not a whole number"),
        ({"rate": "0.5"}, "rate: '0.5' is not a number"),
        ({"rate": False}, "rate: False is not a number"),
        ({"guard": 1}, "guard: 1 is not true or false"),
        ({"guard": "true"}, "guard: 'true' is not true or false"),
        ({"codec": "int8"}, "codec: 'int8' is not one of fp32, fp16"),
        ({"codec": ["fp32"]}, "codec: ['fp32'] is not one of fp32, fp16"),
        ({"shard": 1}, "shard: 1 is not a path"),
        ({"shard": ""}, "shard: '' is not a path"),
        ({"cache": 1}, "cache: 1 is not a path"),
        ({"shard": "~nosuchuser/x"}, "shard: '~nosuchuser/x' is not a path of a user of this machine"),
        ({"folders": ["/a", "~nosuchuser"]}, "folders[1]: '~nosuchuser' is not a path of a user of this machine"),
        ({"seed": "x"}, "seed: 'x' is not a whole number"),
        ({"limits": 8}, "limits: 8 is not a table"),
        ({"limits": {}}, "limits.fewest-examples: missing"),
        ({"limits": {"fewest-examples": "8"}}, "limits.fewest-examples: '8' is not a whole number"),
        ({"limits": {"fewest-examples": 0}}, "limits: fewest-examples is 0; it must be at least 1"),
        (
            {"limits": {"fewest-examples": 0, "largest-norm": "big"}},  # not checked as a whole: it is none
            "limits.largest-norm: 'big' is not a number",
        ),
        ({"hashes": "abc"}, "hashes: 'abc' is not a list"),
        ({"hashes": ["a", 2]}, "hashes[1]: 2 is not a string"),
        ({"folders": [""]}, "folders[0]: '' is not a path"),
        ({"recipes": [{"fewest-examples": 1}, {}]}, "recipes[1].fewest-examples: missing"),
        ({"recipes": [{"fewest-examples": 0}]}, "recipes[0]: fewest-examples is 0; it must be at least 1"),
        ({"nmae": "b"}, "nmae: unknown key; did you mean 'name'?"),
        (
            {"limits": {"fewest-examples": 8, "largest_norm": 1.0}},
            "limits.largest_norm: unknown key; did you mean 'largest-norm'?",
        ),
        (
            {"zzz": 1},
            "zzz: unknown key; allowed: cache, codec, folders, guard, hashes, limits, name, rate, recipes, seed, "
            "shard, tags, threads",
        ),
    ],
)
def test_one_problem(change, problem):
    assert problems(Site, GOOD | change) == [problem]


def test_every_problem_at_once():
    values = {
        "nam": "a",
        "shard": 3,
        "threads": "2",
        "rate": 0.5,
        "codec": "int8",
        "limits": {"fewest-examples": True, "largest-norm": "big", "more": 1},
        "hashes": [1, "x", None],
    }
    assert problems(Site, values) == [
        "nam: unknown key; did you mean 'name'?",
        "name: missing",
        "shard: 3 is not a path",
        "threads: '2' is not a whole number",
        "guard: missing",
        "codec: 'int8' is not one of fp32, fp16",
        "limits.more: unknown key; allowed: fewest-examples, largest-norm",
        "limits.fewest-examples: True is not a whole number",
        "limits.largest-norm: 'big' is not a number",
        "hashes[0]: 1 is not a string",
        "hashes[2]: None is not a string",
    ]


def test_a_table_is_checked_although_something_elsewhere_is_wrong():
    values = GOOD | {
        "nmae": "b",
        "shard": "~nosuchuser/x",
        "threads": "2",
        "limits": {"fewest-examples": 0},
        "recipes": [{"fewest-examples": "1"}, {"fewest-examples": -1}, {"fewest-examples": 1}],
    }
    assert problems(Site, values) == [
        "nmae: unknown key; did you mean 'name'?",
        "shard: '~nosuchuser/x' is not a path of a user of this machine",
        "threads: '2' is not a whole number",
        "limits: fewest-examples is 0; it must be at least 1",
        "recipes[0].fewest-examples: '1' is not a whole number",
        "recipes[1]: fewest-examples is -1; it must be at least 1",
    ]


def test_an_unknown_domain_is_one_problem_of_the_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        'rounds = "3"\n[recipe]\ndomain = "law"\n'
        '[[recipes]]\ndomain = "code"\n[[recipes]]\ndomain = "Finance"\n[[recipes]]\ndomain = "code"\nrank = 0\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        read_toml(Run, file)
    assert str(caught.value) == (
        f"{file} has 4 problem(s):\n"
        "  - rounds: '3' is not a whole number\n"
        "  - recipe.domain: 'law' is not one of general-nlp, finance, medical, code\n"
        "  - recipes[1].domain: 'Finance' is not one of general-nlp, finance, medical, code; did you mean 'finance'?\n"
        "  - recipes[2].rank: 0 is not a whole number of at least 1"
    )


def test_an_unknown_domain_in_the_outermost_table(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text('domain = "law"\n')
    with pytest.raises(ConfigurationError) as caught:
        read_toml(Recipe, file)
    assert str(caught.value) == (
        f"{file} has 1 problem(s):\n  - domain: 'law' is not one of general-nlp, finance, medical, code"
    )


def test_nothing_at_all():
    assert problems(Pair, {}) == ["first: missing", "second: missing"]


def test_what_the_outermost_dataclass_refuses_bears_its_name():
    assert problems(Pair, {"first": 2, "second": 1}) == ["Pair: first 2 is above second 1"]


def test_a_key_is_not_accepted_with_underscores():
    assert problems(Limits, {"fewest_examples": 8}) == [
        "fewest_examples: unknown key; did you mean 'fewest-examples'?",
        "fewest-examples: missing",
    ]


def test_paths_without_a_base_stay_as_they_are():
    assert from_mapping(Site, GOOD, origin="here").shard == Path("train.jsonl")


def test_paths_with_a_base(tmp_path):
    values = GOOD | {"folders": ["sub/b", "/c"], "cache": "../d"}
    built = from_mapping(Site, values, origin="here", base=tmp_path)
    assert built.shard == tmp_path / "train.jsonl"
    assert built.folders == (tmp_path / "sub/b", Path("/c"))
    assert built.cache == tmp_path / "../d"


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    built = from_mapping(Site, GOOD | {"shard": "~/train.jsonl"}, origin="here", base=tmp_path)
    assert built.shard == Path("/home/somebody/train.jsonl")


def test_file(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(
        'name = "Zürich"\nshard = "data/train.jsonl"\nthreads = 2\nrate = 1\nguard = false\ncodec = "fp32"\n'
        "[limits]\nfewest-examples = 4\n[[recipes]]\nfewest-examples = 5\n[[recipes]]\nfewest-examples = 6\n",
        encoding="utf-8",
    )
    assert read_toml(Site, file) == Site(
        "Zürich",
        tmp_path / "data/train.jsonl",
        2,
        1.0,
        False,
        "fp32",
        Limits(4),
        recipes=(Limits(5), Limits(6)),
    )


def test_a_file_with_problems_is_named(tmp_path):
    file = tmp_path / "pair.toml"
    file.write_text('first = "1"\nthird = 3\n')
    with pytest.raises(ConfigurationError) as caught:
        read_toml(Pair, file)
    assert str(caught.value) == (
        f"{file} has 3 problem(s):\n"
        "  - third: unknown key; allowed: first, second\n"
        "  - first: '1' is not a whole number\n"
        "  - second: missing"
    )


def test_missing_file(tmp_path):
    file = tmp_path / "none.toml"
    with pytest.raises(ConfigurationError) as caught:
        read_toml(Pair, file)
    assert str(caught.value) == f"cannot read {file}: [Errno 2] No such file or directory: '{file}'"


def test_a_file_that_is_not_utf_8(tmp_path):
    file = tmp_path / "latin.toml"
    file.write_bytes(b'name = "Z\xfcrich"\n')
    with pytest.raises(ConfigurationError) as caught:
        read_toml(Pair, file)
    assert str(caught.value) == (
        f"cannot read {file}: 'utf-8' codec can't decode byte 0xfc in position 9: invalid start byte"
    )


def test_a_file_that_is_not_toml(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text("first = 1\nsecond\n")
    with pytest.raises(ConfigurationError) as caught:
        read_toml(Pair, file)
    assert re.fullmatch(rf"{re.escape(str(file))} is not TOML: .+ \(at line 2, column 7\)", str(caught.value))
