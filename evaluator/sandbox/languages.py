"""The languages: what each needs on the machine, how a program of it is started, and what it has to say.

A program and the supervisor outside converse over a socket. What is said is one line each, in the order of
`Language.says`; three lines are answered:

=============  =============================================================================================
``started``    The program begins; its time runs from here.
``compiling``  The compiler begins, before that.
``length``     Asks for the tests' length in bytes: eight digits.
``tests``      Asks for the tests. Neither file nor process held them before the program had run once.
``token``      The tests have ended: asks for a token, 32 random characters that were nowhere inside until here.
=============  =============================================================================================

Last comes the token itself. Whoever ends without having said all that has not passed, whatever the exit status.
"""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from evaluator.sandbox.program import Program

__all__ = ["LANGUAGES", "WORK", "Language"]

WORK = "/tmp"  # noqa: S108 - the sandbox's own: empty, of bounded size, and gone with it
INSIDE = "/program"
# The channel comes as standard input, since a shell can move no descriptor above 9. The program has none.
TAKE_CHANNEL = "exec 3<&0 </dev/null; "
# Words that no macro can be called, so that no #undef may name them.
OPERATORS = {"and", "and_eq", "bitand", "bitor", "compl", "not", "not_eq", "or", "or_eq", "xor", "xor_eq", "defined"}


@dataclass(frozen=True)
class Language:
    """How programs of a language are run.

    Attributes
    ----------
    title : str
        Its name.
    needs : Mapping[str, str]
        Executables that must be there, and what to install for each.
    says : tuple of str
        What a program says before the token.
    script : callable
        Returns the shell's commands that run a program; the channel is descriptor 3.
    files : callable
        Returns the files of a program by their paths inside the sandbox.
    mounts : callable
        Returns paths outside of the system's own that are shown read-only.
    trial : tuple of str
        Code and tests that pass, and use what tests use.
    """

    title: str
    needs: Mapping[str, str]
    says: tuple[str, ...]
    script: Callable[[Program], str]
    files: Callable[[Program], Mapping[str, str]]
    mounts: Callable[[], list[Path]]
    trial: tuple[str, str]

    def command(self, program: Program) -> list[str]:
        """Return the command that runs `program` inside; its standard input is the channel."""
        return ["/bin/sh", "-c", TAKE_CHANNEL + self.script(program)]

    def missing(self) -> list[str]:
        """Return what this machine lacks for it, each with what to install."""
        return [f"{name} ({package})" for name, package in self.needs.items() if not shutil.which(name)]


def _harness(name: str) -> str:
    return files("evaluator.sandbox").joinpath("harness", name).read_text(encoding="utf-8")


def _python() -> str:
    """Return the interpreter itself: a virtual environment's link to it leads out of what the sandbox shows."""
    return os.path.realpath(sys.executable)


def _python_script(program: Program) -> str:
    command = [_python(), "-I", "-S", "-B", f"{INSIDE}/harness.py", f"{INSIDE}/program.py", program.entry]
    return f"exec {shlex.join(command)}"


def _python_files(program: Program) -> dict[str, str]:
    return {f"{INSIDE}/harness.py": _harness("python_harness.py"), f"{INSIDE}/program.py": program.code}


def _python_mounts() -> list[Path]:
    return [Path(os.path.realpath(sys.base_prefix))]


def _executable(name: str) -> Path:
    return Path(os.path.realpath(shutil.which(name) or name))


def _node_script(_program: Program) -> str:
    return f"exec {shlex.join([str(_executable('node')), f'{INSIDE}/harness.js', f'{INSIDE}/program.js'])}"


def _node_files(program: Program) -> dict[str, str]:
    return {f"{INSIDE}/harness.js": _harness("node_harness.js"), f"{INSIDE}/program.js": program.code}


def _cpp_script(_program: Program) -> str:
    sources = f"{INSIDE}/harness.cpp {INSIDE}/program.cpp"
    return (
        f"echo compiling >&3; g++ -std=c++17 -Wl,--wrap=main -o program {sources} 3>&- || exit 1; "
        "echo started >&3; exec ./program"
    )


def _cpp_files(program: Program) -> dict[str, str]:
    return {
        f"{INSIDE}/harness.cpp": _harness("cpp_harness.cpp"),
        f"{INSIDE}/program.cpp": f"{program.code}\n{_undefined(program.tests)}{program.tests}",
    }


def _undefined(tests: str) -> str:
    """Take from the program's macros every word that tests use, and give back the assert of the C library."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"', '""', tests)
    words = {"NDEBUG", "__assert_fail", "static_cast", "bool", "void", *re.findall(r"[A-Za-z_]\w*", bare)} - OPERATORS
    return "".join(f"#undef {word}\n" for word in sorted(words)) + "#include <assert.h>\n"


INTERPRETED = ("started", "length", "tests", "token")
LANGUAGES = {
    "python": Language(
        "Python",
        {},
        INTERPRETED,
        _python_script,
        _python_files,
        _python_mounts,
        ("def answer():\n    return 42\n", "assert answer() == 42"),
    ),
    "javascript": Language(
        "JavaScript",
        {"node": "Node.js, Debian's package nodejs"},
        INTERPRETED,
        _node_script,
        _node_files,
        lambda: [_executable("node")],
        ("function answer() { return 42; }", "require('node:assert').deepEqual(answer(), 42);"),
    ),
    "c++": Language(
        "C++",
        {"g++": "the GNU C++ compiler, Debian's package g++"},
        ("compiling", "started", "token"),
        _cpp_script,
        _cpp_files,
        list,
        ("#include <bits/stdc++.h>\nint answer() { return 42;", "}\nint main() { assert(answer() == 42); }"),
    ),
}
