"""What a node counts: by two processes at once, over restarts, and by the name of the run."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedlora.metrics.sample import read_samples, write_samples
from fedlora.wire import encode
from supernode import traffic as module
from supernode.traffic import Traffic, Wire
from tests.integration.stub_trainer import spec

NO_RUN = {
    'fedlora_idle_wire_bytes_total{direction="down"}',
    'fedlora_idle_wire_bytes_total{direction="up"}',
    "fedlora_retransmitted_bytes_total{}",
}
WRITER = """
import sys
from pathlib import Path
from supernode.traffic import Traffic, Wire
traffic = Traffic(Path(sys.argv[1]))
for number in range(500):
    traffic.carry(7, Wire(3, 2, 1))
    print(number, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def payload():
    made = spec()
    vector = np.zeros(made.size, dtype=np.float32)
    return encode(vector, made, kind="global", run="tweets", epoch=1, round_number=1)


def told(traffic, flower_run=None):
    return write_samples(traffic.samples(flower_run))


def writer(state: Path) -> subprocess.Popen:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", WRITER, str(state)], text=True, **pipes)


def test_counts_are_those_of_the_run_by_its_own_name(tmp_path, payload):
    traffic = Traffic(tmp_path)
    traffic.call(2**64 - 1, 2)  # the connection carries a message before anybody has read the run's name in it
    traffic.receive(2**64 - 1, None, None)
    assert told(traffic)[f'fedlora_remote_calls_total{{run="{2**64 - 1}"}}'] == 2
    traffic.answer(2**64 - 1, None)
    traffic.receive(2**64 - 1, "tweets", payload)
    traffic.answer(2**64 - 1, payload)
    traffic.carry(2**64 - 1, Wire(1000, 900, 5))
    traffic.carry(None, Wire(30, 20))
    traffic.receive(4, "tweets", payload)  # the next attempt: another run of Flower's
    size = float(payload.size)
    assert told(traffic) == {
        'fedlora_idle_wire_bytes_total{direction="down"}': 30.0,
        'fedlora_idle_wire_bytes_total{direction="up"}': 20.0,
        "fedlora_retransmitted_bytes_total{}": 5.0,
        'fedlora_messages_total{direction="down",run="tweets"}': 3.0,
        'fedlora_messages_total{direction="up",run="tweets"}': 2.0,
        'fedlora_payload_bytes_total{codec="fp32",direction="down",run="tweets"}': 2 * size,
        'fedlora_payload_bytes_total{codec="fp32",direction="up",run="tweets"}': size,
        'fedlora_remote_calls_total{run="tweets"}': 2.0,
        'fedlora_wire_bytes_total{direction="down",run="tweets"}': 1000.0,
        'fedlora_wire_bytes_total{direction="up",run="tweets"}': 900.0,
    }
    assert told(traffic, 4) == told(traffic)
    assert len(list(read_samples(told(traffic)))) == 10  # nothing that the coordinator would pass over


def test_payload_is_counted_by_the_codec_that_it_came_in(tmp_path, payload):
    traffic = Traffic(tmp_path)
    for codec in ("bf16z", 'x"} 1', "int9"):
        came = dataclasses.replace(payload, header=dataclasses.replace(payload.header, codec=codec))
        traffic.receive(4, "tweets", came)
    traffic.answer(4, dataclasses.replace(payload, header=dataclasses.replace(payload.header, codec="int4")))
    counted = {key: value for key, value in told(traffic).items() if "payload" in key}
    size = len(dataclasses.replace(payload.header, codec="int4").to_json()) + sum(map(len, payload.blocks))
    assert counted.pop('fedlora_payload_bytes_total{codec="int4",direction="up",run="tweets"}') == size
    assert counted.pop('fedlora_payload_bytes_total{codec="bf16z",direction="down",run="tweets"}') == size + 1
    assert list(counted) == ['fedlora_payload_bytes_total{codec="other",direction="down",run="tweets"}']


@pytest.mark.parametrize("name", ["No Name", 'a"b', "x" * 65, 7, None])
def test_a_run_whose_name_is_none_goes_by_flowers_id(tmp_path, name):
    traffic = Traffic(tmp_path)
    traffic.receive(7, name, None)
    assert told(traffic) == {'fedlora_messages_total{direction="down",run="7"}': 1.0}


def test_an_answer_tells_of_its_own_run_and_all_together_of_the_newest(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_RUNS", 3)
    traffic = Traffic(tmp_path)
    for number in range(1, 7):
        traffic.receive(number, f"run-{number}", None)
    traffic.receive(7, "run-2", None)  # taken up again: the newest now
    traffic.carry(None, Wire(1, 1, 1))
    runs = {sample.labels.get("run") for sample in traffic.samples()}
    assert runs == {None, "run-5", "run-6", "run-2"}
    assert told(traffic, 4).keys() == {*NO_RUN, 'fedlora_messages_total{direction="down",run="run-4"}'}
    assert told(traffic, 99).keys() == NO_RUN  # not heard of yet


def test_two_processes_count_at_once_and_a_kill_loses_nothing_that_was_counted(tmp_path):
    with writer(tmp_path) as killed, writer(tmp_path) as other:
        for _ in range(200):
            killed.stdout.readline()
        os.kill(killed.pid, signal.SIGKILL)
        counted = len(killed.stdout.read().splitlines()) + 200
        assert len(other.communicate()[0].splitlines()) == 500
    again = told(Traffic(tmp_path))
    down = again['fedlora_wire_bytes_total{direction="down",run="7"}'] / 3
    assert 500 + counted <= down <= 500 + counted + 1  # it may have counted once more without having said so
    assert again['fedlora_wire_bytes_total{direction="up",run="7"}'] == 2 * down


def test_a_disk_that_takes_nothing_is_said_once_and_stops_nobody(tmp_path, caplog):
    traffic = Traffic(tmp_path / "nowhere")
    for _ in range(3):
        traffic.receive(7, "tweets", None)
    assert traffic.samples() == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/nowhere/traffic.sqlite: what passes at this node is not counted: unable to open database file"
    ]


def test_that_nothing_was_sent_again_is_known_once_anything_was_carried(tmp_path):
    traffic = Traffic(tmp_path)

    def again() -> list[float]:
        return [sample.value for sample in traffic.samples() if sample.name == "fedlora_retransmitted_bytes_total"]

    assert again() == []
    traffic.carry(7, Wire(5, 5, 0))
    assert again() == [0.0]
    traffic.carry(None, Wire(5, 5, 3))
    assert again() == [3.0]
