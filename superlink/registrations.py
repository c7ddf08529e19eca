"""Who is admitted to the SuperLink, as the audit log has it: the keeper looks, so it is noted whoever asked for it."""

from collections.abc import Sequence

from fedlora.audit import Audit, Event
from fedlora.pki.node_keys import public_key_sha256
from superlink.control import Node

__all__ = ["Registrations"]


class Registrations:
    """Notes nodes that were registered or unregistered since the last look, whoever did it.

    Parameters
    ----------
    audit : Audit
        The coordinator's log; what stands there is known already.
    """

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        self._known: dict[str, Event] | None = None  # by the node's id, what was noted of it last

    def note(self, nodes: Sequence[Node]) -> None:
        """Note what has changed.

        Raises
        ------
        AuditError
            If the log cannot be read, or the disk does not take a line; the next look tries again.
        """
        if self._known is None:
            events = (Event.NODE_REGISTERED, Event.NODE_UNREGISTERED)
            self._known = {
                str(entry.about["id"]): Event(entry.what) for entry in self.audit.entries() if entry.what in events
            }
        for node in nodes:
            self._note(node, self._known)

    def _note(self, node: Node, known: dict[str, Event]) -> None:
        now = Event.NODE_REGISTERED if node.registered else Event.NODE_UNREGISTERED
        if known.get(str(node.id)) is now:
            return
        at = node.registered_at if node.registered else node.unregistered_at
        key = public_key_sha256(node.public_key) or "unknown"
        self.audit.note(now, site=node.name, id=str(node.id), key_sha256=key, since=at or "")
        known[str(node.id)] = now
