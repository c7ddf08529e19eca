"""Sending to sites and collecting their answers, over Flower's Grid."""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid

from fedlora.errors import StoppedError, WireError
from fedlora.wire.flower_message import Answer, Request, read_answer, write_request
from superlink.replies import Arrival, Replies

__all__ = ["Question", "Reply", "Sites"]

# Flower's word, in the place of an answer, that a message or its answer is over its time to live.
EXPIRED = (ErrorCode.MESSAGE_UNAVAILABLE, ErrorCode.REPLY_MESSAGE_UNAVAILABLE)
GUARD_REFUSED = 1001  # the Flower Error by which a site's guard refuses a run; all others are accidents
log = logging.getLogger("fedlora.superlink")


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
    absence : float
        Seconds after which sites that are offline are not waited for, once `complete` says so.
    group : str
        Shown in Flower's logs.
    sent : callable
        Told the sites to whom a message has just gone, each time.
    dropped : callable
        Told site and payload bytes whenever an answer came that was not needed any more.
    affordable : callable
        Asked, with the number of messages that may still be answered, whether one more may be sent.
    complete : callable
        Whether the answers so far would do.
    """

    kind: str
    requests: Mapping[str, Request]
    seconds: float
    patience: float = math.inf
    absence: float = math.inf
    group: str = ""
    sent: Callable[[Sequence[str]], None] = lambda _sites: None
    dropped: Callable[[str, int], None] = lambda _site, _bytes: None
    affordable: Callable[[int], bool] = lambda _unanswered: True
    complete: Callable[[], bool] = lambda: False


@dataclass
class _Open:
    """A question under way."""

    question: Question
    began: float
    asked: dict[str, str] = field(default_factory=dict)  # message: site, every message that may be answered
    newest: dict[str, str] = field(default_factory=dict)  # site: the message it was sent last
    activated: dict[str, str] = field(default_factory=dict)  # site: when its node was activated as it was last asked
    again_at: dict[str, float] = field(default_factory=dict)  # site: when to ask it once more, after it failed
    pause: dict[str, float] = field(default_factory=dict)  # site: how long the next such pause is
    absent_since: dict[str, float] = field(default_factory=dict)  # site: since when its node is offline
    waiting: set[str] = field(default_factory=set)  # sites that still owe an answer

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.began + self.question.seconds - time.monotonic()

    @property
    def abandoned(self) -> bool:
        """Whether all that still owe an answer have been offline for so long that they are not waited for."""
        long_ago = time.monotonic() - self.question.absence
        return all(self.absent_since.get(site, math.inf) <= long_ago for site in self.waiting)


@dataclass(frozen=True)
class _Overdue:
    """A message whose question is over: its answer is counted, and dropped, whenever it has come whole."""

    site: str
    dropped: Callable[[str, int], None]
    until: float


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
    told : callable
        Told site and figures of every answer that has come, also of those that are dropped.
    """

    POLL_SECONDS = 0.1  # between looks for answers; half a second once nothing has come for a while
    SLOW_POLL_SECONDS = 0.5
    FIRST_PAUSE, MOST_PAUSE = 1.0, 10.0  # before a site that failed is asked again

    def __init__(
        self,
        grid: Grid,
        names: tuple[str, ...],
        stop_wanted: Callable[[], bool] = lambda: False,
        told: Callable[[str, Mapping[str, float]], None] = lambda _site, _figures: None,
    ) -> None:
        self.grid = grid
        self.replies = Replies(grid)
        self.stop_wanted = stop_wanted
        self.told = told
        self.names = names
        self._overdue: dict[str, _Overdue] = {}

    def close(self) -> None:
        """Fetch no more answers."""
        self.replies.close()

    def online(self) -> dict[str, NodeInfo]:
        """Return the nodes that are online, by site."""
        return {node.name: node for node in self.grid.get_nodes() if node.name in self.names}

    @property
    def unanswered(self) -> int:
        """How many messages of earlier questions may still be answered."""
        return len(self._late())

    def _late(self) -> list[str]:
        now = time.monotonic()
        return [message for message, overdue in self._overdue.items() if overdue.until > now]

    def join(self, seconds: float) -> tuple[str, ...]:
        """Wait until every site is online, but no longer than `seconds`; return those that are.

        Raises
        ------
        StoppedError
            If the run is to stop.
        """
        end = time.monotonic() + seconds
        while len(online := self.online()) < len(self.names) and time.monotonic() < end:
            self._stop_if_wanted()
            time.sleep(self.SLOW_POLL_SECONDS)
        log.info("sites online: %s", ", ".join(name for name in self.names if name in online))
        return tuple(name for name in self.names if name in online)

    def ask(self, question: Question) -> Generator[Reply, None, None]:
        """Ask, and yield each site's answer as it comes, until all have answered or the time is over.

        A site whose node was activated anew is asked again at once: Flower delivers a message one time only, and a node
        that was killed has lost it. So is one that failed, after a pause. Sites that do not answer in time do not
        appear. The message of a question lives as long as the question; an answer that comes after its end is counted
        during later ones.
        """
        under_way = _Open(question, time.monotonic(), waiting=set(question.requests))
        last_answer = last_look = time.monotonic()
        try:
            self._send(under_way, list(question.requests))
            while under_way.waiting and under_way.left > 0:
                quiet = time.monotonic() - last_answer > 30
                for arrival in self._pull(under_way, self.SLOW_POLL_SECONDS if quiet else self.POLL_SECONDS):
                    last_answer = time.monotonic()
                    if (reply := self._settle(under_way, arrival)) is not None:
                        yield reply
                if time.monotonic() - last_look > 1.0:
                    last_look = time.monotonic()
                    yield from self._send_again(under_way)
                    if question.complete() and under_way.abandoned:
                        return
                if under_way.waiting:
                    self._stop_if_wanted()
        finally:
            until = under_way.began + question.seconds
            for message_id, site in under_way.asked.items():
                self._overdue[message_id] = _Overdue(site, question.dropped, until)

    def _stop_if_wanted(self) -> None:
        if self.stop_wanted():
            raise StoppedError("somebody has stopped the run; `fedlora run resume` lets it go on")

    def _pull(self, under_way: _Open, seconds: float) -> list[Arrival]:
        """Return the answers to this question that have come, waiting for the first for at most `seconds`.

        Those to earlier questions are counted and dropped.
        """
        answers = []
        for arrival in self.replies.arrived([*under_way.asked, *self._late()], max(0.0, min(seconds, under_way.left))):
            overdue = self._overdue.pop(arrival.message, None)
            if arrival.message in under_way.asked:
                self.told(under_way.asked[arrival.message], _answer(arrival).figures)
                answers.append(arrival)
            elif overdue is not None and not isinstance(arrival.said, Error):
                self.told(overdue.site, _answer(arrival).figures)
                overdue.dropped(overdue.site, _answer(arrival).size)
        return answers

    def _settle(self, under_way: _Open, arrival: Arrival) -> Reply | None:
        """Take an arrival for an answer, unless it is one too many or worth another try."""
        site = under_way.asked.pop(arrival.message)
        answer = _answer(arrival)
        if isinstance(arrival.said, Error) and arrival.said.code in EXPIRED and under_way.left <= self.FIRST_PAUSE:
            return None  # the site has not answered in time, and that is all
        if site not in under_way.waiting:
            if not isinstance(arrival.said, Error):
                under_way.question.dropped(site, answer.size)
            return None
        if answer.status == "failed" and under_way.newest[site] != arrival.message:
            return None  # it has been asked anew already
        pause = under_way.pause.get(site, self.FIRST_PAUSE)
        passed = time.monotonic() - under_way.began
        if answer.status == "failed" and under_way.left > pause and passed < under_way.question.patience:
            log.warning("site %s failed and is asked again: %s", site, answer.reason)
            under_way.again_at[site] = time.monotonic() + pause
            under_way.pause[site] = min(2 * pause, self.MOST_PAUSE)
            return None
        under_way.waiting.discard(site)
        return Reply(site, answer, passed)

    def _send_again(self, under_way: _Open) -> Iterator[Reply]:
        """Ask those again who have come back or whose pause is over; yield the end of those who may not be asked."""
        online, now = self.online(), time.monotonic()
        for site in under_way.waiting:
            if site in online:
                under_way.absent_since.pop(site, None)
            else:
                under_way.absent_since.setdefault(site, now)
        due = [
            site
            for site, at in under_way.again_at.items()
            if at <= now and site in online and site in under_way.waiting
        ]
        back = [
            site
            for site in under_way.waiting - under_way.again_at.keys()
            if site in online and online[site].last_activated_at != under_way.activated.get(site)
        ]
        for site in (*due, *back):
            under_way.again_at.pop(site, None)
            if under_way.question.affordable(len(under_way.asked) + self.unanswered):
                log.warning(
                    "site %s %s", site, "has come back and is asked again" if site in back else "is asked again"
                )
                self._send(under_way, [site])
            else:
                under_way.waiting.discard(site)
                yield Reply(site, Answer("failed", "the budget does not allow asking it again"), math.nan)

    def _send(self, under_way: _Open, sites: list[str]) -> None:
        question, seconds, online = under_way.question, under_way.left, self.online()
        there = [site for site in sites if site in online]
        for site in set(sites) - set(there):  # asked when its node is online
            under_way.again_at[site] = time.monotonic()
        if not there or seconds <= 0:
            return
        messages = [
            Message(
                write_request(question.requests[site]),
                online[site].node_id,
                question.kind,
                ttl=seconds,
                group_id=question.group,
            )
            for site in there
        ]
        taken = []
        for message_id, site in zip(self.grid.push_messages(messages), there, strict=True):
            under_way.activated[site] = online[site].last_activated_at
            if message_id:
                under_way.asked[message_id], under_way.newest[site] = site, message_id
                taken.append(site)
            else:  # its node is gone for the moment; it is asked again when it is back
                log.warning("the SuperLink did not take the message for site %s", site)
                under_way.again_at[site] = time.monotonic() + self.FIRST_PAUSE
        question.sent(taken)


def _answer(arrival: Arrival) -> Answer:
    if isinstance(arrival.said, Error):
        status = "refused" if arrival.said.code == GUARD_REFUSED else "failed"
        return Answer(status, f"error {arrival.said.code}: {arrival.said.reason}")
    try:
        return read_answer(arrival.said)
    except WireError as error:
        return Answer("refused", f"WireError: {error}")
