"""`fedlora run ...` on ledgers that were written as a ServerApp writes them; with a keeper, see tests/integration."""

import json
import re

import pytest

from fedlora.errors import BudgetError, ConfigurationError, RunError
from fedlora.metrics.sample import Sample, write_samples
from superlink.ledger import Ledger, TurnRow
from superlink.runs import RunState, verdict

SUBMIT = ("submit", "tweets", "--set", "run.budget=1.5")


def write(folder, outcome="running", reason=""):
    """Write one attempt: round 1 aggregated from both sites, round 2 under way; then end it with `outcome`."""
    ledger = Ledger(folder.ledger)
    ledger.start_submission(1)
    ledger.end_submission(1, 77)
    ledger.start_attempt(1, 77)
    ledger.start_round(1, 1, ["a", "b"])
    ledger.sent(1, 1, ["a", "b"], 2**20)
    phases = {"train": 9.0, "transfer": 1.0}
    figures = {"padded_tokens": 400.0}
    done = {
        "figures": figures,
        "loss": 0.5,
        "round_trip_seconds": 10.0,
        "tokens": 320,
        "bytes_up": 2**20,
        "phases": phases,
    }
    ledger.end_turn(TurnRow(1, 1, "a", "answered", examples=16, **done))
    ledger.end_turn(TurnRow(1, 1, "b", "refused", reason="update refused: too large [/]"))
    ledger.note_findings(1, 1, {"a": {"update_norm": 1.234, "cosine_score": -7.25}, "b": {"update_norm": 900.0}})
    ledger.end_round(1, 1, "aggregated", {"encode": 0.125, "wait": 10.0, "aggregate": 0.25, "checkpoint": 1.5})
    ledger.start_round(2, 1, ["a", "b"])
    ledger.sent(2, 1, ["a", "b"], 2**20)
    if outcome != "running":
        ledger.end_attempt(1, outcome, reason)
    ledger.close()


def test_submit_writes_the_run_down_once(run, folder):
    result = run(*SUBMIT)
    expected = "run tweets is submitted: 2 sites, 2 rounds. Follow it with: fedlora run watch tweets\n"
    assert (result.exit_code, result.stdout) == (0, expected)
    config = folder.config(epoch=3)
    assert (config.run, config.epoch, config.site_names, config.budget_bytes) == ("tweets", 3, ("a", "b"), 1_500_000)
    assert verdict(folder).state is RunState.QUEUED
    again = run(*SUBMIT)
    assert isinstance(again.exception, RunError)
    assert "run tweets exists in" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (("submit", "Tweets!"), RunError, "'Tweets!' is no name: 1 to 64 of a-z, 0-9 and -"),
        (
            ("submit", "x", "--set", "run.min-sites=3"),
            ConfigurationError,
            "command line: run.min-sites: 3 is more than the 2 site(s) of finance",
        ),
        (("show", "none"), RunError, "there is no run none in"),
        (("stop", "none", "--yes"), RunError, "there is no run none in"),
        (("resume", "none"), RunError, "there is no run none in"),
        (("watch", "none"), RunError, "there is no run none in"),
        (("log", "none"), RunError, "there is no run none in"),
    ],
)
def test_what_cannot_be_done_is_named(run, tmp_path, arguments, error, reason):
    result = run(*arguments)
    assert isinstance(result.exception, error)
    assert reason in str(result.exception)
    assert not (tmp_path / "x").exists()


def test_list_in_both_formats(run, folder):
    assert json.loads(run("list", "--format", "json").stdout) == []
    run(*SUBMIT)
    write(folder)
    (listed,) = json.loads(run("list", "--format", "json").stdout)
    assert listed.pop("submitted_at") > 1.7e9
    assert listed == {
        "name": "tweets",
        "state": "running",
        "reason": "",
        "domain": "finance",
        "sites": ["a", "b"],
        "rounds_done": 1,
        "rounds": 2,
        "epoch": 1,
        "payload_bytes": 5 * 2**20,
        "budget_bytes": 1_500_000,
    }
    line = next(line for line in run("list").stdout.splitlines() if "tweets" in line)
    assert line.split("\u2502")[1:-1] == [
        *(" tweets ", " running ", " 1 of 2 ", " 1       ", " 5.0         ", " finance ", " a, b  ")
    ]


def test_show_has_attempts_turns_and_refusals(run, folder):
    run(*SUBMIT)
    write(folder)
    text = run("show", "tweets").stdout
    assert "run tweets: running, 1 of 2 rounds" in text
    assert "refused: update refused: too large [/]" in text  # not an order to rich
    assert "asked" in text
    assert re.search(r"1 +a +1\.23 +-7\.25 +cosine *\n", text)
    assert re.search(r"b +900 +refused *\n", text)
    (first, second) = [line.split("\u2502")[1:-1] for line in text.splitlines() if line.startswith("\u2502 ")][1:]
    assert [cell.strip() for cell in (*first[:3], *first[4:])] == [
        "1",
        "1",
        "aggregated",
        "0.12",
        "10.00",
        "0.25",
        "1.50",
    ]
    assert [cell.strip() for cell in second] == ["2", "1", "training", *[""] * 5]
    document = json.loads(run("show", "tweets", "--format", "json").stdout)
    assert [row["outcome"] for row in document["turns"]] == ["answered", "refused", "asked", "asked"]
    assert [row["state"] for row in document["rounds_of_attempts"]] == ["aggregated", "training"]
    assert document["attempts"][0]["flower_run"] == 77
    assert [row["phases"] for row in document["turns"]] == [{"train": 9.0, "transfer": 1.0}, {}, {}, {}]
    by_phase = {"encode": 0.125, "wait": 10.0, "aggregate": 0.25, "checkpoint": 1.5}
    assert [row["phases"] for row in document["rounds_of_attempts"]] == [by_phase, {}]


COST = """\
cost
             down    up  wire  wire  train  in all          tokens  pad-
              MiB   MiB  down    up      s       s  tokens      /s  ding
 ────────────────────────────────────────────────────────────────────────
 a           2.00  1.00  2.50  1.25   9.00    10.0     320      36  20 %
 b           2.00  0.00  0.50  0.25      -       -       -       -     -
 all         4.00  1.00  3.00  1.50   9.00    10.0     320      36  20 %
 each round  4.00  1.00  3.00  1.50   9.00    10.0     320      36  20 %
 each point  0.16  0.04  0.12  0.06   0.36    0.40      13      36  20 %
payload used: 5.00 MiB, 62.5% of the 8.00 MiB forecast for the whole run
Flower itself has counted so far, with envelopes: 3.00 MiB down, 2.00 MiB up
score: +25.0 points against the base model
"""


def test_show_has_the_cost(run, folder):
    run(*SUBMIT)
    write(folder)
    ledger = Ledger(folder.ledger)
    for site, mebi in (("a", 2.5), ("b", 0.5)):
        wire = {"down": mebi * 2**20, "up": mebi * 2**19}
        told = [Sample("fedlora_wire_bytes_total", wire[way], {"run": "tweets", "direction": way}) for way in wire]
        ledger.report(site, write_samples(told), None)
    ledger.forecast(1, 8 * 2**20)
    ledger.note_traffic(1, 3 * 2**20, 2 * 2**20, final=False)
    ledger.close()
    score = {"measure": "label accuracy", "n": 40, "unit": "records", "records": 40, "low": 0.0, "high": 1.0}
    folder.scores.write_text(json.dumps({"base": {**score, "accuracy": 0.5}, "adapted": {**score, "accuracy": 0.75}}))
    text = run("show", "tweets").stdout
    shown = [line.rstrip() for line in text[text.index("\ncost ") + 1 :].splitlines() if line.strip()]
    assert shown == COST.splitlines()
    cost = json.loads(run("show", "tweets", "--format", "json").stdout)["cost"]
    assert list(cost["sites"]) == ["a", "b"]
    assert cost["all"] == {
        "payload_bytes_down": 4 * 2**20,
        "payload_bytes_up": 2**20,
        "wire_bytes_down": 3.0 * 2**20,
        "wire_bytes_up": 1.5 * 2**20,
        "train_seconds": 9.0,
        "turn_seconds": 10.0,
        "tokens": 320,
        "tokens_per_second": 320 / 9,
        "padding_ratio": pytest.approx(0.2),
        "gpu_seconds": None,
        "gpu_joules": None,
    }
    assert (cost["points"], cost["each_point"]["tokens"], cost["forecast_bytes"]) == (25.0, 12.8, 8 * 2**20)
    assert (cost["flower_bytes_down"], cost["flower_final"]) == (3 * 2**20, False)


def test_show_has_the_epsilon_that_sites_tell_of_this_run(run, folder):
    run(*SUBMIT)
    write(folder)
    assert json.loads(run("show", "tweets", "--format", "json").stdout)["privacy"] == {}
    ledger = Ledger(folder.ledger)
    told = [
        Sample("fedlora_run_epsilon", 1.25, {"run": "tweets"}),
        Sample("fedlora_run_epsilon", 7.0, {"run": "another"}),
        Sample("fedlora_site_epsilon", 7.5),
        Sample("fedlora_site_epsilon_limit", 8.0),
    ]
    ledger.report("a", write_samples(told), None)
    ledger.report("b", write_samples(told[2:3]), None)
    ledger.close()
    text = run("show", "tweets").stdout
    assert "epsilon of a: in this run 1.250, in all 7.500, its limit 8; by its own word\n" in text
    assert "epsilon of b: in all 7.500, no limit; by its own word\n" in text
    assert json.loads(run("show", "tweets", "--format", "json").stdout)["privacy"] == {
        "a": {"run_epsilon": 1.25, "site_epsilon": 7.5, "limit": 8.0},
        "b": {"run_epsilon": None, "site_epsilon": 7.5, "limit": None},
    }


def test_energy_is_shown_where_a_site_has_told_it(run, folder):
    run(*SUBMIT)
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 77)
    ledger.start_round(1, 1, ["a", "b"])
    ledger.end_turn(TurnRow(1, 1, "a", "answered", figures={"gpu_seconds": 9.0, "gpu_joules": 1500.0}))
    ledger.close()
    text = run("show", "tweets").stdout
    rows = {line.split()[0]: line.split()[-2:] for line in text.partition("\ncost ")[2].splitlines() if line.strip()}
    assert [rows[name] for name in ("MiB", "a", "b", "all")] == [
        ["s", "kJ"],
        ["9.00", "1.50"],
        ["-", "-"],
        ["9.00", "1.50"],
    ]


def test_a_run_with_damaged_scores_is_shown_without(run, folder):
    run(*SUBMIT)
    write(folder)
    folder.scores.touch()
    result = run("show", "tweets", "--format", "json")
    assert json.loads(result.stdout)["cost"]["points"] is None
    assert result.stderr.startswith(f"cost without score: the scores {folder.scores} cannot be read")


def test_show_of_a_run_that_has_not_begun(run):
    run(*SUBMIT)
    assert "run tweets: queued, 0 of 2 rounds" in run("show", "tweets").stdout


def test_watch_says_each_thing_once_and_ends_with_the_runs_error(run, folder):
    run(*SUBMIT)
    write(folder, "failed", "BudgetError: the run ends before round 2")
    result = run("watch", "tweets")
    assert result.stdout.splitlines() == [
        "attempt 1: begun",
        "attempt 1: failed, BudgetError: the run ends before round 2",
        "round 1 of 2, a: answered, loss 0.500 in 9 s",
        "round 1 of 2, b: refused, update refused: too large [/]",
        "run tweets: failed, 1 of 2 rounds, 5.0 MiB of payload",
    ]
    assert isinstance(result.exception, BudgetError)
    assert result.exception.exit_code == 65


def test_watch_of_a_completed_run_exits_0(run, folder):
    run(*SUBMIT)
    write(folder, "completed")
    result = run("watch", "tweets")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        0,
        "run tweets: completed, 1 of 2 rounds, 5.0 MiB of payload",
    )


def test_stop_asks_and_resume_takes_it_back(run, folder):
    run(*SUBMIT)
    assert run("stop", "tweets", input="n\n").exit_code == 1
    assert not folder.stop_wanted
    assert run("stop", "tweets", "--yes").stdout == "run tweets stops after its last aggregated round\n"
    assert verdict(folder).state is RunState.STOPPED
    assert run("stop", "tweets", "--yes").stdout == "run tweets has ended already: stopped\n"
    assert "goes on after round 0" in run("resume", "tweets").stdout
    assert verdict(folder).state is RunState.QUEUED


def test_only_what_has_ended_badly_can_be_resumed(run, folder):
    run(*SUBMIT)
    write(folder, "completed")
    assert "is completed; only a stopped or failed run can be resumed" in str(run("resume", "tweets").exception)


def test_a_run_that_failed_by_rule_is_resumed_past_its_verdict(run, folder):
    run(*SUBMIT)
    write(folder, "failed", "ParticipationError: too few")
    assert (verdict(folder).state, verdict(folder).reason) == (RunState.FAILED, "too few")
    run("resume", "tweets")
    assert verdict(folder).state is RunState.RUNNING


def test_an_accident_is_not_a_verdict(run, folder):
    run(*SUBMIT)
    write(folder, "failed", "CheckpointError: the disk is full")
    assert verdict(folder).state is RunState.RUNNING
    folder.give_up("5 attempts in a row gained no round")
    assert (verdict(folder).state, verdict(folder).reason) == (RunState.FAILED, "5 attempts in a row gained no round")
