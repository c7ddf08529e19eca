"""Somebody in the supernode's place: what the trainer's socket takes, over the wire, of a caller who means harm.

One real trainer, in a process of its own, is called in every way below. Then it must still do its work, have counted
and logged each refusal, and have told nobody a word of its records.
"""

import dataclasses
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
from forged_payloads import forged

from fedlora.domains import domain
from fedlora.errors import PolicyError, TrainerError, WireError
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from fedlora.shards import read_records, write_records
from fedlora.wire import AdapterSpec, Payload, encode
from supernode.site_policy import SitePolicyFiles
from supernode.trainer import trainer_pb2
from supernode.trainer_client import TrainerClient

RECIPE = recipe_of("medical", "quick", rounds=4, steps=1, batch=8, length=64, rank=2, alpha=4)
ONE_RECORD = dataclasses.replace(RECIPE, preset="default", steps=1, batch=1)
SLOW = dataclasses.replace(RECIPE, preset="flowertune", steps=5000)
CANARY = "canary-9c41e7"
MOST_RUNS, MOST_UPDATES = 12, 4
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) ")
TYPES = {name: getattr(trainer_pb2, f"{name}Request") for name in ("Describe", "Configure", "Train", "Metrics")}
# What our own code answers with, and is held to have counted; a call that gRPC refuses itself does not reach it.
CODES = {
    grpc.StatusCode.PERMISSION_DENIED: "PolicyError",
    grpc.StatusCode.FAILED_PRECONDITION: "PrivacyError",
    grpc.StatusCode.INVALID_ARGUMENT: "WireError",
    grpc.StatusCode.ABORTED: "TrainerError",
}


@dataclass
class Attacker:
    """A channel to the socket, and all that has ever come back over it."""

    channel: grpc.Channel
    spec: AdapterSpec
    heard: list[bytes] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def call(self, method, request, *, seconds=30.0):
        """Call; return the answer, or the name of the error and its text."""
        content = request if isinstance(request, bytes) else request.SerializeToString()
        raw = self.channel.unary_unary(f"/fedlora.trainer.Trainer/{method}")
        try:
            answer = raw(content, timeout=seconds)
        except grpc.RpcError as error:
            extra = [part for pair in error.trailing_metadata() or () for part in pair]
            told = [error.details() or "", error.debug_error_string(), *map(str, extra)]
            self.heard += [text.encode(errors="replace") for text in told]
            name = CODES.get(error.code(), error.code().name)
            if error.code() in CODES:
                self.refused.append(name)
            return name, error.details()
        self.heard.append(answer)
        return answer

    def configure(self, run, **changes):
        about = {"recipe_sha256": RECIPE.sha256, "spec_sha256": self.spec.sha256}
        codecs = {"upload_codec": "fp32", "broadcast_codec": "fp32"}
        request = trainer_pb2.ConfigureRequest(**{"run": run, "epoch": 1, **about, **codecs, **changes})
        return self.call("Configure", request)

    def train(self, run, payload=None, *, epoch=1, number=1, seconds=30.0, header=None):
        payload = payload or self.adapter(run, epoch=epoch, number=number)
        adapter = trainer_pb2.Adapter(
            header=payload.header.to_json() if header is None else header, blocks=payload.blocks
        )
        request = trainer_pb2.TrainRequest(run=run, epoch=epoch, round=number, adapter=adapter)
        return self.call("Train", request, seconds=seconds)

    def adapter(self, run, *, epoch=1, number=1, values=None, spec=None) -> Payload:
        spec = spec or self.spec
        values = np.full(spec.size, 0.01, dtype=np.float32) if values is None else values
        return encode(values, spec, kind="global", run=run, epoch=epoch, round_number=number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The trainer's, in a folder of its own: beside it nothing may be written, and others' tests write elsewhere."""
    made = tmp_path_factory.mktemp("attacked") / "site"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def attacker(tiny_model, folder):
    records = read_records(domain("medical").sample("train"), domain("medical"))
    records = [dataclasses.replace(one, output=f"{CANARY} {one.output}") for one in records]  # whichever it trains on
    write_records(records, folder / "records.jsonl")
    settings = {
        "site": "test",
        "domain": "medical",
        "shard": folder / "records.jsonl",
        "base-model": tiny_model,
        "base-model-name": "tiny",
        "state": folder / "state",
        "socket": folder / "t.sock",
        "policy": {
            "recipes": [RECIPE, ONE_RECORD, SLOW],
            "codecs": ["fp32"],
            "largest-norm": 100.0,
            "most-runs": MOST_RUNS,
            "most-updates": MOST_UPDATES,
        },
    }
    file = write_settings(settings, folder / "trainer.toml")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "supernode.trainer", str(file)], stdout=log, stderr=log)
    try:
        end = time.monotonic() + 120
        while not (folder / "t.sock").is_socket():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        spec = AdapterSpec.from_json(TrainerClient(folder / "t.sock").describe(RECIPE.sha256, seconds=30).spec)
        sizes = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"unix:{folder / 't.sock'}", options=sizes) as channel:
            made = Attacker(channel, spec)
            made.configure("honest")
            assert isinstance(made.train("honest"), bytes)
            yield made
            assert process.poll() is None, (folder / "log").read_text()
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_recipes_that_are_not_listed(attacker):
    for sha256 in ("", "f" * 64, dataclasses.replace(RECIPE, batch=1, steps=1).sha256, "../../etc/passwd", "x\ny"):
        for name, reason in (
            attacker.call("Describe", trainer_pb2.DescribeRequest(recipe_sha256=sha256)),
            attacker.configure("recipes", recipe_sha256=sha256),
        ):
            assert name == "PolicyError"
            assert "is not on this site's list: medical/quick (" in reason


def test_codecs_and_specs_that_are_not_the_sites(attacker):
    for change, name, reason in (
        ({"upload_codec": "int8"}, "PolicyError", "codec 'int8' is not on this site's list: fp32"),
        ({"broadcast_codec": "c" * 10**6}, "PolicyError", "codec 'ccc"),
        ({"spec_sha256": "0" * 64}, "WireError", f"spec {'0' * 12} is not this trainer's"),
    ):
        refused = attacker.configure("codecs", **change)
        assert refused[0] == name
        assert refused[1].startswith(reason)
        assert len(refused[1]) <= 1000


def test_one_step_on_one_record(attacker):
    """A recipe that is listed, and whose update would be of a single record."""
    described = trainer_pb2.Description.FromString(
        attacker.call("Describe", trainer_pb2.DescribeRequest(recipe_sha256=ONE_RECORD.sha256))
    )
    spec = AdapterSpec.from_json(described.spec)
    attacker.configure("single", recipe_sha256=ONE_RECORD.sha256, spec_sha256=spec.sha256)
    refused = attacker.train("single", attacker.adapter("single", spec=spec))
    assert refused == ("PolicyError", "an update from 1 records is below the site's 8")


def test_repeated_rounds_and_older_epochs(attacker):
    attacker.configure("again", epoch=5)
    first = attacker.train("again", epoch=5, number=2)
    assert isinstance(first, bytes)
    answers = [trainer_pb2.Update.FromString(one) for one in (first, attacker.train("again", epoch=5, number=2))]
    assert answers[0] == answers[1]
    other = attacker.adapter("again", epoch=5, number=2, values=np.full(attacker.spec.size, 0.02, dtype=np.float32))
    for payload, number in ((other, 2), (None, 1)):
        name, reason = attacker.train("again", payload, epoch=5, number=number)
        assert (name, "of run again had its turn; the last was round 2 of epoch 5" in reason) == ("PolicyError", True)
    assert attacker.configure("again", epoch=4) == (
        "PolicyError",
        "epoch 4 of run again is over: epoch 5 has begun",
    )
    for epoch in (0, 4, 6, 2**64 - 1):
        name, reason = attacker.train("again", epoch=epoch, number=2)
        assert (name, f"epoch {epoch} of run again is not open; open is 5" in reason) == ("PolicyError", True)
    for number, name, reason in (
        (0, "WireError", "round 0 is not a round"),
        (2**40, "WireError", f"round {2**40} is not a round"),
        (5, "PolicyError", "round 5 is beyond the 4 rounds of recipe medical/quick"),
    ):
        assert attacker.train("again", epoch=5, number=number) == (name, reason)
    assert attacker.train("nobody") == (
        "PolicyError",
        "run nobody is not open at this trainer; it must be configured first",
    )


def test_adapters_that_are_huge_or_no_numbers(attacker):
    attacker.configure("values")
    size, good = attacker.spec.size, attacker.adapter("values")
    for value, reason in (
        (np.float32(1e4), "this site allows 100"),
        (np.float32(3e38), "this site allows 100"),
        (np.nan, "is nan, not a finite number"),
        (np.inf, "is inf, not a finite number"),
        (-np.inf, "is -inf, not a finite number"),
    ):
        values = np.zeros(size, dtype=np.float32)
        values[size // 2] = value
        name, told = attacker.train("values", forged(good, values.tobytes()))
        assert (name, reason in told) == ("WireError", True), told


def test_headers_and_blocks_that_do_not_fit(attacker):
    attacker.configure("headers")
    good = attacker.adapter("headers")
    fields = dataclasses.asdict(good.header)
    for change in (
        *({name: value + 1} for name, value in fields.items() if isinstance(value, int)),
        *({name: f"{value}\nx"} for name, value in fields.items() if isinstance(value, str)),
        {"payload_bytes": 2**62, "values": 2**60},
    ):
        if change.keys() == {"examples"}:
            continue  # of a broadcast it says nothing
        name, reason = attacker.train("headers", Payload(dataclasses.replace(good.header, **change), good.blocks))
        assert name == "WireError", change
        assert "\n" not in reason
    for header in ("", "{}", "[" * 100_000, '{"a": NaN}', "9" * 10_000, '{"' + "k" * 100_000 + '": 1}'):
        name, reason = attacker.train("headers", good, header=header)
        assert (name, len(reason) <= 1000) == ("WireError", True), header[:20]
    for blocks in ((), good.blocks * 2, (good.blocks[0][:-1],), (b"\0" * len(good.blocks[0]),)):
        assert attacker.train("headers", Payload(good.header, blocks))[0] == "WireError"


def test_names_of_runs_that_are_paths_or_lines_of_a_log(attacker, folder):
    before = {file for file in folder.parent.rglob("*") if folder / "state" not in file.parents}
    for run in ("", "../../outside", "/etc/passwd", "a\0b", "a\n2026-01-01 00:00:00,000 INFO all is well", "x" * 65):
        for name, reason in (attacker.configure(run), attacker.train(run)):
            assert (name, "is no name: 1 to 64 of a-z" in reason) == ("PolicyError", True)
    assert {file for file in folder.parent.rglob("*") if folder / "state" not in file.parents} == before


def test_messages_that_are_too_large(attacker):
    attacker.configure("large")
    good = attacker.adapter("large")
    assert attacker.train("large", Payload(good.header, good.blocks * 2))[0] == "WireError"
    for size in (4 * 10**6, 10**8):
        name, reason = attacker.train("large", Payload(good.header, (b"\0" * size,)))
        assert name == "RESOURCE_EXHAUSTED"
        assert "larger than max" in reason


def test_calls_that_are_none(attacker):
    for method, content in (
        ("Train", b"\xff" * 100),
        ("Describe", b"\x0a\xff"),
        ("Evaluate", b""),
        ("Train/../x", b""),
    ):
        assert attacker.call(method, content)[0] in ("INTERNAL", "UNIMPLEMENTED", "UNKNOWN")


def test_calls_that_wait_for_ever(attacker, folder):
    described = attacker.call("Describe", trainer_pb2.DescribeRequest(recipe_sha256=SLOW.sha256))
    spec = AdapterSpec.from_json(trainer_pb2.Description.FromString(described).spec)
    attacker.configure("slow", recipe_sha256=SLOW.sha256, spec_sha256=spec.sha256)
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(
                attacker.train, "slow", attacker.adapter("slow", spec=spec, number=number), number=number, seconds=12
            )
            for number in (1, 2, 3, 4, 1, 2, 3, 4)
        ]
        time.sleep(2)
        client = TrainerClient(folder / "t.sock")
        assert client.describe(RECIPE.sha256, seconds=8).examples
        assert client.metrics(seconds=8)
        answers = [call.result() for call in calls]
    assert answers.count(("TrainerError", "the trainer is busy, and 2 calls wait already")) == 5
    assert {name for name, _ in answers} == {"TrainerError", "DEADLINE_EXCEEDED"}
    assert attacker.train("slow", attacker.adapter("slow", spec=spec), seconds=None) == (
        "WireError",
        "the call has no deadline within 2,592,000 s; every call of the trainer has one",
    )
    end = time.monotonic() + 60
    while isinstance(answer := attacker.configure("honest"), tuple) and time.monotonic() < end:
        assert answer[1].startswith("the trainer is busy")  # a step is finished before its round is given up
    assert isinstance(answer, bytes)


def test_more_runs_and_more_updates_than_the_policy_lets_there_be(attacker, folder):
    for number in range(MOST_RUNS + 3):
        last = attacker.configure(f"new-{number}")
    assert last[0] == "PolicyError"
    assert f"would be one more than the {MOST_RUNS} runs that this site has opened" in last[1]
    assert len(list((folder / "state").glob("*.json"))) == MOST_RUNS
    given = [attacker.train("honest", number=number) for number in (2, 3, 4)]
    assert [isinstance(answer, bytes) for answer in given] == [True, True, False]
    reason = "this site has given 4 updates, 3 of them to run honest; its policy's most-updates is 4"
    assert given[2] == ("PrivacyError", reason)


def test_at_the_end_all_is_counted_logged_and_nothing_of_a_record_was_told(attacker, folder):
    answer = trainer_pb2.MetricsResponse.FromString(attacker.call("Metrics", trainer_pb2.MetricsRequest()))
    counted = {
        sample.labels["name"]: sample.value
        for sample in answer.samples
        if sample.name == "fedlora_trainer_refusals_total"
    }
    log = (folder / "log").read_text()
    assert attacker.refused
    for name in {*attacker.refused, *counted}:
        # A round whose caller has left fails as well, and nobody hears it.
        unheard = (
            log.count("TrainerError: round ") + log.count("busy with another round") if name == "TrainerError" else 0
        )
        assert counted[name] == attacker.refused.count(name) + unheard, name
        assert len(re.findall(rf" WARNING \w+: {name}: ", log)) == counted[name], name
    ours = [line for line in log.splitlines() if not line.startswith((" ", "Traceback"))]
    assert "all is well" not in "".join(line for line in ours if " WARNING " not in line)
    assert CANARY in (folder / "records.jsonl").read_text()
    assert CANARY.encode() not in b"".join(attacker.heard)
    assert CANARY not in log
    told = {sample.name for sample in TrainerClient(folder / "t.sock").metrics(seconds=5)}
    assert "fedlora_trainer_refusals_total" in told


def test_the_answers_bear_the_hash_of_the_policy_that_the_owner_sees(attacker, folder):
    policy = SitePolicyFiles(folder).trainer().policy
    update = trainer_pb2.Update.FromString(attacker.train("honest", number=3))
    described = trainer_pb2.Description.FromString(
        attacker.call("Describe", trainer_pb2.DescribeRequest(recipe_sha256=RECIPE.sha256))
    )
    configured = trainer_pb2.Configuration.FromString(attacker.configure("honest"))
    assert {update.policy_sha256, described.policy_sha256, configured.policy_sha256} == {policy.sha256}


@pytest.mark.parametrize("error", [PolicyError, WireError, TrainerError])
def test_the_supernodes_client_names_what_was_refused(attacker, folder, error):
    client = TrainerClient(folder / "t.sock")
    call = {
        PolicyError: lambda: client.describe("f" * 64, seconds=5),
        WireError: lambda: client.train("honest", 1, 0, attacker.adapter("honest"), seconds=5),
        TrainerError: lambda: client.describe(RECIPE.sha256, seconds=0),
    }[error]
    with pytest.raises(error):
        call()
