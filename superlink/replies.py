"""Fetching what sites reply, each reply for itself.

Flower announces a reply as soon as its sender begins to push it, once, and forgets what it replies to; whoever fetches
it waits for the rest. Flower's own Grid fetches one reply after the other: a site that is cut off in the middle, or
whose line is slow, would hold up those of all others, and the deadline with them.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.message_pb2 import Message as Announcement
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, inflate_object_from_contents, pull_objects
from flwr.superlink.grid.http_grid import HttpGrid

__all__ = ["Arrival", "Replies"]

FIRST_PAUSE, MOST_PAUSE = 0.1, 1.0  # seconds between looks for a part that has not come; Flower's are 1 and 10


@dataclass(frozen=True)
class Arrival:
    """A reply that has come whole, or what came in its place.

    Attributes
    ----------
    message : str
        Id of the message that it replies to.
    said : RecordDict or Error
        What the site says, or Flower in the place of it.
    """

    message: str
    said: RecordDict | Error


class Replies:
    """The replies to a run's messages.

    Each announced reply is fetched by a thread of its own until it is there, Flower gives it up (180 s after its
    sender has fallen silent), or `close` is called.

    Parameters
    ----------
    grid : Grid
        Flower's, whose connection and identity are used.
    """

    def __init__(self, grid: Grid) -> None:
        assert isinstance(grid, HttpGrid)  # Flower has another one for simulations alone
        self._client, self._node, self._run = grid._runtime_client, grid.node, grid.run.run_id
        self._arrived: queue.SimpleQueue[Arrival | Exception] = queue.SimpleQueue()
        self._fetching: set[str] = set()  # messages whose replies have been announced: Flower knows them no more
        self._closed = threading.Event()

    def arrived(self, messages: Sequence[str], seconds: float) -> list[Arrival]:
        """Return the replies that are there, to `messages` or to those of earlier calls; wait for the first of them.

        Parameters
        ----------
        messages : sequence of str
            Ids of the messages for whose replies to look.
        seconds : float
            How long to wait for one.

        Raises
        ------
        Exception
            What the SuperLink's client has raised, here or while a reply was fetched.
        """
        if awaited := [message for message in messages if message not in self._fetching]:
            found = self._client.PullMessages(PullAppMessagesRequest(message_ids=awaited))
            for announced, tree in zip(found.messages_list, found.message_object_trees, strict=True):
                self._fetching.add(announced.metadata.reply_to_message_id)
                threading.Thread(target=self._fetch, args=(announced, tree), name="reply", daemon=True).start()
        arrivals: list[Arrival] = []
        try:
            arrivals.append(self._next(seconds))
            while True:
                arrivals.append(self._next(0))
        except queue.Empty:
            return arrivals

    def close(self) -> None:
        """Fetch nothing more: once a run has ended, the SuperLink does not let its ServerApp in."""
        self._closed.set()

    def _next(self, seconds: float) -> Arrival:
        arrival = self._arrived.get(timeout=seconds) if seconds else self._arrived.get_nowait()
        if isinstance(arrival, Exception):
            raise arrival
        self._fetching.discard(arrival.message)
        return arrival

    def _fetch(self, announced: Announcement, tree: ObjectTree) -> None:
        try:
            self._arrived.put(self._fetched(announced, tree))
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asks next is told
            self._arrived.put(error)

    def _fetched(self, announced: Announcement, tree: ObjectTree) -> Arrival:
        asked, own = announced.metadata.reply_to_message_id, announced.metadata.message_id
        try:
            contents = pull_objects(
                [branch.object_id for branch in iterate_object_tree(tree)],
                self._pull,
                max_time=None,
                max_tries_per_object=None,
                initial_backoff=FIRST_PAUSE,
                backoff_cap=MOST_PAUSE,
            )
        except ObjectPullError as error:
            return Arrival(asked, Error(ErrorCode.MESSAGE_UNAVAILABLE, f"it was not pushed whole: {error}"))
        self._client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(node=self._node, run_id=self._run, message_object_id=own)
        )
        message = inflate_object_from_contents(own, contents)
        assert isinstance(message, Message)
        return Arrival(asked, message.error if message.has_error() else message.content)

    def _pull(self, object_id: str) -> bytes:
        if self._closed.is_set():
            raise ObjectPullError(object_id, "nobody waits for it any more")
        return make_pull_object_fn_protobuf(self._client.PullObject, self._node, self._run)(object_id)
