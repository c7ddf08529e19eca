"""When the keeper gives a run up before it submits it; what it does with a SuperLink is in tests/integration."""

import logging
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fedlora import pki
from fedlora.errors import CredentialError, ParticipationError, RunError
from fedlora.heartbeat import Heartbeat
from superlink import keeper as keeper_module
from superlink.control import Control, Node
from superlink.keeper import Keeper, KeeperSettings
from superlink.presence import read_presence
from superlink.run_config import RunConfig
from superlink.runs import RunFolder, RunState, verdict
from tests.unit.superlink.test_run_config import VALUES


@pytest.fixture
def keeper(tmp_path):
    authority = pki.create_authority(pki.private_directory(tmp_path / "ca"), federation="test")
    return Keeper(KeeperSettings("127.0.0.1:1", authority.certificate_file, tmp_path / "runs"))


@pytest.fixture
def submitted(keeper):
    """Return a function that submits a run of the sites a and b with changes."""

    def call(**changes):
        folder = RunFolder(keeper.settings.runs, "r")
        folder.submit(replace(RunConfig.from_flower(VALUES), **changes))
        return folder

    return call


def registered(*names):
    return SimpleNamespace(
        nodes=lambda: dict.fromkeys(names, "online"), node_list=lambda: [node(name) for name in names]
    )


def node(name, status="online"):
    gone = "2026-01-03" if status == "unregistered" else None
    return Node(name, sum(name.encode()), status, "2026-01-02", None, None, gone, b"no key")


@pytest.mark.parametrize(
    ("epoch", "min_sites", "nodes", "given_up"),
    [
        (1, 1, ("a", "b", "c"), False),
        (1, 1, ("a",), True),  # a name that is mistyped, most likely
        (2, 1, ("a",), False),  # one has left meanwhile, and the rule does not need it
        (2, 2, ("a",), True),
        (2, 1, (), True),
    ],
)
def test_a_run_needs_its_sites_at_first_and_later_those_of_its_rule(
    keeper, submitted, epoch, min_sites, nodes, given_up
):
    folder = submitted(min_sites=min_sites)
    assert keeper._impossible(folder, registered(*nodes), epoch) is given_up
    assert verdict(folder).state is (RunState.FAILED if given_up else RunState.QUEUED)
    if given_up:
        assert verdict(folder).error is ParticipationError
        assert "are not registered at the SuperLink; registered are " in verdict(folder).reason
        folder.resume(epoch=0)
        assert verdict(folder).state is RunState.QUEUED


def test_a_run_belongs_to_the_federation_that_took_it_first(keeper, submitted, tmp_path):
    folder = submitted()
    assert not keeper._foreign(folder)
    other = pki.create_authority(pki.private_directory(tmp_path / "other"), federation="test")
    stranger = Keeper(replace(keeper.settings, ca_certificate=other.certificate_file))
    assert stranger._foreign(folder)
    assert verdict(folder).error is RunError
    assert "run r belongs to another federation" in verdict(folder).reason


class Looks(threading.Event):
    """Stops the keeper after some looks at the runs."""

    def __init__(self, looks):
        super().__init__()
        self.left = looks

    def wait(self, timeout=None):
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(("wanted", "healthy"), [(1, True), (10**18, False)])
def test_a_keeper_whose_disk_is_full_says_so_once_and_is_not_healthy(keeper, monkeypatch, caplog, wanted, healthy):
    keeper.settings.runs.mkdir()
    heartbeat = Heartbeat(keeper.settings.runs / "keeper.heartbeat")
    heartbeat.note()  # of a keeper before this one
    monkeypatch.setattr(keeper_module, "ROOM_BYTES", wanted)
    monkeypatch.setattr(logging.getLogger("fedlora"), "propagate", True)
    keeper_module._serve(keeper, registered(), Looks(3))
    assert heartbeat.healthy is healthy
    said = [message for message in caplog.messages if "RunError: the disk of" in message]
    assert len(said) == (0 if healthy else 1)


def test_who_is_admitted_and_turned_away_is_noted_once(keeper):
    nodes = [node("a"), node("b")]
    control = SimpleNamespace(node_list=lambda: nodes)

    def look(again):
        again._nodes_due = 0.0
        again.note_nodes(control)
        return [(entry.what, entry.about["site"]) for entry in keeper.settings.audit.entries()]

    keeper.settings.runs.mkdir()
    both = [("node.registered", "a"), ("node.registered", "b")]
    assert look(keeper) == look(keeper) == both
    assert look(Keeper(keeper.settings)) == both  # a keeper that was started anew
    nodes[0] = node("a", "unregistered")
    assert look(keeper) == look(Keeper(keeper.settings)) == [*both, ("node.unregistered", "a")]
    assert read_presence(keeper.settings.runs).keys() == {"b"}


def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(CredentialError, match=r"nowhere\.crt cannot be used: \[Errno 2\]"):
        Control("127.0.0.1:1", tmp_path / "nowhere.crt")
