"""A program that a model has written, what it may take, and how it ended."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Limits", "Outcome", "Program", "Verdict"]

# `passed`: ran its tests to their end, and then to its own. `failed`: ended otherwise, by a test or an error.
# `unproven`: ended as if all were well before the tests had ended. `uncompiled`: the compiler refuses it. `timeout`,
# `memory`, `output`: was stopped at that limit.
Outcome = Literal["passed", "failed", "unproven", "uncompiled", "timeout", "memory", "output"]

MIB = 2**20


@dataclass(frozen=True)
class Program:
    """What is run.

    Attributes
    ----------
    language : str
        A key of ``evaluator.sandbox.languages.LANGUAGES``.
    code : str
        What is tested, whole: the prompt and what the model wrote behind it.
    tests : str
        What stands behind it and ends by itself only if all is well.
    entry : str
        Python alone: the tested name. Tests see another name of the program only if it hides nothing of the language's.
    seconds : float
        Wall clock; begins when the program does, behind compiler and interpreter.
    """

    language: str
    code: str
    tests: str
    entry: str = ""
    seconds: float = 3.0


@dataclass(frozen=True)
class Limits:
    """What a program and all processes that it starts may take, compiler included.

    Attributes
    ----------
    memory : int
        Resident bytes of all processes together, by looks 20 ms apart: what is allocated between two looks comes on
        top. A process's own writable memory is held to twice this by the kernel, at every moment.
    disk, file : int
        Bytes of the work folder, which lies in memory and comes on top of `memory`; of its largest file.
    processes : int
        Processes and threads.
    descriptors : int
        Open files of a process.
    output : int
        Bytes to standard output and standard error together.
    preparation : float
        Seconds until interpreter or compiler are done and the program begins.
    """

    memory: int = 1024 * MIB
    disk: int = 64 * MIB
    file: int = 32 * MIB
    processes: int = 48
    descriptors: int = 128
    output: int = MIB
    preparation: float = 60.0


@dataclass(frozen=True)
class Verdict:
    """How a program ended.

    Attributes
    ----------
    outcome : str
        See `Outcome`; only ``passed`` counts as solved.
    status : int
        Exit status; 128 and the signal's number if a signal ended it, -9 if it was stopped at a limit.
    stdout, stderr : str
        The last 2,000 bytes of each.
    seconds : float
        From its start, compiler and interpreter included.
    """

    outcome: Outcome
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the program ran all its tests, and they hold."""
        return self.outcome == "passed"
