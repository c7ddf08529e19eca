"""What Flower's Grid says in the place of an answer; with real sites, see tests/integration."""

import time

import pytest
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.task_identity import TaskIdentity

from fedlora.wire.flower_message import Answer, Request, write_answer
from superlink.grid import Question, Sites


class SlowGrid:
    """A SuperLink of one node, whose look for answers ends after the deadline of 0.2 s."""

    def __init__(self, content: RecordDict | Error) -> None:
        self.content = content

    def get_nodes(self):
        return [NodeInfo(node_id=1, name="a", last_activated_at="now")]

    def push_messages(self, messages):
        (self.asked,) = messages
        self.asked.metadata.__dict__["_message_id"] = "asked"
        return ["asked"]

    def pull_messages(self, _):
        time.sleep(0.25)
        return [Message(self.content, reply_to=self.asked)]


@pytest.mark.parametrize(
    ("content", "answers"),
    [
        (Error(ErrorCode.MESSAGE_UNAVAILABLE, "over"), []),
        (Error(ErrorCode.REPLY_MESSAGE_UNAVAILABLE, "over"), []),
        (Error(ErrorCode.CLIENT_APP_CRASHED, "crashed"), ["failed"]),
        (Error(1001, "not on the list"), ["refused"]),
        (write_answer(Answer("ok")), ["ok"]),
    ],
)
def test_a_message_that_is_over_at_the_deadline_is_no_answer(monkeypatch, content, answers):
    for name in ("_task_id", "_run_id", "_node_id"):  # who a ServerApp is
        monkeypatch.setattr(TaskIdentity, name, 7)
    question = Question("train", {"a": Request({})}, seconds=0.2)
    assert [reply.answer.status for reply in Sites(SlowGrid(content), ("a",)).ask(question)] == answers
