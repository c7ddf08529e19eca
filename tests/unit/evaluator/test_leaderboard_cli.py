"""`fedlora leaderboard keygen|submit|verify|build|list`: from a run's folder and results to a site."""

import json
import shutil

import numpy as np
import pytest
from leaderboard_entries import BASE_SHA256, finance, make_adapter, make_results, spec
from typer.testing import CliRunner

from fedlora.adapters.checkpoint import file_sha256
from fedlora.cli.main import application
from fedlora.errors import AdapterError, ConfigurationError, CredentialError, EntryError
from fedlora.phases import Phase
from fedlora.recipes import recipe
from superlink.checkpoints import Checkpoints
from superlink.ledger import Ledger, TurnRow
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

QUICK = recipe("finance", "quick", rounds=2)
SITES = ["alpha-clinic", "beta-bank"]
MEBI = 2**20


def leaderboard(*arguments):
    environment = {"COLUMNS": "100", "TERM": "dumb"}
    return CliRunner().invoke(application, ["leaderboard", *map(str, arguments)], env=environment)


@pytest.fixture
def run(tmp_path):
    """A run of two aggregated rounds, in one of which a site had a GPU, with a checkpoint of the second."""
    folder = RunFolder(tmp_path / "runs", "tweets")
    values = {"domain": "finance", "rounds": 2, "seed": 5, "deadline": 60.0, "min_sites": 1, "join_timeout": 60.0}
    values |= {"recipe_sha256": QUICK.sha256, "fraction": 0.5, "upload_codec": "int8", "strategy": "fedavgm"}
    folder.submit(RunConfig(run="tweets", epoch=1, sites=",".join(SITES), **values), QUICK)
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 1)
    for number in (1, 2):
        ledger.start_round(number, 1, SITES)
        ledger.sent(number, 1, SITES, MEBI)
        for site in SITES:
            turn = TurnRow(number, 1, site, "answered", examples=16, bytes_up=MEBI // 4, phases={Phase.TRAIN: 2.5})
            ledger.end_turn(turn)
        ledger.end_round(number, 1, "aggregated")
    peak, resident = "fedlora_gpu_memory_peak_bytes", "fedlora_resident_memory_bytes"
    told = {f'{peak}{{gpu="0"}}': 300.0, f'{peak}{{gpu="1"}}': 50.0}
    told |= {f'{resident}{{part="trainer"}}': 900.0, f'{resident}{{part="supernode"}}': 9000.0}
    ledger.report(SITES[0], told, None)
    ledger.report(SITES[1], {f'{peak}{{gpu="0"}}': 320.0}, None)
    ledger.end_attempt(1, "completed")
    ledger.close()
    checkpoints = Checkpoints(folder.directory / "checkpoints")
    checkpoints.place(checkpoints.prepare(2, 1, np.ones(spec().size, np.float32), spec()), 2)
    return folder


@pytest.fixture
def results(run, tmp_path):
    sha256 = file_sha256(run.adapter / "adapter_model.safetensors")
    make_results(tmp_path / "scored", finance(), adapter_sha256=sha256)
    make_results(tmp_path / "base", finance(accuracy=0.3), seed=1)
    assert leaderboard("keygen", tmp_path / "keys").exit_code == 0
    return tmp_path


def submit(folder, *others, title="Tweets, FedAvgM"):
    return leaderboard(
        "submit", folder / "entries" / "tweets", "--results", folder / "scored", "--base-results", folder / "base",
        "--key", folder / "keys" / "submitter.key", "--title", title, "--submitter", "A Lab", *others
    )  # fmt: skip


@pytest.fixture
def entry(run, results):
    done = submit(results, "--run", "tweets", "--runs", run.runs, "--data", "FinGPT/fingpt-sentiment-train")
    assert done.exit_code == 0, done.exception
    path = results / "entries" / "tweets"
    assert done.stdout == f"entry in {path}: 18 files, 6 scores, signed; it was checked as others would\n"
    return path


def test_an_entry_tells_what_the_ledger_tells(entry):
    told = json.loads((entry / "manifest.json").read_bytes())
    figures = told["run"]
    assert 0 < figures.pop("seconds") < 60
    assert figures.pop("recipe")["learning-rate"] == QUICK.learning_rate
    assert figures == {
        "name": "tweets",
        "strategy": "fedavgm, server-learning-rate 1, server-momentum 0.9",
        "rounds": 2,
        "clients": 2,
        "fraction": 0.5,
        "seed": 5,
        "upload-codec": "int8",
        "broadcast-codec": "fp32",
        "payload-bytes": 5 * MEBI,
        "train-seconds": 10.0,
        "gpu-peak-bytes": 350,  # of the site whose GPUs have held most in all
        "resident-bytes": 900,
    }
    assert (told["domain"], told["data"]) == ("finance", ["FinGPT/fingpt-sentiment-train"])
    card = (entry / "adapter" / "README.md").read_text()
    assert "| sites | 2 |" in card
    assert not [site for site in SITES if site in card]


def test_verify_says_what_was_checked_and_what_is_wrong(entry, results):
    public = results / "keys" / "submitter.pub"
    done = leaderboard("verify", entry, "--key", public)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[1].endswith(", the one that was asked for")
    assert "checked    18 files, 240 answers, 6 scores" in lines
    assert "rule       clients: broken; here 2 clients, allowed 50 clients" in lines
    assert lines[-1] == "it holds"
    assert "named by the entry itself" in leaderboard("verify", entry).stdout
    document = json.loads(leaderboard("verify", entry, "--key", public, "--format", "json").stdout)
    assert (document["holds"], document["vouched"], document["problems"]) == (True, True, [])
    assert {one["rule"]: one["outcome"] for one in document["rules"]}["training data"] == "kept"
    file = entry / "base" / "fpb" / "flowertune" / "answers.jsonl"
    file.write_bytes(file.read_bytes().replace(b"neutral", b"Neutral", 1))
    done = leaderboard("verify", entry, "--key", public)
    assert isinstance(done.exception, EntryError)
    assert done.exception.exit_code == 71
    problem = "base/fpb/flowertune/answers.jsonl: is not what was signed: its SHA-256 differs"
    assert done.stdout.splitlines()[-1] == f"problem    {problem}"
    document = json.loads(leaderboard("verify", entry, "--format", "json").stdout)
    assert document["problems"] == [dict(zip(("file", "problem"), problem.split(": ", 1), strict=True))]
    assert (document["holds"], document["vouched"]) == (False, False)


def test_verify_of_what_is_no_entry(tmp_path):
    done = leaderboard("verify", tmp_path, "--format", "json")
    assert isinstance(done.exception, EntryError)
    document = json.loads(done.stdout)
    assert (document["holds"], document["id"], document["rules"]) == (False, None, [])
    assert isinstance(leaderboard("verify", tmp_path / "nowhere").exception, EntryError)


def test_build_and_list(entry, results):
    done = leaderboard("build", results / "entries", "--out", results / "site")
    assert done.stdout == f"1 entry on 8 pages; open {results / 'site' / 'index.html'}\n"
    assert "Tweets, FedAvgM" in (results / "site" / "finance.html").read_text()
    document = json.loads(leaderboard("list", results / "entries", "--format", "json").stdout)
    (one,) = document
    assert (one["title"], one["mib"], one["memory_mib"], one["breaches"]) == ("Tweets, FedAvgM", 5.0, 350 / MEBI, 2)
    (score,) = one["scores"]
    assert (score["domain"], score["scoring"], score["adapted"]["n"]) == ("finance", "flowertune", 120)
    lines = leaderboard("list", entry).stdout.splitlines()
    assert lines[0].split() == ["entry", "title", "domain", "scoring", "score", "base", "n", "MiB", "breaches"]
    value, base = (f"{100 * score[model]['value']:.2f}" for model in ("adapted", "base"))
    assert lines[1].split() == [
        one["id"],
        "Tweets,",
        "FedAvgM",
        "finance",
        "flowertune",
        value,
        base,
        "120",
        "5.0",
        "2",
    ]


def test_an_entry_that_does_not_hold_is_on_no_site(entry, results):
    (entry / "more").touch()
    for command in (("build", entry, "--out", results / "site"), ("list", entry)):
        done = leaderboard(*command)
        assert isinstance(done.exception, EntryError)
        assert "more: is not in the manifest" in str(done.exception)
    assert not (results / "site").exists()


def test_an_adapter_of_no_run(results, run, tmp_path):
    adapter = make_adapter(tmp_path / "elsewhere")
    (adapter / "checkpoint.json").unlink()
    (adapter / "spec.json").unlink()
    done = submit(results, "--adapter", adapter)
    assert isinstance(done.exception, ConfigurationError)
    assert "--domain is missing" in str(done.exception)
    done = submit(results, "--adapter", adapter, "--domain", "finance")
    assert done.exit_code == 0, done.exception
    told = json.loads((results / "entries" / "tweets" / "manifest.json").read_bytes())
    assert "run" not in told
    assert told["adapter"]["recipe"] == ""
    assert told["evaluations"]["base"]["base-model-sha256"] == BASE_SHA256


def test_a_run_or_an_adapter(results, run):
    for others in ((), ("--run", "tweets", "--adapter", run.adapter)):
        assert "--run NAME, or --adapter DIR" in str(submit(results, *others).exception)


def test_a_damaged_checkpoint_is_not_submitted(results, run):
    (run.adapter / "adapter_config.json").write_bytes((run.adapter / "adapter_config.json").read_bytes() + b" ")
    assert isinstance(submit(results, "--run", "tweets", "--runs", run.runs).exception, AdapterError)
    assert not (results / "entries" / "tweets").exists()


def test_a_key_is_made_once(tmp_path):
    done = leaderboard("keygen", tmp_path / "keys")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()[-1].strip()) == 64
    before = (tmp_path / "keys" / "submitter.key").read_bytes()
    assert isinstance(leaderboard("keygen", tmp_path / "keys").exception, CredentialError)
    assert (tmp_path / "keys" / "submitter.key").read_bytes() == before


def test_an_entry_can_be_moved(entry, tmp_path):
    shutil.move(entry, tmp_path / "moved")
    assert leaderboard("verify", tmp_path / "moved").exit_code == 0
