"""`fedlora node pause|resume|leave` at a site, as the coordinator sees it; and recipes that a site does not allow."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlora import pki
from fedlora.cli.main import application
from fedlora.domains import domain
from fedlora.language_model import BaseModel
from supernode.withdrawal import FILE
from tests.integration.conftest import supernode, write_node_settings
from tests.integration.test_participation import HELD, a_run, outcomes, wait_until

ANSWERED = ("answered", "")


def node(command: str, site: Path, *options: str) -> str:
    result = CliRunner().invoke(application, ["node", command, str(site), *options])
    assert result.exit_code == 0, result.exception
    return result.stdout


@pytest.fixture
def withdrawing(running):
    """Two sites, the second of which may be withdrawn; it is back, with its key, when the test ends."""
    key = running.site("site-2") / "node.key"
    before = key.read_bytes()
    yield running
    (running.site("site-2") / "supernode" / FILE).unlink(missing_ok=True)
    if not key.exists():
        pki.write_private(key, before)


def has_answered(number: int, site: str):
    return lambda turns: any((turn.round, turn.site, turn.outcome) == (number, site, "answered") for turn in turns)


def in_round(number: int):
    return lambda turns: turns[-1].round == number


def test_a_site_pauses_comes_back_and_leaves_while_a_run_goes_on(withdrawing):
    site = withdrawing.site("site-2")
    for name in withdrawing.sites:
        withdrawing.behave(name, seconds=HELD)
    with a_run(withdrawing, rounds=4, deadline=200.0):
        wait_until(withdrawing, lambda turns: turns[1].tries == 1)
        # It finishes what it has begun.
        withdrawing.wait_for_log("site-2-trainer", f"run {withdrawing.run}: round 1 has begun", seconds=90)
        node("pause", site, "--reason", "backup")
        withdrawing.behave("site-2")
        wait_until(withdrawing, has_answered(1, "site-2"))
        withdrawing.behave("site-1", seconds=HELD, from_round=2)
        wait_until(withdrawing, in_round(2))
        wait_until(withdrawing, lambda turns: turns[-1].outcome == "refused")
        node("resume", site)
        withdrawing.behave("site-1", seconds=HELD, from_round=3)
        wait_until(withdrawing, has_answered(3, "site-2"))
        node("leave", site, "--reason", "consent has ended", "--yes")
        assert withdrawing.status("site-2") == "online"  # and says why
        withdrawing.behave("site-1")
    assert outcomes(withdrawing, "site-1") == [ANSWERED] * 4
    paused = ("refused", "site-2 is paused by its owner: backup")
    assert outcomes(withdrawing, "site-2") == [
        ANSWERED,
        paused,
        ANSWERED,
        ("refused", "site-2 has left: consent has ended"),
    ]
    assert not (site / "node.key").exists()


def test_a_run_begins_without_a_paused_site_which_joins_once_it_is_resumed(withdrawing):
    site = withdrawing.site("site-2")
    node("pause", site, "--reason", "maintenance")
    withdrawing.behave("site-1", seconds=HELD)
    started = time.monotonic()
    with a_run(withdrawing, rounds=2, join_timeout=HELD, deadline=HELD):
        wait_until(withdrawing, lambda turns: turns[0].tries == 1, seconds=60)  # it was not waited for
        node("resume", site)
        withdrawing.behave("site-1")
    assert time.monotonic() - started < 120
    assert outcomes(withdrawing, "site-1") == [ANSWERED] * 2
    refused = ("refused", "not admitted: site-2 is paused by its owner: maintenance")
    assert outcomes(withdrawing, "site-2") == [refused, ANSWERED]


def test_a_run_that_needs_a_paused_site_fails_by_name(withdrawing):
    node("pause", withdrawing.site("site-2"), "--reason", "maintenance")
    attempt = withdrawing.finish(withdrawing.config(min_sites=2))
    assert (
        "ParticipationError: before round 1, site site-2: site-2 is paused by its owner: maintenance. Without them a "
        "round would not count: it has 1 update(s), the rule asks for 2" in attempt.details
    )


def test_a_mark_that_cannot_be_read_is_no_consent(withdrawing):
    (withdrawing.site("site-2") / "supernode" / FILE).write_text("{")
    assert withdrawing.finish(withdrawing.config(rounds=1)).outcome == "completed"
    refused = "not admitted: whether this site is paused cannot be read; see its log"
    assert outcomes(withdrawing, "site-2") == [("refused", refused)]


def test_a_site_that_has_left_cannot_be_started(running, tmp_path):
    folder = pki.private_directory(tmp_path / "gone")
    pki.create_node_key(folder / "node.key")
    settings = write_node_settings(running, folder)
    node("leave", folder, "--reason", "over", "--yes")
    with supernode(settings) as part:
        assert part.process.wait(60) == 43
        assert "WithdrawalError: gone has left: over (since " in part.log.read_text()


def test_a_recipe_that_a_site_does_not_allow_is_refused_by_name(running, tiny_model):
    """The real trainer in the place of a stub: its list has one recipe, and the run is of another."""
    sample, allowed = domain("finance").sample("train"), running.federation.run_recipe
    (running.site("site-2") / "shard.jsonl").write_bytes(sample.read_bytes())
    running.end_part("site-2-trainer")
    try:
        running.start_trainer("site-2", BaseModel("tiny", tiny_model))
        attempt = running.finish(running.config())
    finally:
        running.end_part("site-2-trainer")
        running.start_stub("site-2")
    refused = (
        f"site-2: PolicyError: recipe {'r' * 12} is not on this site's list: finance/quick ({allowed.sha256[:12]})"
    )
    assert f"ParticipationError: before round 1, site {refused}" in attempt.details
