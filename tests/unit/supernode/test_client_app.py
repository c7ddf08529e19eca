"""The ClientApp itself, with Flower's messages, and the stub of a trainer behind its real socket."""

import dataclasses
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedlora.metrics.sample import write_samples
from fedlora.settings_file import write_settings
from fedlora.wire import encode
from fedlora.wire.flower_message import Request, read_answer, write_request
from supernode.client_app import SETTINGS_KEY, app
from supernode.traffic import Traffic
from supernode.trainer import trainer_pb2_grpc
from supernode.withdrawal import withdraw
from tests.integration.stub_trainer import StubTrainer

RUN = 7  # Flower's id


@pytest.fixture
def stub(tmp_path):
    """Return the stub's settings file; the trainer listens."""
    file = tmp_path / "stub.json"
    file.write_text(json.dumps({"delta": 1.0, "examples": 10}))
    server = grpc.server(ThreadPoolExecutor(4))
    trainer = StubTrainer(file)
    trainer_pb2_grpc.add_TrainerServicer_to_server(trainer, server)
    server.add_insecure_port(f"unix:{tmp_path / 't.sock'}")
    server.start()
    yield trainer
    server.stop(0).wait()


@pytest.fixture
def ask(tmp_path, stub, monkeypatch):
    """Return a function that asks the ClientApp of a site, and returns its answer."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, RUN)
    settings = {
        "site": "bank",
        "domain": "finance",
        "superlink": "h:1",
        "runtime-port": 9094,
        "trainer": tmp_path / "t.sock",
        "state": tmp_path,
        **dict.fromkeys(("ca-certificate", "node-key", "superexec-secret"), tmp_path / "none"),
    }
    file = write_settings(settings, tmp_path / "supernode.toml")
    context = Context(RUN, 1, {SETTINGS_KEY: str(file)}, RecordDict(), {})

    def asked(kind, fields, payload=None):
        message = Message(write_request(Request(fields, payload)), dst_node_id=1, message_type=kind, ttl=60)
        return read_answer(app(message=message, context=context).content)

    return asked


@pytest.fixture
def broadcast(stub):
    vector = np.zeros(stub.spec.size, dtype=np.float32)
    return encode(vector, stub.spec, kind="global", run="tweets", epoch=1, round_number=1)


def counted(folder):
    traffic = Traffic(folder)
    try:
        return write_samples(traffic.samples())
    finally:
        traffic.close()


def payload_of(figures):
    ways = ("down", "up")
    return [figures.get(f'fedlora_payload_bytes_total{{codec="fp32",direction="{way}",run="tweets"}}') for way in ways]


def test_each_answer_tells_what_has_passed_itself_included(ask, tmp_path, broadcast):
    described = ask("query.describe", {"recipe_sha256": "r"})
    assert described.figures['fedlora_messages_total{direction="up",run="7"}'] == 1
    assert described.figures["shard_examples"] == 100
    assert abs(described.figures["clock_seconds"] - time.time()) < 10
    trained = ask("train", {"run": "tweets", "epoch": 1, "round": 1, "counted": 0}, broadcast)
    assert payload_of(trained.figures) == [broadcast.size, trained.size]
    assert trained.figures["loss"] == 1.0
    closing = ask("query.report", {"run": "tweets"})
    assert (closing.status, closing.size) == ("ok", 0)
    assert payload_of(closing.figures) == payload_of(counted(tmp_path)) == [broadcast.size, trained.size]
    assert closing.figures['fedlora_messages_total{direction="down",run="tweets"}'] == 3
    assert closing.figures["fedlora_model_load_seconds{}"] == 1.5
    assert "loss" not in closing.figures


def test_what_has_come_is_counted_before_it_is_trained_on(ask, tmp_path, stub, broadcast):
    stub.behave(seconds=600)
    training = threading.Thread(
        target=ask, args=("train", {"run": "tweets", "epoch": 1, "round": 1, "counted": 0}, broadcast)
    )
    training.start()
    end = time.monotonic() + 30
    try:
        while payload_of(counted(tmp_path)) != [broadcast.size, None]:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert training.is_alive()
    finally:
        stub.behave(seconds=0)
        training.join()
    assert payload_of(counted(tmp_path))[1] is not None


def test_what_is_refused_is_counted_as_well(ask, tmp_path, broadcast):
    assert ask("train", {"run": "tweets"}, broadcast).status == "refused"
    assert ask("train", {"run": "tweets", "epoch": 1, "round": 1, "counted": 0}).reason == (
        "WireError: the request to train brings no adapter"
    )
    withdraw(tmp_path, "paused", "bank", "maintenance")
    paused = ask("train", {"run": "tweets", "epoch": 1, "round": 1, "counted": 0}, broadcast)
    assert paused.withdrawn
    assert payload_of(paused.figures) == [2 * broadcast.size, None]
    assert "fedlora_model_load_seconds{}" not in paused.figures  # nothing reaches the trainer


def test_what_the_trainer_refuses_is_logged_at_this_end_too(ask, broadcast, caplog):
    wrong = dataclasses.replace(broadcast, blocks=(b"", *broadcast.blocks))
    said = ask("train", {"run": "a\nb", "epoch": 1, "round": 1, "counted": 0}, wrong)
    assert (said.status, said.reason.partition(":")[0]) == ("refused", "WireError")
    assert [record.message for record in caplog.records if record.name == "fedlora.worker"] == [
        f"the trainer refused a call of run a\\nb: {said.reason}"
    ]


def test_an_update_bears_the_hash_of_the_policy_that_it_was_given_under(ask, broadcast, stub):
    fields = {"run": "tweets", "epoch": 1, "round": 1, "counted": 0}
    assert ask("train", fields, broadcast).fields == {"policy_sha256": "p" * 64}
