"""Runs a Python program and then its tests; a program in the sandbox, which imports nothing of fedlora.

``python -I -S python_harness.py PROGRAM ENTRY``. The conversation over descriptor 3 is ``languages.py``'s. What the
harness needs once the program has run, it holds in local names from before.
"""

import builtins
import collections
import copy
import functools
import itertools
import math
import os
import random
import re
import string
import sys
import threading
from types import ModuleType

# What tests may use besides the program: loaded before it runs, and put back as it was before they do.
RESTORED = (builtins, collections, copy, functools, itertools, math, os, random, re, string, sys)


def main() -> None:
    """Run the program, ask for its tests, run them, ask for the proof that they have ended, and hand it over."""
    channel, file, entry = 3, sys.argv[1], sys.argv[2]
    read, write, execute, compiled = os.read, os.write, exec, compile
    quiet = (sys.settrace, sys.setprofile, threading.settrace, threading.setprofile)
    modules = sys.modules
    kept = [(module.__name__, module, vars(module), dict(vars(module))) for module in RESTORED]
    failure = RuntimeError

    def ask(what: bytes, length: int) -> bytes:
        write(channel, what + b"\n")
        told = b""
        while len(told) < length:
            part = read(channel, length - len(told))
            if not part:
                raise failure("the sandbox does not answer")
            told += part
        return told

    with open(file, encoding="utf-8") as source:  # noqa: PTH123 - pathlib would be loaded for nothing
        code = source.read()
    sys.argv[:] = [""]
    program = ModuleType("program")  # not called __main__, as in the reference
    modules["program"] = modules["__main__"] = program
    space = vars(program)
    ask(b"started", 0)
    execute(compiled(code, "program", "exec"), space)
    for stop in quiet:
        stop(None)
    for name, module, content, before in kept:
        content.update(before)
        modules[name] = module
    hidden = vars(builtins).keys() - {entry}
    space = {name: value for name, value in space.items() if name not in hidden}
    space["__builtins__"] = builtins
    tests = ask(b"tests", int(ask(b"length", 8)))
    execute(compiled(tests, "tests", "exec"), space)
    write(channel, ask(b"token", 32) + b"\n")


main()
