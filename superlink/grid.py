"""Sending to sites and collecting their answers, over Flower's Grid."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid

from fedlora.errors import ParticipationError, WireError
from fedlora.wire.flower_message import Answer, Request, read_answer, write_request

__all__ = ["Reply", "Sites"]

log = logging.getLogger("fedlora.superlink")


@dataclass(frozen=True)
class Reply:
    """What came back from a site: its answer, and the seconds since the request was sent."""

    site: str
    answer: Answer
    seconds: float


class Sites:
    """The sites of a run and the nodes they are reached by.

    A site is known by the name that its node was registered under, never by what a message says.

    Parameters
    ----------
    grid : Grid
        Flower's.
    names : tuple of str
        The sites that take part.
    """

    POLL_SECONDS = 0.1  # between looks for answers; half a second once nothing has come for a while
    SLOW_POLL_SECONDS = 0.5

    def __init__(self, grid: Grid, names: tuple[str, ...]) -> None:
        self.grid = grid
        self.names = names
        self.nodes: dict[str, int] = {}

    def join(self, seconds: float) -> None:
        """Wait until every site is online.

        Raises
        ------
        ParticipationError
            After `seconds`, naming the sites that are missing.
        """
        end = time.monotonic() + seconds
        while True:
            online = {node.name: node.node_id for node in self.grid.get_nodes()}
            missing = [name for name in self.names if name not in online]
            if not missing:
                self.nodes = {name: online[name] for name in self.names}
                log.info("sites online: %s", ", ".join(self.names))
                return
            if time.monotonic() > end:
                raise ParticipationError(f"after {seconds:.0f} s these sites are not online: {', '.join(missing)}")
            time.sleep(self.SLOW_POLL_SECONDS)

    def ask(self, kind: str, requests: Mapping[str, Request], *, seconds: float, group: str = "") -> Iterator[Reply]:
        """Send a request to each site in `requests` and yield replies as they come, until `seconds` are over.

        Sites that do not answer in time do not appear. An answer that cannot be read, and Flower's own Error, come as
        an answer with the status ``refused`` or ``failed``.
        """
        sent = time.monotonic()
        messages = [
            Message(write_request(request), self.nodes[site], kind, ttl=seconds, group_id=group)
            for site, request in requests.items()
        ]
        owing: dict[str, str] = {}
        for message_id, site in zip(self.grid.push_messages(messages), requests, strict=True):
            if message_id:
                owing[message_id] = site
            else:
                log.warning("the SuperLink did not take the message for site %s", site)
        del messages
        last = time.monotonic()
        while owing and time.monotonic() - sent < seconds:
            replies = list(self.grid.pull_messages(list(owing)))
            for reply in replies:
                site = owing.pop(reply.metadata.reply_to_message_id)
                yield Reply(site, _answer(reply), time.monotonic() - sent)
            if replies:
                last = time.monotonic()
            elif owing:
                time.sleep(self.POLL_SECONDS if time.monotonic() - last < 30 else self.SLOW_POLL_SECONDS)


def _answer(reply: Message) -> Answer:
    if reply.has_error():
        # The guard's refusal, or Flower's own words for a message that was lost on its way.
        return Answer("refused", f"error {reply.error.code}: {reply.error.reason}")
    try:
        return read_answer(reply.content)
    except WireError as error:
        return Answer("failed", f"WireError: {error}")
