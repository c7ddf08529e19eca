"""The sandbox: programs that behave pass, hostile ones fail, and neither leaves anything behind."""

import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from evaluator.sandbox import bubblewrap
from evaluator.sandbox.bubblewrap import OWN_USERS
from evaluator.sandbox.conversation import Conversation
from evaluator.sandbox.program import Limits, Program
from evaluator.sandbox.run import available, require, run
from evaluator.sandbox.system_calls import filter_program
from fedlora.errors import EvaluationError

MIB = 2**20
LANGUAGES = ("python", "javascript", "c++")


@pytest.fixture(autouse=True, scope="module")
def _sandbox():
    """Fail in CI, where all of it is installed; elsewhere, leave out what cannot run."""
    lacking = available(*LANGUAGES)
    if lacking and "CI" not in os.environ:
        pytest.skip(f"left out: no sandbox here; missing: {'; '.join(lacking)}")
    assert not lacking


@pytest.fixture(autouse=True)
def nothing_left(tmp_path):
    """Hold each test to what it found: the same processes of sandboxes, descriptors, and files to write to."""

    def strangers():
        """List what runs in a sandbox, or runs one; what has ended and waits for init to note it does neither."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    owner, stat = process.stat().st_uid, (process / "stat").read_text()
                except OSError:
                    continue
                command, state = stat.partition("(")[2].rpartition(")")[::2]
                if (owner >= OWN_USERS or command == "bwrap") and state.split()[0] not in "ZX":
                    found.append(f"{process.name}: {command}")
        return found

    before = (
        strangers(),
        len(list(Path("/proc/self/fd").iterdir())),
        set(os.listdir("/tmp")),
        set(os.listdir("/dev/shm")),
    )
    yield
    assert strangers() == before[0]
    assert len(list(Path("/proc/self/fd").iterdir())) == before[1]
    assert set(os.listdir("/dev/shm")) == before[3]
    ours = {name for name in set(os.listdir("/tmp")) - before[2] if "hostile" in name}
    assert not ours


# What behaves, in each language.

JS_TESTS = "const assert = require('node:assert');\nfunction test() {\n  assert.deepEqual(add(1, 2), 3);\n}\ntest();\n"
CPP = "#include<assert.h>\n#include<bits/stdc++.h>\nlong add(long a, long b) {\n"
CPP_TESTS = "}\nint main() {\n    auto candidate = add;\n    assert(candidate((1), (2)) == (3));\n}\n"
RIGHT = {
    "python": Program("python", "def add(a, b):\n    return a + b\n", "assert add(1, 2) == 3", entry="add"),
    "javascript": Program("javascript", "function add(a, b) {\n  return a + b;\n}\n", JS_TESTS),
    "c++": Program("c++", f"{CPP}  return a + b;\n", CPP_TESTS),
}
WRONG = {
    "python": Program("python", "def add(a, b):\n    return a - b\n", "assert add(1, 2) == 3", entry="add"),
    "javascript": Program("javascript", "function add(a, b) {\n  return a - b;\n}\n", JS_TESTS),
    "c++": Program("c++", f"{CPP}  return a - b;\n", CPP_TESTS),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_right_program_passes(language):
    verdict = run(RIGHT[language])
    assert verdict.passed, verdict
    assert verdict.status == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wrong_program_fails_by_its_test(language):
    verdict = run(WRONG[language])
    assert verdict.outcome == "failed", verdict
    assert "Assert" in verdict.stderr


def test_a_program_that_does_not_compile():
    assert run(Program("c++", f"{CPP} return a +;\n", CPP_TESTS)).outcome == "uncompiled"
    assert run(Program("python", "def add(a, b:\n", "assert add(1, 2) == 3")).outcome == "failed"
    assert run(Program("javascript", "function add(a, b) {", JS_TESTS)).outcome == "failed"


def test_what_a_program_may_do():
    """Threads, processes, files in the work folder, randomness and the standard library are there."""
    code = (
        "import tempfile, threading, subprocess, secrets, json, dataclasses, pathlib\n"
        "@dataclasses.dataclass\n"
        "class Pair:\n    a: 'int'\n"
        "def f():\n"
        "    with tempfile.NamedTemporaryFile('w+') as file:\n"
        "        file.write(json.dumps([1])); file.flush()\n"
        "        there = pathlib.Path(file.name).read_text()\n"
        "    thread = threading.Thread(target=secrets.token_hex); thread.start(); thread.join()\n"
        "    return there + subprocess.run(['echo', 'x'], capture_output=True, text=True).stdout\n"
    )
    verdict = run(Program("python", code, "assert f() == '[1]x\\n'"))
    assert verdict.passed, verdict
    modules = "const fs = require('fs'); fs.writeFileSync('a', 'x'); module.exports = {}; const b = 1;"
    assert run(Program("javascript", modules, f"{JS_TESTS.replace('add(1, 2), 3', 'b, 1')}")).passed


def test_tests_of_any_length_arrive():
    tests = "assert add(1, 2) == 3\n" * 100_000
    assert run(Program("python", RIGHT["python"].code, tests, seconds=20.0)).passed


def test_a_program_may_shadow_what_it_is_asked_for_and_nothing_else():
    shadow = "def sum(a, b):\n    return a * b\n"
    assert run(Program("python", shadow, "assert sum(2, 3) == 6", entry="sum")).passed
    cheat = "def add(a, b):\n    return 0\ndef set(what):\n    return 0\n"
    assert run(Program("python", cheat, "assert set([add(1, 2)]) == set([3])", entry="add")).outcome == "failed"


def test_programs_at_the_same_time_do_not_meet():
    """Each has limits of its own: as many processes as one may have, in each of several."""
    code = (
        "import threading, time\n"
        "def f():\n"
        "    held = [threading.Thread(target=time.sleep, args=(0.5,)) for _ in range(40)]\n"
        "    [one.start() for one in held]; [one.join() for one in held]\n"
        "    return True\n"
    )
    verdicts = []
    program = Program("python", code, "assert f()", seconds=20.0)
    threads = [threading.Thread(target=lambda: verdicts.append(run(program))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.outcome for one in verdicts] == ["passed"] * 4, verdicts


# What is hostile. Each ends as a failed item; the fixture above sees to what it leaves.

LISTEN = "127.0.0.1"
CANARY = "a canary that no program may read"


def fails(program: Program, *outcomes: str, limits: Limits = Limits()):
    """Return the verdict on a program that must not pass, and must end in time."""
    began = time.monotonic()
    verdict = run(program, limits)
    assert time.monotonic() - began < 60
    assert not verdict.passed, verdict
    if outcomes:
        assert verdict.outcome in outcomes, verdict
    return verdict


BOMBS = {
    "fork bomb": ("python", "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"),
    "fork bomb of sessions": (
        "python",
        "import os\nfor _ in range(30):\n    if os.fork() == 0:\n        os.setsid()\n        while True:\n"
        "            try:\n                os.fork()\n            except OSError:\n                pass\n"
        "while True: pass\n",
    ),
    "infinite loop": ("python", "while True:\n    pass\n"),
    "infinite loop, deaf": ("python", "import os\nos.closerange(0, 1000)\nwhile True:\n    pass\n"),
    "infinite loop, signals ignored": (
        "python",
        "import signal\nfor one in range(1, 65):\n    try:\n        signal.signal(one, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\nwhile True: pass\n",
    ),
    "sleep": ("python", "import time\ntime.sleep(1000)\n"),
    "infinite loop in JavaScript": ("javascript", "while (true);"),
    "timer that never ends": ("javascript", "setInterval(() => {}, 1000); function add(a, b) { return 3; }"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_never_ends(name):
    language, code = BOMBS[name]
    tests = {"python": "assert True", "javascript": "function add(){ return 3 }\n" + JS_TESTS}[language]
    fails(Program(language, code, tests, seconds=1.0), "timeout")


def test_a_loop_in_cpp():
    fails(Program("c++", f"{CPP} while (true) {{ a += b; }}\n", CPP_TESTS, seconds=1.0), "timeout")


@pytest.mark.parametrize(
    "code",
    [
        "held = []\nwhile True:\n    held.append(bytearray(2**20))\n",
        "import os\nfor _ in range(8):\n    if os.fork() == 0:\n        break\nheld = []\nwhile True:\n    held.append(bytearray(2**20))\n",
        "import mmap\nheld = []\nwhile True:\n    one = mmap.mmap(-1, 2**20)\n    one.write(b'x' * 2**20)\n    held.append(one)\n",
        "held = bytearray(10**11)\n",
    ],
    ids=["one process", "many processes, none of them large", "shared memory", "all at once"],
)
def test_a_memory_bomb(code):
    verdict = fails(Program("python", code, "assert True", seconds=20.0), limits=Limits(memory=256 * MIB))
    assert verdict.outcome in ("memory", "failed"), verdict


def test_a_memory_bomb_in_other_languages():
    limits = Limits(memory=512 * MIB)
    hold = "const held = []; while (true) held.push(Buffer.alloc(1 << 20, 1));"
    fails(Program("javascript", hold, JS_TESTS, seconds=20.0), "memory", "failed", limits=limits)
    hold = f"{CPP} std::vector<std::string> held; while (true) held.emplace_back(1 << 20, 'x');\n"
    fails(Program("c++", hold, CPP_TESTS, seconds=20.0), "memory", "failed", limits=limits)


def test_endless_output():
    verdict = fails(Program("python", "while True:\n    print('x' * 10**6)\n", "assert True", seconds=20.0), "output")
    assert len(verdict.stdout) <= 2000


def test_a_bomb_for_the_compiler():
    limits = Limits(memory=256 * MIB, preparation=5.0)
    code = '#include <array>\ntemplate<int N> struct A { A<N + 1> a; A<N + 2> b; };\nA<0> a;\n#include "/dev/zero"\n'
    fails(Program("c++", code, CPP_TESTS), "uncompiled", "memory", "timeout", limits=limits)


@pytest.mark.parametrize(
    "place", ["huge", "/dev/shm/hostile", "/usr/hostile", "/hostile", "/program/hostile", "/dev/hostile"]
)
def test_a_huge_file_or_one_elsewhere(place):
    """In the work folder there is an end to it; elsewhere there is no beginning."""
    code = f"with open({place!r}, 'wb') as file:\n    while True:\n        file.write(bytes(2**20))\n"
    verdict = fails(Program("python", code, "assert True", seconds=20.0))
    assert ("File too large" if place == "huge" else "Read-only file system") in verdict.stderr
    assert not Path(place).exists()


def test_many_files_fill_the_work_folder_and_nothing_else():
    code = "n = 0\nwhile True:\n    n += 1\n    open(str(n), 'wb').write(bytes(2**20))\n"
    assert "No space left" in fails(Program("python", code, "assert True", seconds=20.0)).stderr


def test_files_of_the_host_cannot_be_read(tmp_path):
    secret = tmp_path / "canary"
    secret.write_text(CANARY)
    tmp_path.chmod(0o755)
    secret.chmod(0o644)
    for place in (secret, "/etc/passwd", "/proc/1/environ", "/proc/self/environ", "/root/.bashrc", "/sys/kernel"):
        verdict = fails(Program("python", f"print(open({str(place)!r}).read())", "assert True"))
        assert "No such file" in verdict.stderr, verdict
        assert not verdict.stdout
    inherited = f"import os\nfor n in range(3, 128):\n    try:\n        print(n, os.read(n, 0) or os.readlink(f'/proc/self/fd/{{n}}'))\n    except OSError:\n        pass\n"
    assert run(Program("python", inherited, "assert True")).passed


def test_a_symlink_leads_nowhere(tmp_path):
    (tmp_path / "canary").write_text(CANARY)
    code = f"import os\nos.symlink({str(tmp_path)!r}, 'out')\nprint(os.listdir('out'))"
    assert "No such file" in fails(Program("python", code, "assert True")).stderr
    code = f"import os\nos.symlink({str(tmp_path)!r}, 'out')\nopen('out/hostile', 'w').write('x')"
    fails(Program("python", code, "assert True"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["canary"]


def test_what_a_program_sees():
    """Its environment, its descriptors and its processes are its own."""
    os.environ["FEDLORA_SECRET"] = CANARY
    seen = (
        "import os, sys, fcntl\n"
        "print(sorted(os.environ), os.getcwd(), sorted(os.listdir('/')), os.getpid() < 10, os.uname().nodename)\n"
        "def is_open(n):\n    try:\n        return bool(fcntl.fcntl(n, fcntl.F_GETFD) + 1)\n    except OSError:\n        return False\n"
        "print(sum(is_open(n) for n in range(128)), sys.argv, os.getuid() != 0)\n"
    )
    verdict = run(Program("python", seen, "assert True"))
    first, second = verdict.stdout.splitlines()
    assert first.startswith("['HOME', 'LANG', 'LC_CTYPE', 'PATH', 'PWD', 'TMPDIR'] /tmp") or first.startswith(
        "['HOME', 'LANG', 'PATH', 'PWD', 'TMPDIR'] /tmp"
    )
    assert first.endswith("True sandbox")
    assert not {"home", "work", "proc", "var", "sys", "mnt", "srv"} & set(first.split("'"))
    assert second == "4 [''] True", "standard streams and the channel"


def test_no_network_not_even_loopback():
    with socket.create_server((LISTEN, 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        connect = f"import socket\nsocket.create_connection(({LISTEN!r}, {port}), 2).send(b'x')"
        assert "Operation not permitted" in fails(Program("python", connect, "assert True")).stderr
        script = f"require('net').connect({port}, '{LISTEN}').on('connect', () => console.log('hostile'));"
        assert "hostile" not in fails(Program("javascript", script, JS_TESTS)).stdout
        with pytest.raises(TimeoutError):
            server.accept()
    for family in ("AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG", "AF_INET6"):
        fails(
            Program("python", f"import socket\nsocket.socket(socket.{family}, socket.SOCK_RAW)", "assert True"),
            "failed",
        )


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.kill(os.getppid(), 9)\nos.kill(1, 9)\nos._exit(0)",
        "import os\nos.kill(-1, 9)",
        "import os\nos.killpg(0, 9)",
        "import os\nfor n in range(2, 99999):\n    try:\n        os.kill(n, 9)\n    except OSError:\n        pass",
    ],
    ids=["parent", "all", "group", "each"],
)
def test_killing_others(code):
    fails(Program("python", code, "assert True", seconds=10.0), "failed", "unproven")


@pytest.mark.parametrize(
    "arguments",
    [
        ["unshare", "-Ur", "true"],
        ["unshare", "-n", "true"],
        ["mount", "-t", "tmpfs", "x", "/tmp"],
        ["chroot", "/", "true"],
    ],
    ids=" ".join,
)
def test_no_new_namespace_or_mount(arguments):
    code = f"import subprocess\nsubprocess.run({arguments!r}, check=True)"
    assert "not permitted" in fails(Program("python", code, "assert True"), "failed").stderr


def test_no_memory_that_belongs_to_no_process():
    fails(Program("python", "import os\nos.memfd_create('hostile')", "assert True"), "failed")
    shmget = "import ctypes\nassert ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) >= 0"
    fails(Program("python", shmget, "assert True"), "failed")


def test_a_process_in_the_background_does_not_outlive_the_program():
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 100)\n        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "def add(a, b):\n    return a + b\n"
    )
    assert run(Program("python", code, RIGHT["python"].tests, seconds=10.0)).passed


# Ending well without having passed.

EARLY = {
    "exit": "raise SystemExit(0)",
    "os._exit": "import os\nos._exit(0)",
    "os._exit in the function": "import os\ndef add(a, b):\n    os._exit(0)",
    "exit in the function": "def add(a, b):\n    raise SystemExit(0)",
    "exit at the end": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b):\n    return 0",
    "excepthook": "import os, sys\nsys.excepthook = lambda *_: os._exit(0)\ndef add(a, b):\n    return 0",
    "excepthook restored": "import sys, os\nsys.__dict__['excepthook'] = lambda *_: os._exit(0)\ndef add(a, b): return 0",
    "exec of true": "import os\nos.execv('/usr/bin/true', ['true'])",
    "exec of true, tests mimicked": "import os\nprint('token'); print('passed')\nos.execv('/usr/bin/true', ['true'])",
    "a signal's handler": "import signal, os\nsignal.signal(signal.SIGALRM, lambda *_: os._exit(0))\nsignal.setitimer(0, 0.01)\ndef add(a, b):\n    while True: pass",
    "closed channel": "import os\nos.closerange(3, 100)\ndef add(a, b):\n    return 3",
    "blind writing": "import os\nfor n in range(3, 100):\n    try:\n        os.write(n, b'token\\npassed\\n' + b'0' * 32 + b'\\n')\n    except OSError:\n        pass\nos._exit(0)",
    "another thread": "import threading, os\nthreading.Timer(0, os._exit, [0]).start()\ndef add(a, b):\n    while True: pass",
}


@pytest.mark.parametrize("name", EARLY)
def test_ending_early_is_no_pass(name):
    fails(Program("python", EARLY[name], RIGHT["python"].tests), "unproven", "failed")


TRICKS = {
    "a trace that skips lines": (
        "import sys\n"
        "def trace(frame, event, argument):\n"
        "    if frame.f_code.co_filename == 'tests' and event == 'line':\n"
        "        frame.f_lineno = frame.f_lineno + 1\n"
        "    return trace\n"
        "sys.settrace(trace)\n"
        "for frame in (sys._getframe(n) for n in range(2)):\n    frame.f_trace = trace\n"
        "def add(a, b):\n    return 0\n"
    ),
    "builtins": "import builtins\nbuiltins.abs = lambda _: 0\nbuiltins.isinstance = lambda *_: True\ndef add(a, b): return 99",
    "shadowed names": "abs = lambda _: 0\nadd = lambda a, b: 99",
    "own builtins": "__builtins__ = {'abs': lambda _: 0}\nadd = lambda a, b: 99",
    "modules": "import math, sys, types\nmath.fabs = lambda _: 0\nsys.modules['math'] = types.SimpleNamespace(fabs=lambda _: 0)\nadd = lambda a, b: 99",
    "assertions off": "import sys\nsys.flags = None\nAssertionError = Exception\n__debug__ if True else 0\nadd = lambda a, b: 99",
    "a hidden test": "import sys\nsys.modules['__main__'].main = lambda: None\ncheck = lambda _: None\nadd = lambda a, b: 99",
    "exec": "import builtins\nbuiltins.exec = builtins.compile = lambda *_, **__: None\nadd = lambda a, b: 99",
    "overwritten files": "import pathlib\nfor file in pathlib.Path('/program').iterdir():\n    try:\n        file.write_text('')\n    except OSError:\n        pass\nadd = lambda a, b: 99",
    "reading and writing replaced": "import os\nos.read = lambda n, most: b'0' * most\nos.write = lambda n, what: len(what)\nadd = lambda a, b: 99",
}


@pytest.mark.parametrize("name", TRICKS)
def test_tests_cannot_be_tricked_away(name):
    tests = "import math\ndef check(one):\n    assert math.fabs(one(1, 2) - 3) < 1e-6\n    assert abs(one(1, 2) - 3) < 1e-6\n\ncheck(add)\n"
    assert run(Program("python", "def add(a, b):\n    return a + b\n", tests, entry="add")).passed
    fails(Program("python", TRICKS[name], tests, entry="add"), "failed")


JS_TRICKS = {
    "exit": "process.exit(0);",
    "exit in the function": "function add(a, b) { process.exit(0); }",
    "exception swallowed": "process.on('uncaughtException', () => {}); function add(a, b) { return 0; }",
    "status": "process.on('exit', () => { process.exitCode = 0; process.reallyExit(0); }); function add(a, b) { return 0; }",
    "assert's functions": "require('assert').deepEqual = () => {}; function add(a, b) { return 0; }",
    "assert frozen": "const a = require('assert'); a.deepEqual = () => {}; Object.freeze(a); function add(a, b) { return 0; }",
    "the loader": "require('module')._load = () => ({ deepEqual() {} }); function add(a, b) { return 0; }",
    "require": "globalThis.require = () => ({ deepEqual() {} }); function add(a, b) { return 0; }",
    "require declared": "const require = () => ({ deepEqual() {} }); function add(a, b) { return 0; }",
    "require as a variable": "var require = () => ({ deepEqual() {} }); function add(a, b) { return 0; }",
    "a test that is there": "Object.defineProperty(globalThis, 'test', { value() {} }); function add(a, b) { return 0; }",
}


@pytest.mark.parametrize("name", JS_TRICKS)
def test_tests_in_javascript_cannot_be_tricked_away(name):
    fails(Program("javascript", JS_TRICKS[name], JS_TESTS), "failed", "unproven")


CPP_TRICKS = {
    "exit": "  exit(0);",
    "quick_exit": "  std::quick_exit(0);",
    "_exit": "  _Exit(0);",
    "no assertions": "#undef assert\n#define assert(what)\n#define NDEBUG\n  return 0;",
    "another main": "#define main(...) main() { return 0; } int other()\n  return 0;",
    "another return": "#define auto return 0; auto\n  return 0;",
    "what fails does not": "#define __assert_fail(...) void()\n  return 0;",
    "all after is a comment": "  return 0; }\nint main() {} /*",
    "all after is left out": "  return 0; }\nint main() {\n#if 0",
    "all after is text": '  return 0; }\nint main() { const char *rest = R"(',
}


@pytest.mark.parametrize("name", CPP_TRICKS)
def test_tests_in_cpp_cannot_be_tricked_away(name):
    fails(Program("c++", f"#include<unistd.h>\n{CPP}{CPP_TRICKS[name]}\n", CPP_TESTS))


# Refusals.


def test_without_a_sandbox_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert any("bubblewrap" in one for one in available("python"))
    with pytest.raises(EvaluationError, match=r"bwrap \(bubblewrap, Debian's package bubblewrap\)"):
        run(RIGHT["python"])
    with pytest.raises(EvaluationError, match="cannot be run here"):
        require("python")


@pytest.mark.parametrize(
    ("language", "executable", "package"), [("javascript", "node", "nodejs"), ("c++", "g++", r"g\+\+")]
)
def test_a_language_that_is_not_there_is_refused_by_name(monkeypatch, tmp_path, language, executable, package):
    for name in (*bubblewrap.NEEDS, *({"node", "g++"} - {executable})):
        (tmp_path / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert available("python") == []
    with pytest.raises(EvaluationError, match=f"package {package}"):
        run(RIGHT[language])


def test_a_sandbox_that_is_forbidden_is_a_refusal(monkeypatch, tmp_path):
    """As in a container: bubblewrap is there, and may not."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "No permissions to create new namespace" in available("python")[0]
    with pytest.raises(EvaluationError, match="No permissions to create new namespace"):
        run(RIGHT["python"])


def test_unknown_languages_and_machines_are_refused():
    with pytest.raises(EvaluationError, match="did you mean 'python'"):
        run(Program("pyhton", "", ""))
    with pytest.raises(EvaluationError, match="no sandbox for the machine vax"):
        filter_program("vax")


# The conversation.


def test_a_conversation_in_its_order_is_a_proof():
    talk = Conversation(("started", "length", "tests", "token"), "assert 1")
    talk.take(b"started\nlength\ntes")
    assert talk.to_send == b"00000008"
    talk.take(b"ts\ntoken\n")
    token = talk.to_send.removeprefix(b"00000008assert 1")
    assert len(token) == 32
    assert not talk.proven
    talk.take(token + b"\n")
    assert talk.proven


@pytest.mark.parametrize(
    "said",
    [
        b"token\n",
        b"started\ntoken\n",
        b"started\nlength\ntests\ntoken\n" + b"0" * 32 + b"\n",
        b"x" * 100,
        b"started\nstarted\n",
    ],
)
def test_a_conversation_out_of_its_order_is_none(said):
    talk = Conversation(("started", "length", "tests", "token"), "assert 1")
    talk.take(said)
    assert talk.broken
    talk.take(b"started\nlength\ntests\ntoken\n")
    assert not talk.proven


def test_what_is_said_behind_the_token_breaks_the_proof():
    talk = Conversation(("token",), "")
    talk.take(b"token\n")
    talk.take(talk.to_send + b"\ntoken\n")
    assert not talk.proven
