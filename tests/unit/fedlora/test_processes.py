"""Parts: started with a log, watched, stopped in order, and none left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedlora import processes
from fedlora.errors import NotReadyError, PortInUseError, ProcessDiedError
from fedlora.processes import Part, Parts, check_ports_free, free_ports, log_end

SECONDS = 20.0  # far more than anything here takes
# Bounded, so that nothing stays for ever where the code under test fails to stop it: a minute.
LOOP = "n=0; while [ $n -lt 3000 ]; do sleep 0.02; n=$((n + 1)); done"
IDLE = f"echo up; {LOOP}"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as made:
        yield made


def shell(script: str, *arguments: object) -> list[str]:
    return ["sh", "-c", script, "part", *map(str, arguments)]


def wait_until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def wait_for(part: Part, text: str) -> None:
    wait_until(lambda: text in part.log.read_text().split())


def start(parts: Parts, name: str, script: str, *arguments: object) -> Part:
    """Start a script that says ``up`` when it is, and wait for that."""
    part = parts.start(name, shell(script, *arguments), {})
    wait_for(part, "up")
    return part


def runs(pid: int) -> bool:
    """Return whether `pid` lives; what nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ended(parts: Parts, name: str, script: str) -> Part:
    part = parts.start(name, shell(script), {})
    part.process.wait(SECONDS)
    return part


# --- starting


def test_started_in_order(parts, tmp_path):
    made = [parts.start(name, shell(IDLE), {}) for name in ("one", "two", "three")]
    assert parts.started == made
    assert [part.name for part in made] == ["one", "two", "three"]
    assert [part.log for part in made] == [tmp_path / f"{name}.log" for name in ("one", "two", "three")]
    assert all(part.alive for part in made)
    parts.check()


def test_both_streams_go_to_the_log_behind_what_stands_there(parts, tmp_path):
    (tmp_path / "a.log").write_text("from before\n")
    part = ended(parts, "a", "echo out; echo err >&2")
    assert part.log.read_text() == "from before\nout\nerr\n"
    assert not part.alive


def test_variables_are_added_to_the_environment(parts, monkeypatch):
    monkeypatch.setenv("FEDLORA_TEST_KEPT", "kept")
    monkeypatch.setenv("FEDLORA_TEST_CHANGED", "old")
    script = 'echo "$FEDLORA_TEST_KEPT $FEDLORA_TEST_CHANGED $FEDLORA_TEST_NEW"'
    part = parts.start("a", shell(script), {"FEDLORA_TEST_CHANGED": "changed", "FEDLORA_TEST_NEW": "new"})
    part.process.wait(SECONDS)
    assert part.log.read_text() == "kept changed new\n"
    assert os.environ["FEDLORA_TEST_CHANGED"] == "old"


def test_a_part_does_not_read_what_we_do(parts):
    reading, writing = os.pipe()
    kept = os.dup(0)
    try:
        os.write(writing, b"meant for us")
        os.dup2(reading, 0)
        part = ended(parts, "a", "cat; readlink /proc/self/fd/0")
    finally:
        os.dup2(kept, 0)
        for descriptor in (reading, writing, kept):
            os.close(descriptor)
    assert part.log.read_text() == "/dev/null\n"


def test_a_part_leads_its_own_group(parts):
    part = start(parts, "a", IDLE)
    assert os.getpgid(part.process.pid) == os.getsid(part.process.pid) == part.process.pid


@pytest.mark.parametrize(
    ("program", "reason"),
    [("none", "[Errno 2] No such file or directory"), ("plain", "[Errno 13] Permission denied")],
)
def test_a_program_that_cannot_be_started(parts, tmp_path, program, reason):
    (tmp_path / "plain").touch(mode=0o600)
    command = str(tmp_path / program)
    with pytest.raises(ProcessDiedError) as caught:
        parts.start("ghost", [command], {})
    assert str(caught.value) == f"ghost could not be started: {reason}: '{command}'"
    assert parts.started == []


# --- watching


def test_exit_code_and_log_are_in_the_error(parts, tmp_path):
    ended(parts, "a", "echo first; echo second >&2; exit 7")
    with pytest.raises(ProcessDiedError) as caught:
        parts.check()
    assert str(caught.value) == f"a ended with exit code 7. The end of {tmp_path}/a.log:\n  | first\n  | second"


def test_ending_well_is_ending_too(parts, tmp_path):
    ended(parts, "a", "exit 0")
    with pytest.raises(ProcessDiedError) as caught:
        parts.check()
    assert str(caught.value) == (f"a ended with exit code 0. The end of {tmp_path}/a.log:\n  | (nothing was written)")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGABRT"])
def test_the_signal_is_in_the_error(parts, tmp_path, name):
    part = start(parts, "a", f"ulimit -c 0; {IDLE}")
    os.kill(part.process.pid, signal.Signals[name])
    part.process.wait(SECONDS)
    with pytest.raises(ProcessDiedError) as caught:
        parts.check()
    assert str(caught.value) == f"a ended by signal {name}. The end of {tmp_path}/a.log:\n  | up"


def test_a_signal_without_a_name_is_in_the_error_by_its_number(parts, tmp_path):
    part = start(parts, "a", IDLE)
    os.kill(part.process.pid, 40)  # a real-time signal
    part.process.wait(SECONDS)
    with pytest.raises(ProcessDiedError) as caught:
        parts.check()
    assert str(caught.value) == f"a ended by signal 40. The end of {tmp_path}/a.log:\n  | up"


def test_the_first_dead_part_is_named(parts):
    start(parts, "alive", IDLE)
    dead = [parts.start(name, shell(f"read _; exit {code}"), {}) for name, code in (("dead", 3), ("dead-too", 4))]
    for part in dead:
        part.process.wait(SECONDS)
    with pytest.raises(ProcessDiedError, match=r"\Adead ended with exit code 3\. "):
        parts.check()


def test_waiting_ends_when_it_is_ready(parts):
    start(parts, "a", IDLE)
    asked = []

    def ready() -> bool:
        asked.append(None)
        return len(asked) == 3

    parts.wait_until(ready, "a", SECONDS)
    assert len(asked) == 3


def test_waiting_has_an_end(parts, tmp_path):
    start(parts, "a", IDLE)
    with pytest.raises(NotReadyError) as caught:
        parts.wait_until(lambda: False, "the answer", 0.6)
    assert str(caught.value) == f"the answer was not ready after 1 s; the logs are in {tmp_path}"


def test_waiting_ends_when_a_part_does(parts, tmp_path):
    parts.start("a", shell("echo broken; exit 5"), {})
    with pytest.raises(ProcessDiedError) as caught:
        parts.wait_until(lambda: False, "a", SECONDS)
    assert str(caught.value) == f"a ended with exit code 5. The end of {tmp_path}/a.log:\n  | broken"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        pytest.param(b"", "  | (nothing was written)", id="empty"),
        pytest.param(b"\n \n", "  | (nothing was written)", id="blank"),
        pytest.param(b"one\n\ntwo\n\n\n", "  | one\n  | \n  | two", id="blank-lines-behind"),
        pytest.param(b"caf\xe9\n", "  | caf\ufffd", id="not-utf-8"),
        pytest.param(
            b"".join(b"line %d\n" % number for number in range(1, 26)),
            "\n".join(f"  | line {number}" for number in range(6, 26)),
            id="the-last-20-lines",
        ),
        pytest.param(b"x" * 1_000_000 + b"\nlast\n", "  | " + "x" * 65530 + "\n  | last", id="the-last-64-KiB"),
    ],
)
def test_log_end(tmp_path, content, shown):
    log = tmp_path / "a.log"
    log.write_bytes(content)
    assert log_end(log) == shown


def test_fewer_lines_of_the_log(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("1\n2\n3\n")
    assert log_end(log, lines=2) == "  | 2\n  | 3"


def test_a_log_that_is_gone(tmp_path):
    log = tmp_path / "a.log"
    assert log_end(log) == f"  | (the log cannot be read: [Errno 2] No such file or directory: '{log}')"


# --- stopping

# Whoever was started later takes longer to end, so that the order shows whether each end is waited for.
SLOW_END = 'trap "sleep $2; echo $1 >> $3; exit 0" TERM; ' + IDLE


def test_stopped_in_reverse_order(parts, tmp_path):
    order = tmp_path / "order"
    made = [
        start(parts, name, SLOW_END, name, delay, order) for name, delay in (("one", 0), ("two", 0.1), ("three", 0.2))
    ]
    parts.stop()
    assert order.read_text().split() == ["three", "two", "one"]
    assert parts.started == []
    assert [part.process.returncode for part in made] == [0, 0, 0]


def test_leaving_stops_whatever_the_reason(tmp_path):
    with pytest.raises(KeyError, match="reason"), Parts(tmp_path) as made:
        part = start(made, "a", IDLE)
        raise KeyError("reason")
    assert part.process.returncode == -signal.SIGTERM
    assert made.started == []


def test_stopping_what_has_ended(parts):
    alive = start(parts, "alive", IDLE)
    ended(parts, "dead", "exit 3")
    parts.stop()
    assert alive.process.returncode == -signal.SIGTERM
    assert parts.started == []


def test_a_part_that_will_not_end_is_killed(parts, monkeypatch):
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    part = start(parts, "a", f"trap '' TERM; {IDLE}")
    parts.stop()
    assert part.process.returncode == -signal.SIGKILL


# The child ignores SIGTERM as well, and so outlives its parent unless the whole group is killed.
WITH_CHILD = f"(trap '' TERM; {LOOP}) & echo $! >$1; echo up; wait"


def test_children_end_with_their_part(parts, tmp_path):
    part = start(parts, "a", WITH_CHILD, tmp_path / "pid")
    child = int((tmp_path / "pid").read_text())
    assert runs(child)
    parts.stop()
    assert part.process.returncode == -signal.SIGTERM
    wait_until(lambda: not runs(child))


def test_children_of_a_part_that_died_end_too(parts, tmp_path):
    part = start(parts, "a", WITH_CHILD, tmp_path / "pid")
    child = int((tmp_path / "pid").read_text())
    part.process.kill()
    part.process.wait(SECONDS)
    assert runs(child)
    parts.stop()
    wait_until(lambda: not runs(child))


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_second_signal_does_not_disturb_the_stopping(tmp_path, name):
    number = signal.Signals[f"SIG{name}"]
    caught = []
    before = signal.signal(number, lambda *_: caught.append(number))
    try:
        with Parts(tmp_path) as made:
            first = start(made, "first", IDLE)
            second = start(made, "second", f'trap "kill -{name} {os.getpid()}; exit 0" TERM; {IDLE}')
        assert caught == []
        assert [first.process.returncode, second.process.returncode] == [-signal.SIGTERM, 0]
        os.kill(os.getpid(), number)  # handled as before
        assert caught == [number]
    finally:
        signal.signal(number, before)


PARENT = """
import sys
from pathlib import Path
from fedlora.processes import Parts

with Parts(Path(sys.argv[1])) as parts:
    print(parts.start("part", ["sh", "-c", sys.argv[2]], {}).process.pid, flush=True)
    sys.stdin.read()
"""


def test_a_part_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    log = tmp_path / "part.log"
    part = f'trap "echo told; exit 0" TERM; {IDLE}'
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), part], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        pid = int(parent.stdout.readline())
        try:
            wait_until(lambda: log.read_text() == "up\n")
            assert runs(pid)
            parent.kill()
            assert parent.wait(SECONDS) == -signal.SIGKILL
            wait_until(lambda: not runs(pid))
            assert log.read_text() == "up\ntold\n"
        finally:
            parent.kill()
            if runs(pid):
                os.killpg(pid, signal.SIGKILL)


# --- ports


def test_ports_in_use_are_named():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("0.0.0.0", 0)) as other:
        first, second = one.getsockname()[1], other.getsockname()[1]
        (free,) = free_ports(1)
        with pytest.raises(PortInUseError) as caught:
            check_ports_free({"fleet": first, "control": free, "runtime": second})
    assert str(caught.value) == (
        f"port {first} (fleet) on 127.0.0.1 is in use; port {second} (runtime) on 127.0.0.1 is in use. "
        "Stop what listens there, or choose another port"
    )


def test_the_host_counts():
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortInUseError) as caught:
            check_ports_free({"fleet": port}, "127.0.0.2")
    assert str(caught.value) == (
        f"port {port} (fleet) on 127.0.0.2 is in use. Stop what listens there, or choose another port"
    )


def test_numbers_that_are_no_ports_are_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortInUseError) as caught:
            check_ports_free({"fleet": 70000, "control": 0, "exec": port, "runtime": 65536, "trainer": -1})
    assert str(caught.value) == (
        "port 70000 (fleet) is not between 1 and 65535; port 0 (control) is not between 1 and 65535; "
        f"port {port} (exec) on 127.0.0.1 is in use; port 65536 (runtime) is not between 1 and 65535; "
        "port -1 (trainer) is not between 1 and 65535. Stop what listens there, or choose another port"
    )


def test_an_address_that_this_machine_does_not_have():
    (port,) = free_ports(1)
    with pytest.raises(PortInUseError) as caught:
        check_ports_free({"fleet": port}, "192.0.2.1")  # reserved for documentation
    assert str(caught.value) == (
        f"port {port} (fleet) on 192.0.2.1 cannot be used: Cannot assign requested address. "
        "Stop what listens there, or choose another port"
    )


def test_a_port_whose_last_connection_lingers_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
            server.accept()[0].close()  # the side that closes first keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    with socket.socket() as plain, pytest.raises(OSError, match="Address already in use"):
        plain.bind(("127.0.0.1", port))
    check_ports_free({"fleet": port})


def test_free_ports():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(1024 <= port < 32768 for port in ports)  # none that Linux gives to outgoing connections
    check_ports_free({str(port): port for port in ports})


def test_no_ports_at_all():
    assert free_ports(0) == []
    check_ports_free({})
