import pytest

from fedlora.errors import PolicyError, TrainerError
from supernode.trainer.journal import Journal, Opening, Turn

OPENING = Opening("r" * 64, "int8", "fp32")


def turn(epoch=1, round_number=1, adapter="a"):
    return Turn("run", epoch, round_number, adapter)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal")
    made.open_epoch("run", 1, OPENING)
    return made


def test_a_new_round_is_trained_and_the_same_call_again_is_answered_as_before(journal):
    assert journal.answer_before(turn()) is None
    journal.record(turn(), b"update")
    assert journal.answer_before(turn()) == b"update"
    assert Journal(journal.directory).answer_before(turn()) == b"update"  # also after a restart


def test_an_open_epoch_is_still_open_after_a_restart(journal):
    journal.record(turn(), b"update")
    assert Journal(journal.directory).opening("run") == OPENING
    with pytest.raises(PolicyError, match="run other is not open at this trainer; it must be configured first"):
        journal.opening("other")


def test_a_round_had_its_turn_once(journal):
    journal.record(turn(round_number=2), b"update")
    with pytest.raises(
        PolicyError, match="round 1 of epoch 1 of run run had its turn; the last was round 2 of epoch 1"
    ):
        journal.answer_before(turn(round_number=1))
    with pytest.raises(PolicyError, match="had its turn"):
        journal.answer_before(turn(round_number=2, adapter="another"))
    assert journal.answer_before(turn(round_number=3)) is None


def test_an_older_epoch_is_over(journal):
    journal.open_epoch("run", 3, OPENING)
    with pytest.raises(PolicyError, match="epoch 2 of run run is over: epoch 3 has begun"):
        journal.open_epoch("run", 2, OPENING)
    with pytest.raises(PolicyError, match="epoch 1 of run run is not open; open is 3"):
        journal.answer_before(turn(epoch=1))
    journal.open_epoch("run", 3, OPENING)  # the same coordinator may ask twice


def test_a_newer_epoch_may_repeat_a_round(journal):
    journal.record(turn(round_number=5), b"update")
    journal.open_epoch("run", 2, OPENING)
    assert journal.answer_before(turn(epoch=2, round_number=4)) is None


def test_an_epoch_that_was_never_opened_is_refused(tmp_path):
    with pytest.raises(PolicyError, match="epoch 1 of run run is not open; open is none"):
        Journal(tmp_path).answer_before(turn())


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a\0b", "r\u00fcn"])
def test_a_name_from_the_network_is_never_a_path(tmp_path, name):
    journal = Journal(tmp_path / "journal")
    journal.open_epoch(name, 1, OPENING)
    journal.record(Turn(name, 1, 1, "a"), b"x")
    assert {file.parent for file in tmp_path.rglob("*") if file.is_file()} == {tmp_path / "journal"}


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_is_too_long_or_empty_is_refused(tmp_path, name):
    with pytest.raises(PolicyError, match="a run's name has 1 to 64 characters"):
        Journal(tmp_path).open_epoch(name, 1, OPENING)


def test_what_is_carried_on_stays_for_two_rounds_each_kind_for_itself(journal):
    """Of the round that may count, and of the one that it went on from."""
    assert journal.carried("residue", "run", 0) is None
    journal.carry("residue", "run", 1, b"after 1", after=0)
    journal.carry("moments", "run", 1, b"moments", after=0)
    journal.carry("residue", "run", 2, b"after 2, which was lost", after=1)
    journal.carry("residue", "run", 3, b"after 3", after=1)
    kept = Journal(journal.directory)  # also after a restart
    assert [kept.carried("residue", "run", number) for number in range(4)] == [None, b"after 1", None, b"after 3"]
    assert kept.carried("moments", "run", 1) == b"moments"
    assert kept.carried("residue", "other", 1) is None


def test_a_damaged_journal_is_said_and_not_forgotten(journal):
    next(journal.directory.glob("*.json")).write_text("{")
    with pytest.raises(TrainerError, match="the journal of run run is damaged"):
        journal.answer_before(turn())
