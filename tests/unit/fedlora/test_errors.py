"""The tree of errors in the docstring of `fedlora.errors` is the tree of its classes."""

import re
import textwrap

import pytest

from fedlora import errors
from fedlora.errors import FedloraError, by_name

CLASSES = [entry for entry in vars(errors).values() if isinstance(entry, type) and entry.__module__ == errors.__name__]
# Written down here because they are promised to stay: whoever changes one breaks a script somewhere.
CODES = {
    "FedloraError": 1,
    "ConfigurationError": 10,
    "ShardError": 11,
    "BaseModelError": 12,
    "AdapterError": 13,
    "BundleError": 14,
    "CredentialError": 20,
    "AuditError": 21,
    "BackupError": 22,
    "ProcessDiedError": 30,
    "NotReadyError": 31,
    "PortInUseError": 32,
    "ControlError": 33,
    "AlreadyUpError": 34,
    "MetricsError": 35,
    "TrainerError": 40,
    "PolicyError": 41,
    "PrivacyError": 45,
    "WithdrawalError": 43,
    "UnfitSiteError": 44,
    "WireError": 50,
    "UpdateNormError": 51,
    "RunError": 60,
    "ParticipationError": 61,
    "SpecMismatchError": 62,
    "CheckpointError": 63,
    "ReplacedError": 64,
    "BudgetError": 65,
    "StoppedError": 66,
    "AggregationError": 67,
    "EvaluationError": 70,
    "EntryError": 71,
}


def drawn_tree() -> dict[str, tuple[str, int]]:
    """Return parent and exit code of each class that the docstring draws."""
    drawing = textwrap.dedent(errors.__doc__.split("::\n\n", 1)[1].split("\n\n", 1)[0])
    tree: dict[str, tuple[str, int]] = {}
    above = ["Exception"]
    for line in drawing.splitlines():
        branch, name, code = re.fullmatch(r"([|`\- ]*)(\w+) +(\d+)(?:   \S.*)?", line).groups()
        depth, rest = divmod(len(branch), len("|- "))
        assert rest == 0, line
        assert name not in tree, line
        del above[depth + 1 :]
        tree[name] = (above[depth], int(code))
        above.append(name)
    return tree


def bands() -> dict[str, range]:
    found = re.findall(r"(\d+)-(\d+)\s+(\w+)", errors.__doc__.split("Exit codes are stable: ", 1)[1])
    return {word: range(int(first), int(last) + 1) for first, last, word in found}


def band_of(code: int) -> str | None:
    return next((word for word, codes in bands().items() if code in codes), None)


def test_the_drawn_tree_is_the_real_one():
    assert drawn_tree() == {error.__name__: (error.__base__.__name__, error.exit_code) for error in CLASSES}


def test_exit_codes_are_those_of_old():
    assert {error.__name__: error.exit_code for error in CLASSES} == CODES


def test_exit_codes_are_unique():
    codes = sorted(error.exit_code for error in CLASSES)
    assert codes == sorted(set(codes))
    assert not {0, 2, 130} & set(codes)


def test_bands_are_read():
    assert list(bands()) == ["input", "identity", "processes", "site", "wire", "run", "evaluation"]
    assert [(codes.start, codes[-1]) for codes in bands().values()] == [(n, n + 9) for n in range(10, 80, 10)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_code_and_hint_are_its_own(error):
    assert {"exit_code", "hint"} <= vars(error).keys()
    assert re.fullmatch(r"\S.*[^\s.]", error.hint)


@pytest.mark.parametrize(
    "error", [error for error in CLASSES if error is not FedloraError], ids=lambda error: error.__name__
)
def test_code_is_in_its_band(error):
    assert band_of(error.exit_code) is not None
    if error.__base__ is not FedloraError:
        assert band_of(error.exit_code) == band_of(error.__base__.exit_code)


@pytest.mark.parametrize(
    ("area", "names"),
    [
        ("input", {"ConfigurationError", "ShardError", "BaseModelError", "AdapterError", "BundleError"}),
        ("identity", {"CredentialError", "AuditError", "BackupError"}),
        (
            "processes",
            {"ProcessDiedError", "NotReadyError", "PortInUseError", "ControlError", "AlreadyUpError", "MetricsError"},
        ),
        ("site", {"TrainerError", "PolicyError", "PrivacyError", "WithdrawalError", "UnfitSiteError"}),
        ("wire", {"WireError", "UpdateNormError"}),
        ("run", {name for name, code in CODES.items() if 60 <= code < 70}),
        ("evaluation", {"EvaluationError", "EntryError"}),
    ],
)
def test_who_is_in_each_band(area, names):
    assert {error.__name__ for error in CLASSES if band_of(error.exit_code) == area} == names


def test_hints_tell_the_errors_apart():
    hints = [error.hint for error in CLASSES]
    assert sorted(hints) == sorted(set(hints))


def test_exported_and_found_by_name():
    names = {error.__name__ for error in CLASSES}
    assert set(errors.__all__) == names | {"by_name"}
    # Other modules may add classes below the tree; those of this one must all be found.
    assert {name: error for name, error in by_name().items() if error.__module__ == errors.__name__} == {
        error.__name__: error for error in CLASSES
    }
