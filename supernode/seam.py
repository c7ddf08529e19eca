"""The seam: the one place where Flower's supernode is bent to our rules.

``flwr.supernode.start_client_internal`` takes its connection from the factory ``grpc_request_response`` and uses the
eight functions that this yields. `install` puts our factory in its place, which wraps most of them:

- ``receive`` asks the `Guard` about every run it does not know, refuses by an answer of its own, polls fast while a run
  is on, and never raises: any exception but RunNotRunningException would end Flower's loop and leave a process that is
  offline for ever.
- ``get_fab`` and ``get_run`` answer from what ``receive`` has fetched already.
- ``pull`` and ``confirm`` turn RunNotRunningException into an ordinary error. A run that ends while its message is
  pulled would leave half of a task behind otherwise, on which the worker waits for ever; after an ordinary error Flower
  cleans up.
- Where a message or an answer is dropped because a part of it did not pass, the node goes offline and comes back, and
  is asked again (`supernode.lost_answers`); Flower would wait for the next message.
- ``confirm`` says when an answer is waited for from; Flower's loop then looks for it more often than every half second,
  and for parts of messages more often than every second (`supernode.pauses`).
- Whatever carries a message, from asking for its run to pushing its answer, is metered: bytes on the wire and remote
  calls, by run.

The rest of Flower's supernode stays as it is.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import flwr.supernode.start_client_internal as flower
import grpc
from flwr.app import Error, Message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectUnavailableError
from flwr.supercore.run import Run, RunNotRunningException

from fedlora.audit import Audit, Event
from supernode.fleet import observed_fleet_stub
from supernode.guard import REFUSED, Guard
from supernode.pauses import OFF, PARTS, AnswerPauses, PickUp, ring
from supernode.settings import NodeSettings
from supernode.traffic import Direction, Traffic
from supernode.wire_meter import WireMeter

__all__ = ["Seam", "install"]

log = logging.getLogger("fedlora.supernode")
Received = tuple[Message, ObjectTree]
FACTORY = "grpc_request_response"  # where Flower's supernode looks its connection up
CLOCK = "time"  # what its loop sleeps with
FETCH = "pull_objects"  # what it fetches the parts of a message with


class Seam:
    """The wrapped functions of one connection.

    Parameters
    ----------
    functions : tuple
        The eight functions that Flower's factory yields.
    guard : Guard or None
        Who decides about runs; None admits every run.
    carrying : callable
        Given the id of a run and a direction, returns a context in which its messages are carried.
    answers : AnswerPauses
        Told when an answer is waited for from.
    dropped : threading.Event
        Set when Flower is about to drop a message, or its answer.
    arrived : callable
        Called when a message has come.
    called_off : callable
        Called when a message had to be dropped that the worker may be answering.
    audit : Audit, optional
        The site's log, in which it is noted which runs are admitted and which are not.
    """

    def __init__(
        self,
        functions: tuple[Any, ...],
        guard: Guard | None,
        carrying: Callable[[int, Direction], AbstractContextManager[None]],
        answers: AnswerPauses,
        dropped: threading.Event,
        arrived: Callable[[], None],
        called_off: Callable[[], None],
        audit: Audit | None = None,
    ) -> None:
        self.node_id, self._receive, self._send, self._get_run, self._get_fab, *rest = functions
        self._pull, self._push, self._confirm = rest
        self.guard = guard
        self.carrying = carrying
        self.answers = answers
        self.dropped = dropped
        self.arrived = arrived
        self.called_off = called_off
        self.audit = audit
        self.pick_up = PickUp()
        self.runs: dict[int, Run] = {}  # admitted
        self.fabs: dict[int, Fab] = {}

    def functions(self) -> tuple[Any, ...]:
        """Return the eight functions for Flower's loop."""
        return (
            *(self.node_id, self.receive, self.send, self.get_run, self.get_fab),
            *(self.pull, self.push, self.confirm),
        )

    def receive(self) -> Received | None:
        """Wait for the next message of an admitted run; None after a while without one."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                began = time.monotonic()
                received: Received | None = self._receive()
                self.pick_up.note_look(time.monotonic() - began)
                if received is not None and self._admitted(received[0]):
                    self.pick_up.note_message()
                    self.arrived()
                    return received
            except RunNotRunningException:
                raise
            except (grpc.RpcError, ValueError, RuntimeError) as error:
                log.warning("a message could not be received: %s", _short(error))
                time.sleep(PickUp.SLOWEST * random.uniform(0.5, 1.5))  # noqa: S311 - not all nodes at once
            time.sleep(self.pick_up.seconds())
        return None

    def send(self, message: Message, tree: ObjectTree, seconds: float) -> tuple[set[str], str]:
        """Announce an answer, and look out for the next message from now on."""
        self.pick_up.note_message()
        with self._all_or_again(), self.carrying(message.metadata.run_id, "up"):
            announced: tuple[set[str], str] = self._send(message, tree, seconds)
            return announced

    def push(self, run_id: int, *arguments: Any) -> None:
        """Send an object of an answer."""
        with self._all_or_again(), self.carrying(run_id, "up"):
            self._push(run_id, *arguments)

    def pull(self, run_id: int, object_id: str) -> bytes:
        """Fetch an object of a message."""
        with _run_may_end(), self._all_or_anew(), self.carrying(run_id, "down"):
            content: bytes = self._pull(run_id, object_id)
            return content

    def confirm(self, run_id: int, object_id: str) -> None:
        """Say that a message is here."""
        with _run_may_end(), self._all_or_anew(), self.carrying(run_id, "down"):
            self._confirm(run_id, object_id)
        self.answers.note_message()

    def get_run(self, run_id: int) -> Run:
        """Return an admitted run."""
        return self.runs[run_id]

    def get_fab(self, _hash: str, run_id: int) -> Fab:
        """Return the app of an admitted run."""
        return self.fabs[run_id]

    def _admitted(self, message: Message) -> bool:
        with self._all_or_again():
            return self._admits(message)

    @contextmanager
    def _all_or_again(self) -> Iterator[None]:
        """Note a failure after which Flower drops the message that it carries, or its answer."""
        try:
            yield
        except ObjectUnavailableError:  # not there yet: it is looked for again
            raise
        except Exception:
            self.dropped.set()
            raise

    @contextmanager
    def _all_or_anew(self) -> Iterator[None]:
        """Note it, too, where the worker may have the task already, whose answer nobody would wait for."""
        try:
            with self._all_or_again():
                yield
        except ObjectUnavailableError:
            raise
        except (Exception, RunNotRunningException):
            self.called_off()
            raise

    def _admits(self, message: Message) -> bool:
        run_id = message.metadata.run_id
        if run_id not in self.runs:
            with self.carrying(run_id, "down"):
                run = self._get_run(run_id)
                fab = self._get_fab(run.fab_hash, run_id)
            objection = self.guard.objection(run, fab) if self.guard else None
            if objection:
                log.warning("run %d is refused: %s", run_id, objection)
                self._refuse(message, objection)
                self._note(Event.RUN_REFUSED, run_id, run, reason=objection)
                return False
            self._note(Event.RUN_ADMITTED, run_id, run)
            self.runs[run_id], self.fabs[run_id] = run, fab
        return True

    def _note(self, what: Event, run_id: int, run: Run, **about: str) -> None:
        if self.audit is not None:
            self.audit.note_if_possible(what, flower_run=str(run_id), app_sha256=str(run.fab_hash), **about)

    def _refuse(self, message: Message, reason: str) -> None:
        reply = Message(Error(code=REFUSED, reason=reason), reply_to=message)
        reply.metadata.__dict__["_message_id"] = reply.object_id  # as Flower sets it where it makes replies itself
        objects = get_all_nested_objects(reply)
        with self.carrying(message.metadata.run_id, "up"):
            wanted, session = self._send(reply, get_object_tree(reply), 0.0)
            for object_id in wanted:
                self._push(message.metadata.run_id, session, object_id, objects[object_id].deflate())


@contextmanager
def _run_may_end() -> Iterator[None]:
    try:
        yield
    except RunNotRunningException:
        raise RuntimeError("the run has ended meanwhile") from None


def install(settings: NodeSettings, guard: Guard | None, bell: int) -> None:
    """Put our connection factory in the place of Flower's, for this process; it rings when a message has come."""
    inner: Callable[..., Any] = getattr(flower, FACTORY)
    meter = WireMeter(int(settings.superlink.rpartition(":")[2]), Traffic(settings.state))
    meter.start()
    answers = AnswerPauses()
    dropped = threading.Event()
    stub = observed_fleet_stub(settings.state, meter, dropped)

    @contextmanager
    def connection(*arguments: Any, **named: Any) -> Iterator[tuple[Any, ...]]:
        with inner(*arguments, **named, adapter_cls=stub) as functions:
            try:
                yield Seam(
                    *(functions, guard, meter.carrying, answers, dropped),
                    arrived=partial(ring, bell),
                    called_off=partial(ring, bell, OFF),
                    audit=settings.audit("guard"),
                ).functions()
            finally:
                meter.look()  # before the connection closes, and its counters with it

    setattr(flower, FACTORY, connection)
    setattr(flower, CLOCK, answers)
    setattr(flower, FETCH, partial(getattr(flower, FETCH), **PARTS))


def _short(error: Exception) -> str:
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"
