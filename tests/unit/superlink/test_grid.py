"""Answers that come late, in part or not at all, from a SuperLink in this process; see tests/integration as well."""

import contextlib
import threading
import time

import pytest
from flwr.app import Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid.http_grid import HttpGrid

from fedlora.wire.flower_message import Answer, Request, write_answer
from superlink.grid import Question, Sites

SITES = ("a", "b")
FORGOTTEN = Error(ErrorCode.MESSAGE_UNAVAILABLE, "its answer has been delivered")


class Link:
    """A SuperLink that announces each site's answer at once; all of it comes then, or when `push` is called."""

    def __init__(self, answers: dict[str, RecordDict | Error]) -> None:
        self.answers = answers
        self.cut_off: set[str] = set()
        self.silent: set[str] = set()  # sites whose next message is taken and never answered
        self.lost: set[str] = set()
        self.activated = dict.fromkeys(SITES, "first")
        self.asked: dict[str, Message] = {}
        self.announced: set[str] = set()
        self.parts: dict[str, dict[str, bytes]] = {site: {} for site in answers}
        self.objects: dict[str, bytes] = {}
        self.missed = threading.Event()  # somebody has asked for an object that has not come

    def push(self, site):
        self.objects |= self.parts[site]

    def PullMessages(self, request):
        found = PullAppMessagesResponse()
        for message_id in request.message_ids:
            if message_id in self.lost:
                continue
            asked = self.asked[message_id]
            site = SITES[asked.metadata.dst_node_id]
            forgotten = message_id in self.announced
            reply = Message(FORGOTTEN if forgotten else self.answers[site], reply_to=asked)
            reply.metadata.__dict__["_message_id"] = reply.object_id
            self.announced.add(message_id)
            self.parts[site] = {name: part.deflate() for name, part in get_all_nested_objects(reply).items()}
            if forgotten or site not in self.cut_off:
                self.push(site)
            found.message_object_trees.append(get_object_tree(reply))
            found.messages_list.append(message_to_proto(remove_content_from_message(reply)))
        return found

    def PullObject(self, request):
        content = self.objects.get(request.object_id)
        if content is None:
            self.missed.set()
        return PullObjectResponse(object_found=True, object_available=content is not None, object_content=content)

    def ConfirmMessageReceived(self, _):
        pass


class LinkGrid(HttpGrid):
    """Flower's Grid on such a SuperLink."""

    def __init__(self, link: Link) -> None:
        super().__init__(token="t")
        self._client = link
        self.set_run(Run.create_empty(7))

    def get_nodes(self):
        activated = self._client.activated
        return [NodeInfo(node_id=at, name=name, last_activated_at=activated[name]) for at, name in enumerate(SITES)]

    def push_messages(self, messages):
        for message in messages:
            message.metadata.__dict__["_message_id"] = message.object_id
            self._client.asked[message.object_id] = message
            site = SITES[message.metadata.dst_node_id]
            if site in self._client.silent:
                self._client.silent.discard(site)
                self._client.lost.add(message.object_id)
        return [message.object_id for message in messages]


@pytest.fixture(autouse=True)
def as_a_serverapp(monkeypatch):
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 7)


@pytest.fixture
def sites_of(request):
    """Return a function that makes the sites of a SuperLink; with the test they end, and what they fetch."""

    def made(link: Link) -> Sites:
        sites = Sites(LinkGrid(link), SITES)
        request.addfinalizer(sites.close)
        return sites

    return made


def ask(sites: Sites, *names: str, seconds: float, **more) -> list[tuple[str, str]]:
    question = Question("train", dict.fromkeys(names, Request({})), seconds=seconds, **more)
    return [(reply.site, reply.answer.status) for reply in sites.ask(question)]


@pytest.mark.parametrize(
    ("content", "answers"),
    [
        (Error(ErrorCode.MESSAGE_UNAVAILABLE, "over"), []),
        (Error(ErrorCode.REPLY_MESSAGE_UNAVAILABLE, "over"), []),
        (Error(ErrorCode.CLIENT_APP_CRASHED, "crashed"), [("a", "failed")]),
        (Error(1001, "not on the list"), [("a", "refused")]),
        (write_answer(Answer("ok")), [("a", "ok")]),
    ],
)
def test_a_message_that_is_over_at_the_deadline_is_no_answer(content, answers, sites_of):
    link = Link({"a": content})
    assert ask(sites_of(link), "a", seconds=0.9) == answers


def ok(loss: float) -> RecordDict:
    return write_answer(Answer("ok", figures={"loss": loss}))


def test_a_site_that_is_cut_off_holds_up_nobody_but_itself_and_no_deadline(sites_of):
    link = Link({"a": ok(1.0), "b": ok(2.0)})
    link.cut_off = {"a"}
    question, began = Question("train", dict.fromkeys(SITES, Request({})), seconds=3.0), time.monotonic()
    replies = sites_of(link).ask(question)
    assert [(reply.site, time.monotonic() - began < 2.0) for reply in replies] == [("b", True)]
    assert link.missed.is_set()
    assert time.monotonic() - began < 8.0


def test_an_answer_that_is_whole_after_its_question_is_counted_and_dropped(sites_of):
    link, dropped = Link({"a": ok(1.0), "b": ok(2.0)}), []
    link.cut_off = {"a", "b"}
    sites = sites_of(link)
    assert ask(sites, "a", seconds=0.5, dropped=lambda site, _: dropped.append(site)) == []
    assert link.missed.is_set()
    link.push("a")
    threading.Timer(2.0, link.push, "b").start()  # a fetch looks again once a second at least
    assert ask(sites, "b", seconds=30.0) == [("b", "ok")]
    assert dropped == ["a"]


def test_a_site_that_lost_a_message_and_fails_the_next_is_asked_a_third_time(sites_of):
    """A node that is killed has lost what it was asked; when it is back, its trainer is not there yet."""
    link = Link({"a": write_answer(Answer("failed", "the site's trainer is not there")), "b": ok(2.0)})
    link.silent, sent = {"a"}, []

    def note(sites):
        sent.append(sites)
        if len(sent) == 3:
            link.answers["a"] = ok(1.0)

    threading.Timer(0.5, link.activated.update, [{"a": "anew"}]).start()
    assert ask(sites_of(link), "a", seconds=20.0, sent=note) == [("a", "ok")]
    assert sent == [["a"]] * 3


def test_what_a_fetch_fails_by_is_raised_where_answers_are_waited_for(monkeypatch, sites_of):
    def broken(_):
        raise ConnectionError("the SuperLink is gone")

    link = Link({"a": ok(1.0)})
    monkeypatch.setattr(link, "PullObject", broken)
    with pytest.raises(ConnectionError, match="the SuperLink is gone"):
        ask(sites_of(link), "a", seconds=5.0)


def test_nothing_is_fetched_for_a_run_that_has_ended(sites_of):
    link, before = Link({"a": ok(1.0)}), threading.active_count()
    link.cut_off = {"a"}
    with contextlib.closing(sites_of(link)) as sites:
        assert ask(sites, "a", seconds=0.5) == []
    link.missed.clear()
    time.sleep(3.0)
    assert not link.missed.is_set()
    assert threading.active_count() <= before
