"""The sandbox: programs that behave pass, hostile ones fail, and neither leaves anything behind."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.sandbox import bubblewrap
from evaluator.sandbox.conversation import Conversation
from evaluator.sandbox.program import Limits, Program
from evaluator.sandbox.run import available, require, run
from evaluator.sandbox.system_calls import filter_program
from fedlora.errors import EvaluationError

MIB = 2**20
LANGUAGES = ("python", "javascript", "c++")
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
OURS = range(bubblewrap.OWN_USERS + (WORKER + 1) * 2**24, bubblewrap.OWN_USERS + (WORKER + 2) * 2**24)
NAME = f"sandbox-{os.getpid()}"  # tests elsewhere make sandboxes, too: by these two we know ours
REPOSITORY = Path(__file__).parents[3]
CANARY = "a canary that no program may read"
HOSTILE = tomllib.loads((Path(__file__).parent / "hostile.toml").read_text())


@pytest.fixture(autouse=True, scope="module")
def _sandbox():
    """Fail in CI, where all of it is installed; elsewhere, leave out what cannot run."""
    lacking = available(*LANGUAGES)
    if lacking and "CI" not in os.environ:
        pytest.skip(f"left out: no sandbox here; missing: {'; '.join(lacking)}")
    assert not lacking


def in_a_sandbox():
    """List what runs in a sandbox of ours, or runs one; what has ended and waits for init to note it does neither."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                owner, stat = process.stat().st_uid, (process / "stat").read_text()
                command = (process / "cmdline").read_text()
            except OSError:
                continue
            ended = stat.rpartition(")")[2].split()[0] in "ZX"
            if (owner in OURS or f"\0{NAME}\0" in command) and not ended:
                found.append(f"{process.name}: {command}")
    return found


def within(seconds, holds):
    """Return whether `holds` within `seconds`."""
    end = time.monotonic() + seconds
    while not (done := holds()) and time.monotonic() < end:
        time.sleep(0.05)
    return done


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch):
    """Hold each test to what it found: no process of a sandbox, and as many open files."""
    monkeypatch.setattr(bubblewrap, "OWN_USERS", OURS.start)
    monkeypatch.setattr(bubblewrap, "HOSTNAME", NAME)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert not in_a_sandbox()
    assert len(list(Path("/proc/self/fd").iterdir())) == opened


# What behaves, in each language.

PYTHON_TESTS = """def check(add):
    assert abs(add(1, 2) - 3) < 1e-6
    return

check(add)
"""
WITH_A_MODULE = PYTHON_TESTS.replace("assert abs", "import math; assert math.fabs")
JS_TESTS = "const assert = require('node:assert');\nfunction test() {\n  assert.deepEqual(add(1, 2), 3);\n}\ntest();\n"
CPP = "#include<assert.h>\n#include<cstdlib>\n#include<string>\n#include<vector>\nlong add(long a, long b) {\n"
CPP_TESTS = "}\nint main() {\n    auto candidate = add;\n    assert(candidate((1), (2)) == (3));\n}\n"
RIGHT = {
    "python": Program("python", "def add(a, b):\n    return a + b\n", PYTHON_TESTS, entry="add"),
    "javascript": Program("javascript", "function add(a, b) {\n  return a + b;\n}\n", JS_TESTS),
    "c++": Program("c++", f"{CPP}  return a + b;\n", CPP_TESTS),
}
WRONG = {
    "python": Program("python", "def add(a, b):\n    return a - b\n", PYTHON_TESTS, entry="add"),
    "javascript": Program("javascript", "function add(a, b) {\n  return a - b;\n}\n", JS_TESTS),
    "c++": Program("c++", f"{CPP}  return a - b;\n", CPP_TESTS),
}


def python(code):
    """Return a program in Python that is tested by nothing but running it."""
    return Program("python", code, "assert True", seconds=20.0)


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


def test_a_main_that_returns_an_error_is_a_failure():
    assert run(replace(RIGHT["c++"], tests="}\nint main() { return add(1, 2) == 3; }\n")).outcome == "failed"
    assert run(replace(RIGHT["c++"], tests="}\nint main() { return add(1, 2) != 3; }\n")).passed


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
    tests = "assert add(1, 2) == 3\n" * 20_000
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


def fails(program, *outcomes, limits=None):
    """Return the verdict on a program that must not pass."""
    verdict = run(program, limits or Limits())
    assert not verdict.passed, verdict
    assert not outcomes or verdict.outcome in outcomes, verdict
    return verdict


def hostile(kind):
    """Parametrize a test by the hostile programs of a kind."""
    ones = [(one["language"], one["code"]) for one in HOSTILE[kind]]
    return pytest.mark.parametrize(
        ("language", "code"), ones, ids=[f"{one['language']}: {one['name']}" for one in HOSTILE[kind]]
    )


def asked(language, code, seconds=10.0):
    """Return the program whose function `code` is, with the tests of its language."""
    start = f"{CPP}{code}\n" if language == "c++" else code
    return replace(RIGHT[language], code=start, seconds=seconds)


@hostile("endless")
def test_what_never_ends(language, code):
    fails(asked(language, code, seconds=1.0), "timeout")


@hostile("memory")
def test_what_takes_memory(language, code):
    verdict = fails(asked(language, code, 30.0), "memory", "failed", limits=Limits(memory=512 * MIB))
    assert verdict.outcome == "memory" or re.search("MemoryError|heap|alloc|memory", verdict.stderr), verdict


@hostile("killer")
def test_what_kills(language, code):
    fails(asked(language, code), "failed", "unproven")


@hostile("early")
def test_ending_early_is_no_pass(language, code):
    fails(asked(language, code), "unproven", "failed")


@hostile("trick")
def test_tests_cannot_be_tricked_away(language, code):
    program = asked(language, code)
    fails(program, "unproven", "failed", "uncompiled")
    if language == "python":
        assert run(replace(RIGHT["python"], tests=WITH_A_MODULE)).passed
        fails(replace(program, tests=WITH_A_MODULE), "unproven", "failed")


def test_endless_output():
    verdict = fails(python("while True:\n    print('x' * 10**6)"), "output")
    assert len(verdict.stdout) <= 2000


@pytest.mark.parametrize(
    "code", ['#include "/dev/zero"\n', "template<int N> struct A { A<N + 1> a; A<N + 2> b; };\nA<0> a;\n"]
)
def test_a_bomb_for_the_compiler(code):
    limits = Limits(memory=512 * MIB, preparation=5.0)
    fails(Program("c++", code, CPP_TESTS), "uncompiled", "memory", "timeout", "output", limits=limits)


@pytest.mark.parametrize(
    "place",
    ["huge", "/dev/shm/hostile", "/usr/hostile", "/hostile", "/program/hostile", "/dev/hostile", "/etc/hostile"],
)
def test_a_huge_file_or_one_elsewhere(place):
    """In the work folder there is an end to it; elsewhere there is no beginning."""
    code = f"with open({place!r}, 'wb') as file:\n    while True:\n        file.write(bytes(2**20))\n"
    verdict = fails(python(code))
    assert ("File too large" if place == "huge" else "Read-only file system") in verdict.stderr
    assert not Path(place).exists()


def test_many_files_fill_the_work_folder_and_nothing_else():
    code = "for n in range(10**6):\n    open(str(n), 'wb').write(bytes(2**20))\n    print(n)\n"
    verdict = fails(python(code))
    assert "No space left" in verdict.stderr
    assert 60 <= int(verdict.stdout.split()[-1]) <= 64


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("held = [open('/dev/null') for _ in range(200)]", "Too many open files"),
        (
            "import threading as t\nfor _ in range(99):\n    t.Thread(target=t.Event().wait, daemon=True).start()",
            "start new thread",
        ),
        ("import mmap\nmmap.mmap(-1, 3 * 2**30, mmap.MAP_PRIVATE)", "Cannot allocate memory"),
    ],
    ids=["open files", "threads", "writable memory"],
)
def test_what_the_kernel_holds_a_process_to(code, message):
    assert message in fails(python(code), "failed").stderr


def test_files_of_the_host_cannot_be_read(tmp_path):
    secret = tmp_path / "canary"
    secret.write_text(CANARY)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    for place in (
        secret,
        "/etc/passwd",
        "/proc/1/environ",
        "/proc/self/environ",
        Path.home() / ".bashrc",
        "/sys/kernel",
    ):
        verdict = fails(python(f"print(open({str(place)!r}).read())"))
        assert "No such file" in verdict.stderr, verdict
        assert not verdict.stdout


def test_a_symlink_leads_nowhere(tmp_path):
    (tmp_path / "canary").write_text(CANARY)
    link = f"import os\nos.symlink({str(tmp_path)!r}, 'out')\n"
    assert "No such file" in fails(python(f"{link}print(os.listdir('out'))")).stderr
    assert "No such file" in fails(python(f"{link}open('out/hostile', 'w').write('x')")).stderr
    assert [one.name for one in tmp_path.iterdir()] == ["canary"]


def test_what_a_program_sees(monkeypatch):
    """Its environment, its descriptors and its processes are its own."""
    monkeypatch.setenv("FEDLORA_SECRET", CANARY)
    code = """
import fcntl, json, os, sys
def is_open(number):
    try:
        return fcntl.fcntl(number, fcntl.F_GETFD) >= 0
    except OSError:
        return False
told = {
    "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
    "root": sorted(os.listdir("/")),
    "descriptors": [number for number in range(128) if is_open(number)],
    "arguments": sys.argv,
    "folder": os.getcwd(),
    "name": os.uname().nodename,
    "root user": os.getuid() == 0,
    "first processes": os.getpid() < 10,
}
print(json.dumps(told))
"""
    told = json.loads(run(python(code)).stdout)
    assert not {"home", "work", "proc", "var", "sys", "mnt", "srv", "opt"} & set(told.pop("root"))
    assert told == {
        "environment": ["HOME", "LANG", "PATH", "PWD", "TMPDIR"],
        "descriptors": [0, 1, 2, 3],
        "arguments": [""],
        "folder": "/tmp",
        "name": NAME,
        "root user": False,
        "first processes": True,
    }


def test_no_network_not_even_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        connect = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).send(b'x')"
        assert "Operation not permitted" in fails(python(connect)).stderr
        script = f"require('net').connect({port}, '127.0.0.1').on('connect', () => console.log('connected'));"
        assert "connected" not in fails(asked("javascript", script)).stdout
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_network_if_the_filter_were_not_there(monkeypatch):
    monkeypatch.setattr("evaluator.sandbox.run.filter_program", lambda _: struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        assert re.search("refused|unreachable", fails(python(connect)).stderr)


@pytest.mark.parametrize("family", ["AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"])
def test_no_socket_of_another_kind(family):
    code = f"import socket\nsocket.socket(socket.{family}, socket.SOCK_RAW)"
    assert "Operation not permitted" in fails(python(code), "failed").stderr


@pytest.mark.parametrize(
    "words", ["unshare -Ur true", "unshare -n true", "setpriv --reuid 0 true", "mount -t tmpfs x ."]
)
def test_no_new_namespace_mount_or_user(words):
    code = f"import subprocess\nsubprocess.run({words.split()!r}, check=True)"
    assert re.search("not permitted|must be superuser", fails(python(code), "failed").stderr)
    assert "not permitted" in fails(python("import os\nos.chroot('/tmp')"), "failed").stderr


def test_no_memory_that_belongs_to_no_process():
    assert "not permitted" in fails(python("import os\nos.memfd_create('hostile')"), "failed").stderr
    fails(python("import ctypes\nassert ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) >= 0"), "failed")


def test_a_process_in_the_background_does_not_outlive_the_program():
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        time.sleep(1000)
    os._exit(0)
def add(a, b):
    return a + b
"""
    assert run(asked("python", code)).passed


def test_a_sandbox_dies_with_whoever_made_it():
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(100)\n"
    script = (
        "from evaluator.sandbox import bubblewrap; from evaluator.sandbox.program import Program; "
        f"from evaluator.sandbox.run import run; bubblewrap.OWN_USERS, bubblewrap.HOSTNAME = {OURS.start}, {NAME!r}; "
        f"run(Program('python', {code!r}, '', seconds=1000.0))"
    )
    maker = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    try:
        assert within(20, lambda: len(in_a_sandbox()) >= 4), "bubblewrap twice, the program and its child"
    finally:
        maker.kill()
        maker.wait()
    assert within(20, lambda: not in_a_sandbox())


# Refusals.


def test_without_a_sandbox_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    require.cache_clear()  # another test may have found one
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


def test_a_compiler_that_does_not_work_is_missing(monkeypatch, tmp_path):
    """It is there on the host, and where the sandbox looks there is none."""
    (tmp_path / "g++").symlink_to("/usr/bin/true")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(bubblewrap, "PATH", "/nowhere")
    (lacking,) = available("c++")
    assert lacking.startswith("a working C++: a trial ends as uncompiled, ")


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
