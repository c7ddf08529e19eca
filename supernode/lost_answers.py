"""Calls whose answer is lost on the way, though the SuperLink has done what they ask for.

Flower makes such a call again, and three of them do not bear that:

- PullMessages: the SuperLink gives a message away once. The node goes offline and comes back before it looks again: a
  node that is activated anew is asked again by the coordinator. So it does after it had to drop a message, or an
  answer, of which a part did not pass: Flower makes only those calls again that found nobody, and forgets the message
  after any other failure, of a handshake, say, or of the SuperLink's database.
- PushMessages: once the coordinator has seen that an answer is announced, the SuperLink knows no more what it answers
  and takes the second announcement for a stray one, of which it wants nothing. The node sends everything all the same;
  sent under no session, it goes to the first announcement's.
- PushObject: what is there already is not taken twice, which Flower's node takes for a failure of the whole answer.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

import grpc
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL
from flwr.proto.fleet_pb2 import (
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.fleet_pb2_grpc import FleetStub
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import PushObjectRequest, PushObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

__all__ = ["LostAnswers"]

NEVER_SENT = "failed to connect"  # what gRPC says of a call that has not left this machine
log = logging.getLogger("fedlora.supernode")


class LostAnswers:
    """The three calls of a stub, such that they bear being made again.

    Parameters
    ----------
    stub : FleetStub
        Whose calls they are, as they are when this is made.
    dropped : threading.Event
        Set, here or by who fetches and sends, when a message may have been lost: the coordinator waits for its answer.
    """

    def __init__(self, stub: FleetStub, dropped: threading.Event) -> None:
        self._deactivate, self._beat = stub.DeactivateNode, stub.SendNodeHeartbeat
        self._pull, self._announce, self._push = stub.PullMessages, stub.PushMessages, stub.PushObject
        self._dropped = dropped
        self._announced: set[str] = set()  # answers that the SuperLink may know of
        self._pushed: set[str] = set()  # objects that it may have

    def pull_messages(self, request: PullMessagesRequest, **options: Any) -> PullMessagesResponse:
        """Look for a message."""
        if self._dropped.is_set():
            self._come_back(request.node)
            self._dropped.clear()
        try:
            response: PullMessagesResponse = self._pull(request, **options)
        except grpc.RpcError as error:
            if _may_have_arrived(error):
                self._dropped.set()
            raise
        return response

    def push_messages(self, request: PushMessagesRequest, **options: Any) -> PushMessagesResponse:
        """Announce an answer."""
        name = request.messages_list[0].metadata.message_id
        response: PushMessagesResponse = _noted(self._announce, request, options, self._announced, name)
        if name in self._announced and not response.objects_to_push:
            (tree,) = request.message_object_trees
            everything = [branch.object_id for branch in iterate_object_tree(tree)]
            self._pushed.update(everything)  # what is there already is not taken twice
            log.warning("an announcement was made twice; all %d objects of the answer are sent", len(everything))
            response = PushMessagesResponse(objects_to_push=everything)
        self._announced.discard(name)
        return response

    def push_object(self, request: PushObjectRequest, **options: Any) -> PushObjectResponse:
        """Send an object of an answer."""
        response: PushObjectResponse = _noted(self._push, request, options, self._pushed, request.object_id)
        if request.object_id in self._pushed:
            self._pushed.discard(request.object_id)
            return PushObjectResponse(stored=True)
        return response

    def _come_back(self, node: Node) -> None:
        try:
            self._deactivate(DeactivateNodeRequest(node_id=node.node_id))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:  # else it is offline already
                raise
        self._beat(SendNodeHeartbeatRequest(node=node, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL))
        log.warning("a message may have been lost on its way: the node has come back, to be asked again")


def _noted(call: Callable[..., Any], request: Any, options: dict[str, Any], arrived: set[str], name: str) -> Any:
    try:
        return call(request, **options)
    except grpc.RpcError as error:
        if _may_have_arrived(error):
            arrived.add(name)
        raise


def _may_have_arrived(error: grpc.RpcError) -> bool:
    return NEVER_SENT not in (error.details() or "")
