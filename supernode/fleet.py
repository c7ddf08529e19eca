"""The node's stub of the Fleet API: Flower's, with six things added to its calls.

- The time of the last call that succeeded, in a file: a node is healthy when that was less than 60 s ago. Heartbeats
  count, so a node is healthy while it trains.
- Before the first activation the node deactivates itself. After a kill -9 the SuperLink holds the node for online until
  its heartbeat lapses, up to 60 s, and refuses to activate it again meanwhile.
- Calls whose answer was lost on the way bear being made again, see `supernode.lost_answers`.
- A heartbeat that the SuperLink could not take note of is sent again, whatever the reason.
- Why a call failed, in the log, once for each reason: Flower's own retries are silent about it.
- How many calls a run takes, and how many bytes as Flower counts them: the meter that knows what is being carried is
  told.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.proto.fleet_pb2_grpc import FleetStub

from fedlora.heartbeat import Heartbeat
from supernode.flower_sizes import flower_sizes
from supernode.heartbeat import node_heartbeat
from supernode.lost_answers import LostAnswers
from supernode.wire_meter import WireMeter

__all__ = ["ObservedFleetStub", "observed_fleet_stub"]

# Of heartbeats: what the SuperLink decides, and what Flower itself tries again.
VERDICTS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
BORNE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
log = logging.getLogger("fedlora.supernode")


class ObservedFleetStub(FleetStub):
    """Flower's stub with every call observed.

    Parameters
    ----------
    channel : grpc.Channel
        The channel to the SuperLink.
    last_call : Heartbeat
        Where successes are noted.
    node_id_file : Path
        Where the node's id is kept from one process to the next.
    meter : WireMeter
        Told of every call before it is made, and what it has carried once it has succeeded.
    dropped : threading.Event
        Set when a message may have been lost.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        last_call: Heartbeat,
        node_id_file: Path,
        meter: WireMeter,
        dropped: threading.Event,
    ) -> None:
        super().__init__(channel)
        self._reason = ""
        for name, call in list(vars(self).items()):
            if callable(call):
                setattr(self, name, self._observed(name, call, last_call, meter))
        self.ActivateNode = self._rejoining(self.ActivateNode, node_id_file)
        self.SendNodeHeartbeat = _beating(self.SendNodeHeartbeat)
        twice = LostAnswers(self, dropped)
        self.PullMessages = twice.pull_messages
        self.PushMessages = twice.push_messages
        self.PushObject = twice.push_object

    def _observed(
        self, name: str, call: Callable[..., Any], last_call: Heartbeat, meter: WireMeter
    ) -> Callable[..., Any]:
        def observed(request: Any, *arguments: Any, **named: Any) -> Any:
            meter.note_call()
            try:
                response = call(request, *arguments, **named)
            except grpc.RpcError as error:
                self._say_why(name, error)
                raise
            last_call.note()
            meter.note_sizes(flower_sizes(name, request, response))
            self._reason = ""
            return response

        return observed

    def _say_why(self, name: str, error: grpc.RpcError) -> None:
        reason = f"{error.code().name}: {error.details()}"
        if reason != self._reason:
            log.warning("%s failed: %s%s", name, reason, _advice(reason))
            self._reason = reason

    def _rejoining(self, activate: Callable[..., Any], node_id_file: Path) -> Callable[..., Any]:
        # As it is now: Flower wraps it later, and its wrapper ends the process where the old id is not known any more.
        deactivate = self.DeactivateNode

        def rejoin(*arguments: Any, **named: Any) -> Any:
            if node_id_file.exists():
                try:
                    deactivate(DeactivateNodeRequest(node_id=int(node_id_file.read_text())))
                    log.info("the node was still held for online and has been deactivated")
                except (grpc.RpcError, ValueError):
                    log.debug("the node was not held for online, or its id has changed")
            response = activate(*arguments, **named)
            unfinished = node_id_file.with_suffix(".unfinished")
            unfinished.write_text(str(response.node_id))
            unfinished.replace(node_id_file)
            return response

        return rejoin


class _NotNow(grpc.RpcError):  # type: ignore[misc]  # grpc says nothing of its types
    """A failure that Flower's heartbeats bear: they try again after it."""

    def __init__(self, details: str) -> None:
        super().__init__(details)
        self._details = details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self._details


def _beating(beat: Callable[..., Any]) -> Callable[..., Any]:
    """Return a heartbeat's call after whose failures Flower goes on beating.

    Any code but UNAVAILABLE and DEADLINE_EXCEEDED would end Flower's thread, and nothing else: the node would be
    offline for ever a minute later, and look for messages all the same. A key that is not known any more still ends the
    node.
    """

    def beats(*arguments: Any, **named: Any) -> Any:
        try:
            return beat(*arguments, **named)
        except grpc.RpcError as error:
            if error.code() in VERDICTS or error.code() in BORNE:
                raise
            raise _NotNow(f"{error.code().name}: {error.details()}") from error

    return beats


def _advice(reason: str) -> str:
    """Return what to do about a reason that people meet, as an addition to the log line."""
    for sign, advice in (
        (
            "CERTIFICATE_VERIFY_FAILED",
            "CredentialError: the SuperLink's certificate was not issued by the CA in ca.crt: compare its fingerprint "
            "with the coordinator's, and put the right ca.crt in its place",
        ),
        ("Invalid timestamp", f"this machine's clock is off; it says {time.strftime('%H:%M:%S %Z')}"),
        ("Failed to activate SuperNode", "this node's key is not registered at the SuperLink, or no longer"),
        ("Socket closed", "what listens there has hung up: a SuperLink answers to TLS alone"),
        ("Invalid node ID", "this node's key is no longer registered at the SuperLink"),
    ):
        if sign in reason:
            return f" ({advice})"
    return ""


def observed_fleet_stub(
    state: Path, meter: WireMeter, dropped: threading.Event
) -> Callable[[grpc.Channel], ObservedFleetStub]:
    """Return what Flower calls with its channel to get its stub; the files go into `state`."""
    os.makedirs(state, mode=0o700, exist_ok=True)  # noqa: PTH103 - Path.mkdir ignores the mode of parents
    return lambda channel: ObservedFleetStub(channel, node_heartbeat(state), state / "node-id", meter, dropped)
