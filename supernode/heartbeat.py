"""When a node last reached its SuperLink: what tells, from outside its process, whether it is healthy."""

from pathlib import Path

from fedlora.heartbeat import Heartbeat

__all__ = ["LAST_CALL", "node_heartbeat"]

LAST_CALL = "last-fleet-call"


def node_heartbeat(state: Path) -> Heartbeat:
    """Return the heartbeat of the node with this state folder: a beat is a Fleet call that succeeded."""
    return Heartbeat(state / LAST_CALL)
