"""Running a program in a sandbox, or not at all."""

import functools
import os
import platform
import socket
import subprocess
from contextlib import ExitStack

from evaluator.sandbox import bubblewrap
from evaluator.sandbox.conversation import Conversation
from evaluator.sandbox.languages import LANGUAGES, Language
from evaluator.sandbox.program import Limits, Program, Verdict
from evaluator.sandbox.supervisor import Supervisor
from evaluator.sandbox.system_calls import filter_program
from fedlora.errors import EvaluationError
from fedlora.rules import suggestion

__all__ = ["available", "require", "run"]

DEFAULT = Limits()


def available(*languages: str) -> list[str]:
    """Return what is missing to run programs of `languages`, each with what to do about it; nothing if all is there.

    With everything installed, a small program of each is tried: a container, for one, may forbid sandboxes.
    """
    lacking = bubblewrap.missing() + [one for name in languages for one in _language(name).missing()]
    return lacking or [reason for name in languages or ("python",) if (reason := _tried(name))]


def _tried(name: str) -> str:
    """Return what a trial of a language shows to be missing; nothing if it passes."""
    language = _language(name)
    try:
        verdict = run(Program(name, *language.trial, seconds=30.0))
    except EvaluationError as error:
        return f"leave to make namespaces: {error}"
    if verdict.passed:
        return ""
    return f"a working {language.title}: a trial ends as {verdict.outcome}, {verdict.stderr.strip() or 'silently'}"


@functools.cache
def require(*languages: str) -> None:
    """Do nothing if programs of `languages` can be run here.

    Raises
    ------
    EvaluationError
        Names what is missing. Nothing that a model has written is ever run outside a sandbox.
    """
    if lacking := available(*languages):
        titles = " and ".join(_language(name).title for name in languages)
        raise EvaluationError(
            f"programs in {titles} cannot be run here; missing: {'; '.join(lacking)}. See docs/sandbox.md"
        )


def run(program: Program, limits: Limits = DEFAULT) -> Verdict:
    """Run `program` and return how it ended; nothing of it is left then.

    Parameters
    ----------
    program : Program
        Code and tests.
    limits : Limits
        What it may take.

    Raises
    ------
    EvaluationError
        If there is no sandbox to be had.
    """
    language = _language(program.language)
    if lacking := bubblewrap.missing() + language.missing():
        raise EvaluationError(f"a program in {language.title} cannot be run here; missing: {'; '.join(lacking)}")
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        filtered = _in_memory("filter", filter_program(platform.machine()), stack)
        contents = {
            path: _in_memory(path, text.encode("utf-8", "replace"), stack)
            for path, text in language.files(program).items()
        }
        told, telling = os.pipe()
        stack.callback(os.close, told)
        try:
            process = subprocess.Popen(
                bubblewrap.command(
                    language.command(program),
                    limits,
                    contents=contents,
                    mounts=language.mounts(),
                    filter_descriptor=filtered,
                    information=telling,
                    cpu_seconds=int(limits.preparation + program.seconds) + 1,
                ),
                env={},
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(filtered, telling, *contents.values()),
                cwd="/",
            )
        finally:  # what bubblewrap holds ends with it, and with nobody else
            os.close(telling)
            theirs.close()
        stack.enter_context(process)
        conversation = Conversation(language.says, program.tests)
        return Supervisor(process, ours, told, program, limits, conversation).watch()


def _language(name: str) -> Language:
    if name not in LANGUAGES:
        advice = suggestion(name, LANGUAGES) or f"there are {', '.join(LANGUAGES)}"
        raise EvaluationError(f"there is no sandbox for the language {name!r}; {advice}")
    return LANGUAGES[name]


def _in_memory(name: str, content: bytes, stack: ExitStack) -> int:
    """Return a descriptor of a file in memory that holds `content`."""
    descriptor = os.memfd_create(name.rpartition("/")[2])
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
