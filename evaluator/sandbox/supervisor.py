"""Watches a sandbox from outside until it ends, or is ended."""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO

from evaluator.sandbox.conversation import Conversation
from evaluator.sandbox.processes import Tree
from evaluator.sandbox.program import Limits, Outcome, Program, Verdict
from fedlora.errors import EvaluationError

__all__ = ["Supervisor"]

LOOK = 0.02  # seconds between two looks at memory and clock
TAIL = 2000  # bytes of output that are kept
CHUNK = 65536
END = 10.0  # seconds that the kernel may take to end everything inside


@dataclass
class _Stream:
    """A standard stream: how many bytes have come, and the last of them."""

    source: IO[bytes]
    count: int = 0
    tail: bytes = b""

    def take(self, data: bytes) -> None:
        self.count += len(data)
        self.tail = (self.tail + data)[-TAIL:]

    @property
    def text(self) -> str:
        return self.tail.decode("utf-8", "replace")


@dataclass
class Supervisor:
    """Watches one sandbox.

    Attributes
    ----------
    process : Popen
        bubblewrap, with pipes for standard output and error.
    channel : socket
        Our end of the conversation.
    information : int
        Descriptor on which bubblewrap tells the first process.
    program : Program
        What runs in there.
    limits : Limits
        What it may take.
    conversation : Conversation
        What it says, and is told.
    """

    process: subprocess.Popen[bytes]
    channel: socket.socket
    information: int
    program: Program
    limits: Limits
    conversation: Conversation
    began: float = field(default_factory=time.monotonic)
    began_program: float | None = None
    reason: Outcome | None = None

    def watch(self) -> Verdict:
        """Return how the program ended; no process of the sandbox is left then.

        Raises
        ------
        EvaluationError
            If the sandbox could not be made, or its processes do not end.
        """
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out, err = _Stream(self.process.stdout), _Stream(self.process.stderr)
        tree = self._tree()
        try:
            with selectors.DefaultSelector() as selector:
                self.channel.setblocking(False)
                selector.register(self.channel, selectors.EVENT_READ)
                for stream in (out, err):
                    selector.register(stream.source, selectors.EVENT_READ, stream)
                while self.reason is None and self.process.poll() is None:
                    self._listen(selector)
                    self.reason = self._beyond(out.count + err.count, tree)
            if self.reason is not None:
                self.process.kill()
            status = self.process.wait()
            if tree is not None and not tree.wait(END):
                raise EvaluationError(f"the processes of a sandbox do not end: first process {tree.first}")
        finally:
            self.process.kill()
            self.process.wait()
            if tree is not None:
                tree.close()
        self._drain(out, err)
        return self._verdict(status, out, err)

    def _tree(self) -> Tree | None:
        """Return the sandbox's processes; nothing if bubblewrap ended before there were any."""
        told = b""
        while part := os.read(self.information, CHUNK):
            told += part
        return Tree(json.loads(told)["child-pid"]) if told.strip() else None

    def _listen(self, selector: selectors.BaseSelector) -> None:
        for key, events in selector.select(LOOK):
            if key.fileobj is self.channel:
                self._converse(selector, events)
            elif data := os.read(key.fd, CHUNK):
                key.data.take(data)
            else:
                selector.unregister(key.fileobj)

    def _converse(self, selector: selectors.BaseSelector, events: int) -> None:
        talk = self.conversation
        try:
            if events & selectors.EVENT_READ:
                data = self.channel.recv(CHUNK)
                if not data:
                    selector.unregister(self.channel)
                    return
                talk.take(data)
            if talk.to_send:
                talk.to_send = talk.to_send[self.channel.send(talk.to_send) :]
        except BlockingIOError:
            pass
        except OSError:
            talk.broken = True
        if talk.broken:
            selector.unregister(self.channel)
            return
        if talk.started and self.began_program is None:
            self.began_program = time.monotonic()
        selector.modify(self.channel, selectors.EVENT_READ | (selectors.EVENT_WRITE if talk.to_send else 0))

    def _beyond(self, output: int, tree: Tree | None) -> Outcome | None:
        """Return which limit is reached."""
        if output > self.limits.output:
            return "output"
        since, most = self.began, self.limits.preparation
        if self.began_program is not None:
            since, most = self.began_program, self.program.seconds
        if time.monotonic() - since > most:
            return "timeout"
        return "memory" if tree is not None and tree.resident() > self.limits.memory else None

    def _drain(self, *streams: _Stream) -> None:
        """Read what still lies in pipes and channel: with all processes gone, each has an end."""
        for stream in streams:
            while data := os.read(stream.source.fileno(), CHUNK):
                stream.take(data)
        with contextlib.suppress(OSError):
            while data := self.channel.recv(CHUNK):
                self.conversation.take(data)

    def _verdict(self, status: int, out: _Stream, err: _Stream) -> Verdict:
        seconds = round(time.monotonic() - self.began, 3)
        return Verdict(self._outcome(status, out.count + err.count, err), status, out.text, err.text, seconds)

    def _outcome(self, status: int, output: int, err: _Stream) -> Outcome:
        said = self.conversation.said
        if self.reason is not None:
            if self.reason == "timeout" and not said:
                raise EvaluationError(f"a sandbox did not begin within {self.limits.preparation} seconds: {err.text}")
            return self.reason
        if not said:
            raise EvaluationError(f"bubblewrap cannot make a sandbox here: {err.text.strip() or f'status {status}'}")
        if output > self.limits.output:
            return "output"
        if not self.conversation.started:
            return "uncompiled"
        if status:
            return "failed"
        return "passed" if self.conversation.proven else "unproven"
