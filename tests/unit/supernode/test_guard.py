import hashlib
from types import SimpleNamespace

from supernode.guard import Guard

CONTENT = b"an app"
HASH = hashlib.sha256(CONTENT).hexdigest()


def fab(content=CONTENT, announced=None):
    return SimpleNamespace(content=content, hash_str=announced or hashlib.sha256(content).hexdigest())


def run(fab_hash=HASH, kind="flwr-serverapp"):
    return SimpleNamespace(fab_hash=fab_hash, primary_task_type=kind)


def test_an_app_on_the_list_may_run():
    assert Guard(frozenset({HASH})).objection(run(), fab()) is None


def test_an_app_that_is_not_on_the_list_may_not():
    objection = Guard(frozenset({"f" * 64})).objection(run(), fab())
    assert objection == f"app {HASH[:12]} is not on this site's list: {'f' * 12}"


def test_a_content_that_is_not_what_was_announced_may_not_run():
    guard = Guard(frozenset({HASH}))
    other = hashlib.sha256(b"other").hexdigest()
    expected = f"the app's content {other[:12]} is not what the run announced, {HASH[:12]}"
    assert guard.objection(run(), fab(b"other")) == expected
    assert guard.objection(run(), fab(b"other", announced=HASH)) == expected


def test_a_listed_hash_that_the_run_did_not_announce_may_not_run():
    assert "is not what the run announced" in Guard(frozenset({HASH})).objection(run(fab_hash="0" * 64), fab())


def test_a_run_of_another_kind_may_not():
    objection = Guard(frozenset({HASH})).objection(run(kind="flwr-agentapp"), fab())
    assert objection == "the run's primary task is 'flwr-agentapp'; this site serves ServerApps alone"
