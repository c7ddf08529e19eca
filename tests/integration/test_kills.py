"""A part of a site is killed: how it comes back."""

import os
import signal
import time
from pathlib import Path

from supernode.heartbeat import node_heartbeat


def children(pid: int) -> dict[str, int]:
    """Return the children of a process by the module that they run."""
    found = {}
    for child in Path("/proc").iterdir():
        if child.name.isdigit():
            try:
                status = (child / "status").read_text()
                command = (child / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if f"\nPPid:\t{pid}\n" in status and "-m" in command:
                found[command[command.index("-m") + 1]] = int(child.name)
    return found


def test_a_node_killed_with_9_does_not_wait_until_its_heartbeat_lapses(running, figure):
    last_call = node_heartbeat(running.site("site-1") / "supernode")
    running.parts.wait_until(lambda: last_call.healthy, "the node", 60)  # the SuperLink knows it before it does
    part = running.part("site-1-supernode")
    os.killpg(part.process.pid, signal.SIGKILL)
    part.process.wait()
    running.parts.started.remove(part)
    assert running.status("site-1") == "online"  # the SuperLink does not know yet
    last_call.file.unlink()
    before, started = running.log("site-1-supernode").count("has been deactivated"), time.monotonic()
    running.start_supernode("site-1")
    running.parts.wait_until(lambda: last_call.healthy, "the node", 60)
    seconds = time.monotonic() - started
    figure(f"kill -9 of a node: back after {seconds:.1f} s")
    assert running.log("site-1-supernode").count("has been deactivated") > before
    assert seconds < 30  # the SuperLink would refuse it for up to 60 s; it takes 3 to 7 s where nothing else runs
    assert running.finish(running.config(rounds=1, min_sites=2)).outcome == "completed"


def test_a_killed_worker_is_started_again_and_its_node_with_it(running):
    part = running.part("site-1-supernode")
    before = children(part.process.pid)
    os.kill(before["supernode.worker"], signal.SIGKILL)
    running.wait_for_log("site-1-supernode", "the worker ended with code -9 and is started again")
    running.parts.wait_until(lambda: len(children(part.process.pid)) == 2, "both children", 30)
    after = children(part.process.pid)
    assert before.keys() == after.keys() == {"supernode.node", "supernode.worker"}
    assert not set(before.values()) & set(after.values())
    assert running.finish(running.config(rounds=1, min_sites=2)).outcome == "completed"


def test_the_entry_point_ends_with_an_error_when_flowers_loop_ends(running):
    part = running.part("site-1-supernode")
    os.kill(children(part.process.pid)["supernode.node"], signal.SIGTERM)  # on which Flower itself exits 0
    assert part.process.wait(30) == 42  # `running` starts it again


def test_sigterm_is_a_clean_stop(running):
    part = running.part("site-1-supernode")
    part.process.terminate()
    assert part.process.wait(30) == 0
    ended = time.monotonic()
    while running.status("site-1") != "offline":
        assert time.monotonic() - ended < 20  # by its own word: its heartbeat lapses after 60 s
        time.sleep(0.1)
