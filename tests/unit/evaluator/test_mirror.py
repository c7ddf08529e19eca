"""A mirror of a run's checkpoints at an evaluator: whole or not at all, gone on with, held to the hashes."""

import json
import shutil
from pathlib import Path

import pytest
from served_run import Coordinator, coordinator, road
from typer.testing import CliRunner

from evaluator.mirror import Mirror
from fedlora.adapters.mirror import read_mirror, read_offer
from fedlora.cli.benchmark.run import _ended
from fedlora.cli.main import application
from fedlora.errors import CheckpointError, ConfigurationError, ControlError, CredentialError, EvaluationError
from fedlora.pki import create_authority, issue_admin_certificate
from superlink.runs import RunFolder


@pytest.fixture
def served(tmp_path):
    with coordinator(tmp_path) as made:
        yield made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def names(mirror: Mirror) -> list[str]:
    return sorted(entry.name for entry in (mirror.directory / "checkpoints").iterdir())


def test_every_round_is_mirrored_as_it_is(served):
    mirror = served.mirror()
    assert mirror.look().checkpoints == ()
    for number in (1, 2):
        served.round(number, seed=number)
        mirror.look()
    assert names(mirror) == ["round-0001", "round-0002"]
    assert contents(mirror.directory / "checkpoints") == contents(served.folder.directory / "checkpoints")


def test_each_nth_round_and_the_last_and_no_more_than_are_kept(served):
    mirror, seen = served.mirror(every=2, keep=2), []
    for number in range(1, 8):
        served.round(number)
        mirror.look()
        seen.append(names(mirror)[-1] if (mirror.directory / "checkpoints").exists() else "")
    assert seen == ["", "round-0002", "round-0002", "round-0004", "round-0004", "round-0006", "round-0006"]
    served.end()
    assert mirror.look().ended
    assert names(mirror) == ["round-0006", "round-0007"]


def test_an_evaluator_follows_to_the_end(served):
    served.round(1)
    mirror, folder, pauses = served.mirror(), RunFolder(served.directory / "elsewhere", "tweets"), []

    def pause(seconds):
        pauses.append(seconds)
        assert not _ended(folder)
        served.round(1 + len(pauses))
        if len(pauses) == 2:
            served.end()

    assert mirror.follow(pause=pause).state == "completed"
    assert names(mirror) == ["round-0001", "round-0002", "round-0003"]
    assert _ended(folder)
    assert len(set(pauses)) == 2
    assert all(4 <= seconds <= 6 for seconds in pauses)


def test_what_was_cut_off_is_gone_on_with(served):
    folder = served.round(1)
    whole = sum(map(len, contents(folder).values()))
    with road(served.server.port) as way:
        way.most = 300_000
        mirror = served.mirror(way.port)
        with pytest.raises(ControlError, match="could not be fetched"):
            mirror.look()
        assert names(mirror) == [".round-0001.mirrored"]  # never a part of a checkpoint under its name
        assert read_mirror(mirror.directory) is None
        half = mirror.directory / "checkpoints" / ".round-0001.mirrored" / "strategy.safetensors.part"
        there = half.stat().st_size
        assert there > 100_000
        way.most, way.back = 2**40, 0
        mirror.look()
        assert way.back < whole - there + 20_000  # only the rest came again
    assert contents(mirror.directory / "checkpoints") == contents(served.folder.directory / "checkpoints")


def test_a_cut_at_every_place_leaves_nothing_half(served):
    served.round(1)
    with road(served.server.port) as way:
        mirror, looks = served.mirror(way.port), 0
        way.most = 10_000
        while not (mirror.directory / "checkpoints" / "round-0001").exists():
            looks += 1
            way.most += 25_000
            try:
                mirror.look()
            except ControlError:
                assert not (mirror.directory / "checkpoints" / "round-0001").exists()
    assert looks > 3
    assert contents(mirror.directory / "checkpoints") == contents(served.folder.directory / "checkpoints")


@pytest.mark.parametrize("name", ["strategy.safetensors", "adapter_model.safetensors", "spec.json"])
def test_a_changed_byte_is_found(served, name):
    file = served.round(1) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    mirror = served.mirror()
    with pytest.raises(CheckpointError, match=rf"round-0001/{name} has the SHA-256 [0-9a-f]{{64}}, and"):
        mirror.look()
    assert names(mirror) == [".round-0001.mirrored"]
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    mirror.look()
    assert names(mirror) == ["round-0001"]


def test_a_byte_that_changes_in_the_half_that_lies_here_is_found(served):
    served.round(1)
    with road(served.server.port) as way:
        way.most = 300_000
        mirror = served.mirror(way.port)
        with pytest.raises(ControlError):
            mirror.look()
        half = mirror.directory / "checkpoints" / ".round-0001.mirrored" / "strategy.safetensors.part"
        half.write_bytes(b"x" + half.read_bytes()[1:])
        way.most = 2**40
        with pytest.raises(CheckpointError, match="was announced"):
            mirror.look()
        mirror.look()  # as a whole
    assert contents(mirror.directory / "checkpoints") == contents(served.folder.directory / "checkpoints")


def test_a_round_that_another_attempt_has_made_is_fetched_anew(served):
    served.round(1, seed=1)
    mirror = served.mirror()
    mirror.look()
    shutil.rmtree(served.folder.adapter)
    served.ledger.start_attempt(2, 2)
    served.ledger.discard_rounds(0, 2)
    served.round(1, seed=2, epoch=2)
    mirror.look()
    assert contents(mirror.directory / "checkpoints") == contents(served.folder.directory / "checkpoints")


def test_a_file_that_goes_while_it_is_fetched_hides_no_other_round(served):
    served.round(1)
    mirror = served.mirror()
    real, (gone, _) = mirror.look, (served.round(2), None)
    (gone / "strategy.safetensors").unlink()
    real()
    assert names(mirror) == ["round-0001"]


def test_who_is_refused_is_told_so(served, tmp_path):
    (tmp_path / "admin").mkdir()
    certificate, key = issue_admin_certificate(served.authority, tmp_path / "admin", name="ada")
    with pytest.raises(CredentialError, match=r"refuses this evaluator: .* certificate of: admin"):
        served.mirror(certificate=certificate, key=key).look()
    (tmp_path / "other").mkdir()
    other = create_authority(tmp_path / "other", federation="test").certificate_file
    with pytest.raises(CredentialError, match="is not this federation's"):
        served.mirror(ca_certificate=other).look()
    with pytest.raises(CredentialError, match="IP address mismatch"):
        served.mirror(source=f"127.0.0.1:{served.server.port}").look()
    with pytest.raises(CredentialError, match="cannot be used"):
        served.mirror(key=tmp_path / "none").follow()
    with pytest.raises(EvaluationError, match="there is no run missing"):
        served.mirror(run="missing").look()
    for wrong in ({"run": "../tweets"}, {"source": "localhost"}, {"every": 0}):
        with pytest.raises(ConfigurationError):
            served.mirror(**wrong)


def test_an_impostor_of_a_certificate_is_refused_by_the_server(served, tmp_path):
    impostor = Coordinator(tmp_path / "impostor", create_authority(_made(tmp_path / "ca2"), federation="test"),
                           served.server, served.folder, served.ledger)  # fmt: skip
    impostor.directory.mkdir()
    certificate, key = impostor.evaluator
    with pytest.raises(CredentialError, match=r"does not accept this evaluator's certificate: .*UNKNOWN_CA"):
        served.mirror(certificate=certificate, key=key).look()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_server_that_is_away_is_asked_again(served, caplog):
    mirror, pauses = served.mirror(port=9), []
    caplog.set_level("WARNING", "fedlora.mirror")

    class EnoughError(Exception):
        pass

    def pause(_seconds):
        pauses.append(1)
        if len(pauses) == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        mirror.follow(pause=pause)
    assert caplog.text.count("it is tried again") == 1  # said once


OFFER = {
    "run": "tweets",
    "state": "running",
    "ended": False,
    "checkpoints": [{"round": 1, "epoch": 1, "files": {"checkpoint.json": {"bytes": 1, "sha256": "0" * 64}}}],
}


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/etc/passwd", "..", ".", ".hidden", "", "a" * 129, "a\\b", "a\n", "a\0b", "ä"]
)
def test_no_answer_leads_out_of_the_folder(name):
    assert read_offer(json.dumps(OFFER).encode(), "x").checkpoints[0].name == "round-0001"
    bad = json.loads(json.dumps(OFFER))
    bad["checkpoints"][0]["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    with pytest.raises(CheckpointError, match="cannot name a file of a checkpoint"):
        read_offer(json.dumps(bad).encode(), "x")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{}", b'{"run": 3}', b"\xff", json.dumps(OFFER).replace("0000", "zzzz").encode()]
)
def test_an_answer_that_is_something_else_is_refused(content):
    with pytest.raises(CheckpointError, match="is no list of a run's checkpoints"):
        read_offer(content, "x")


def test_more_than_was_announced_is_not_taken(served, monkeypatch):
    served.round(1)
    mirror = served.mirror()
    honest = read_offer(mirror.look().to_json().encode(), "x").to_json()
    shutil.rmtree(mirror.directory)
    size = (served.folder.adapter / "strategy.safetensors").stat().st_size
    monkeypatch.setattr("evaluator.mirror._read", lambda *_: honest.replace(str(size), str(size - 1)).encode())
    with pytest.raises(CheckpointError, match=r"strategy\.safetensors is longer than was announced"):
        mirror.look()


def test_the_commands(served, tmp_path):
    pki = ["pki", "evaluator", str(tmp_path / "ca"), "--name", "gpu-server", "--to", str(tmp_path / "mine")]
    made = CliRunner().invoke(application, pki)
    assert made.exit_code == 0, made.exception
    assert made.stdout.endswith(f"whoever has {tmp_path}/mine/evaluator.key can read the checkpoints of all runs\n")
    served.round(1)
    served.end()
    words = ["checkpoint", "fetch", "tweets", "--source", f"localhost:{served.server.port}"]
    words += ["--ca-certificate", str(tmp_path / "ca" / "ca.crt"), "--evaluator", str(tmp_path / "mine")]
    done = CliRunner().invoke(application, [*words, "--runs", str(tmp_path / "there"), "--follow"])
    assert done.exit_code == 0, done.exception
    assert done.stdout == f"tweets is completed; the coordinator has the rounds 1; here: {tmp_path}/there/tweets\n"
    done = CliRunner().invoke(application, [*words, "--runs", str(tmp_path / "there"), "--format", "json"])
    assert json.loads(done.stdout)["ended"] is True
    wrong = CliRunner().invoke(application, [*words[:-1], str(tmp_path / "server")])
    assert isinstance(wrong.exception, CredentialError)
    assert "neither evaluator.crt nor evaluator.key; make a pair with: fedlora pki evaluator" in str(wrong.exception)
