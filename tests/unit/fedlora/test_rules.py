"""Rules in annotations, and the one rule of names."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from fedlora.config import from_mapping, hold_to_rules
from fedlora.errors import ConfigurationError, RunError
from fedlora.names import check_name, is_name
from fedlora.rules import above, at_least, between, matching, one_of, share


@dataclass(frozen=True)
class Settings:
    port: Annotated[int, between(1, 10)] = 1
    count: Annotated[int, at_least(1)] = 1
    hours: Annotated[float, at_least(0.0)] = 0.0
    seconds: Annotated[float, above(0.0)] = 1.0
    part: Annotated[float, share()] = 1.0
    word: Annotated[str, one_of(("alpha", "beta"))] = "alpha"
    words: tuple[Annotated[str, one_of(("alpha", "beta"))], ...] = ()
    code: Annotated[str, matching("a+", "a row of a")] = "a"
    limit: float | Literal["none"] = 0.0


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("port", [1, 10]),
        ("count", [1, 10**9]),
        ("hours", [0, 0.0, 1e300]),
        ("seconds", [1e-300, 5]),
        ("part", [1, 0.001]),
        ("word", ["alpha", "beta"]),
        ("words", [[], ["beta", "alpha"]]),
        ("code", ["a", "aaa"]),
        ("limit", [1, 0.5, "none"]),
    ],
)
def test_allowed(key, values):
    for value in values:
        built = getattr(from_mapping(Settings, {key: value}, origin="here"), key)
        assert built == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("port", 0, "port: 0 is not a whole number from 1 to 10"),
        ("port", 11, "port: 11 is not a whole number from 1 to 10"),
        ("port", 1.0, "port: 1.0 is not a whole number from 1 to 10"),
        ("port", True, "port: True is not a whole number from 1 to 10"),
        ("count", 0, "count: 0 is not a whole number of at least 1"),
        ("hours", -0.1, "hours: -0.1 is not a number of at least 0"),
        ("hours", float("inf"), "hours: inf is not a number of at least 0"),
        ("seconds", 0, "seconds: 0 is not a number above 0"),
        ("seconds", float("nan"), "seconds: nan is not a number above 0"),
        ("part", 1.1, "part: 1.1 is not a number above 0 and at most 1"),
        ("word", "alpa", "word: 'alpa' is not one of alpha, beta; did you mean 'alpha'?"),
        ("word", "xyz", "word: 'xyz' is not one of alpha, beta"),
        ("words", ["alpha", "bet"], "words[1]: 'bet' is not one of alpha, beta; did you mean 'beta'?"),
        ("words", "alpha", "words: 'alpha' is not a list"),
        ("code", "ab", "code: 'ab' is not a row of a"),
        ("code", "a\n", "code: 'a\\n' is not a row of a"),
        ("limit", "some", "limit: 'some' is not a number or 'none'"),
    ],
)
def test_refused(key, value, problem):
    with pytest.raises(ConfigurationError) as caught:
        from_mapping(Settings, {key: value}, origin="here")
    assert str(caught.value) == f"here has 1 problem(s):\n  - {problem}"


def test_what_was_made_without_a_file_is_held_to_the_same_rules():
    hold_to_rules(Settings())
    with pytest.raises(ConfigurationError) as caught:
        hold_to_rules(Settings(port=0, word="xyz"))
    assert str(caught.value) == ("port: 0 is not a whole number from 1 to 10; word: 'xyz' is not one of alpha, beta")


@pytest.mark.parametrize("name", ["a", "0", "a-b", "9" * 64])
def test_names(name):
    assert is_name(name)
    assert check_name(name, RunError) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a b", "a_b", "a.b", "ä", "a\n", "../a", "9" * 65])
def test_no_names(name):
    assert not is_name(name)
    with pytest.raises(RunError, match="is no name: 1 to 64 of a-z, 0-9 and -"):
        check_name(name, RunError)
