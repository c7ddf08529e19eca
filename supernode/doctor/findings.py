"""What a check of a site has found: one line each, whatever else is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import ParamSpec

from fedlora.errors import FedloraError

__all__ = ["Finding", "Outcome", "check", "fail", "ok", "skipped", "usable", "warn"]

Arguments = ParamSpec("Arguments")


class Outcome(StrEnum):
    """How a check ended; the value is what people read."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    check : str
        What was looked at.
    outcome : Outcome
        Whether the site can take part with it; ``skipped`` where that rests on a check that failed.
    found : str
        What is there.
    advice : str
        What to do; empty where nothing has to be done.
    """

    check: str
    outcome: Outcome
    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<7}  {self.check:<18}  {self.found}{f'; {self.advice}' if self.advice else ''}"


def ok(found: str) -> tuple[Outcome, str, str]:
    """Say that all is well."""
    return Outcome.OK, found, ""


def warn(found: str, advice: str) -> tuple[Outcome, str, str]:
    """Say that the site can take part, and what should be looked after."""
    return Outcome.WARN, found, advice


def fail(found: str, advice: str) -> tuple[Outcome, str, str]:
    """Say that the site cannot take part like this."""
    return Outcome.FAIL, found, advice


def skipped(reason: str) -> tuple[Outcome, str, str]:
    """Say why it could not be looked at."""
    return Outcome.SKIPPED, reason, ""


def usable(finding: Finding) -> bool:
    """Whether what was looked at can be used by checks that rest on it."""
    return finding.outcome in (Outcome.OK, Outcome.WARN)


def check(
    name: str, advice: str = ""
) -> Callable[[Callable[Arguments, tuple[Outcome, str, str]]], Callable[Arguments, Finding]]:
    """Name a check; an error that it raises is what it has found, and `advice` is what to do then."""

    def named(look: Callable[Arguments, tuple[Outcome, str, str]]) -> Callable[Arguments, Finding]:
        @wraps(look)
        def looked(*arguments: Arguments.args, **named: Arguments.kwargs) -> Finding:
            try:
                return Finding(name, *look(*arguments, **named))
            except (FedloraError, OSError) as error:
                return Finding(name, Outcome.FAIL, " ".join(str(error).split()), advice)

        return looked

    return named
