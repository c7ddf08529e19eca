"""Sending to sites and collecting their answers, over Flower's Grid."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from fedlora.errors import ParticipationError, StoppedError, WireError
from fedlora.wire.flower_message import Answer, Request, read_answer, write_request

__all__ = ["Question", "Reply", "Sites"]

GUARD_REFUSED = 1001  # the Flower Error by which a site's guard refuses a run; all others are accidents
log = logging.getLogger("fedlora.superlink")


def _ignore(_site: str) -> None:
    pass


@dataclass(frozen=True)
class Reply:
    """What came back from a site: its answer, and the seconds since it was first asked."""

    site: str
    answer: Answer
    seconds: float


@dataclass(frozen=True)
class Question:
    """Something that is asked of sites.

    Attributes
    ----------
    kind : str
        Flower's message type.
    requests : mapping
        What each site is asked.
    seconds : float
        How long a site has, however often it is asked.
    patience : float
        How long a site that fails is asked again; what it says after that is its answer.
    group : str
        Shown in Flower's logs.
    sent_again : callable
        Told the site whenever it is asked once more.
    dropped : callable
        Told the site whenever an answer came that was not needed any more.
    """

    kind: str
    requests: Mapping[str, Request]
    seconds: float
    patience: float = math.inf
    group: str = ""
    sent_again: Callable[[str], None] = _ignore
    dropped: Callable[[str], None] = _ignore


@dataclass
class _Open:
    """A question under way."""

    question: Question
    began: float
    asked: dict[str, str] = field(default_factory=dict)  # message: site, every message that may be answered
    activated: dict[str, str] = field(default_factory=dict)  # site: when its node was activated as it was last asked
    again_at: dict[str, float] = field(default_factory=dict)  # site: when to ask it once more, after it failed
    pause: dict[str, float] = field(default_factory=dict)  # site: how long the next such pause is
    waiting: set[str] = field(default_factory=set)  # sites that still owe an answer

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.began + self.question.seconds - time.monotonic()


class Sites:
    """The sites of a run and the nodes they are reached by.

    A site is known by the name that its node was registered under, never by what a message says.

    Parameters
    ----------
    grid : Grid
        Flower's.
    names : tuple of str
        The sites that take part.
    stop_wanted : callable
        Asked while waiting whether the run is to stop.
    """

    POLL_SECONDS = 0.1  # between looks for answers; half a second once nothing has come for a while
    SLOW_POLL_SECONDS = 0.5
    FIRST_PAUSE, MOST_PAUSE = 1.0, 10.0  # before a site that failed is asked again

    def __init__(self, grid: Grid, names: tuple[str, ...], stop_wanted: Callable[[], bool] = lambda: False) -> None:
        self.grid = grid
        self.stop_wanted = stop_wanted
        self.names = names
        self.nodes: dict[str, int] = {}

    def join(self, seconds: float) -> None:
        """Wait until every site is online.

        Raises
        ------
        ParticipationError
            After `seconds`, naming the sites that are missing.
        StoppedError
            If the run is to stop.
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
            self._wait(self.SLOW_POLL_SECONDS)

    def ask(self, question: Question) -> Iterator[Reply]:
        """Ask, and yield each site's answer as it comes, until all have answered or the time is over.

        A site whose node was activated anew is asked again at once: Flower delivers a message one time only, and a node
        that was killed has lost it. So is one that failed, after a pause. Sites that do not answer in time do not
        appear. The message of a question lives as long as the question.
        """
        under_way = _Open(question, time.monotonic(), waiting=set(question.requests))
        self._send(under_way, list(question.requests))
        last_answer = last_look = time.monotonic()
        while under_way.waiting and under_way.left > 0:
            replies = list(self.grid.pull_messages(list(under_way.asked))) if under_way.asked else []
            for message in replies:
                last_answer = time.monotonic()
                if (reply := self._settle(under_way, message)) is not None:
                    yield reply
            if time.monotonic() - last_look > 1.0:
                last_look = time.monotonic()
                self._send_again(under_way)
            if under_way.waiting and not replies:
                self._wait(self.POLL_SECONDS if time.monotonic() - last_answer < 30 else self.SLOW_POLL_SECONDS)

    def _wait(self, seconds: float) -> None:
        if self.stop_wanted():
            raise StoppedError("somebody has stopped the run; `fedlora run resume` lets it go on")
        time.sleep(seconds)

    def _settle(self, under_way: _Open, message: Message) -> Reply | None:
        """Take a message for an answer, unless it is one too many or worth another try."""
        site = under_way.asked.pop(message.metadata.reply_to_message_id)
        if site not in under_way.waiting:
            under_way.question.dropped(site)
            return None
        answer = _answer(message)
        pause = under_way.pause.get(site, self.FIRST_PAUSE)
        passed = time.monotonic() - under_way.began
        if answer.status == "failed" and under_way.left > pause and passed < under_way.question.patience:
            log.warning("site %s failed and is asked again: %s", site, answer.reason)
            under_way.again_at[site] = time.monotonic() + pause
            under_way.pause[site] = min(2 * pause, self.MOST_PAUSE)
            return None
        under_way.waiting.discard(site)
        return Reply(site, answer, passed)

    def _send_again(self, under_way: _Open) -> None:
        activated = {node.name: node.last_activated_at for node in self.grid.get_nodes()}
        now = time.monotonic()
        due = [site for site, at in under_way.again_at.items() if at <= now and site in activated]
        back = [
            site
            for site in under_way.waiting
            if site in activated and activated[site] != under_way.activated[site] and site not in due
        ]
        for site in back:
            log.warning("site %s has come back and is asked again", site)
        for site in (*due, *back):
            under_way.again_at.pop(site, None)
            under_way.question.sent_again(site)
        self._send(under_way, [*due, *back])

    def _send(self, under_way: _Open, sites: list[str]) -> None:
        question = under_way.question
        seconds = under_way.left
        if not sites or seconds <= 0:
            return
        activated = {node.name: node.last_activated_at for node in self.grid.get_nodes()}
        messages = [
            Message(
                write_request(question.requests[site]),
                self.nodes[site],
                question.kind,
                ttl=seconds,
                group_id=question.group,
            )
            for site in sites
        ]
        for message_id, site in zip(self.grid.push_messages(messages), sites, strict=True):
            under_way.activated[site] = activated.get(site, "")
            if message_id:
                under_way.asked[message_id] = site
            else:  # its node is gone for the moment; it is asked again when it is back
                log.warning("the SuperLink did not take the message for site %s", site)
                under_way.again_at[site] = time.monotonic() + self.FIRST_PAUSE


def _answer(reply: Message) -> Answer:
    if reply.has_error():
        status = "refused" if reply.error.code == GUARD_REFUSED else "failed"
        return Answer(status, f"error {reply.error.code}: {reply.error.reason}")
    try:
        return read_answer(reply.content)
    except WireError as error:
        return Answer("refused", f"WireError: {error}")
