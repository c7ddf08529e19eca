"""What a program says to the supervisor, and is told: the proof that its tests have run to their end."""

import secrets
from collections import deque
from collections.abc import Sequence

__all__ = ["Conversation"]

LONGEST_LINE = 64  # bytes


class Conversation:
    """One program's lines, which must come in their order.

    Parameters
    ----------
    says : sequence of str
        The lines before the token.
    tests : str
        What it is told for ``tests``.
    """

    def __init__(self, says: Sequence[str], tests: str) -> None:
        content = tests.encode("utf-8", "replace")
        token = secrets.token_hex(16)
        self.expected = deque([*says, token])
        self.answers = {"length": b"%08d" % len(content), "tests": content, "token": token.encode()}
        self.said: list[str] = []
        self.to_send = b""
        self.broken = False
        self._unread = b""

    @property
    def started(self) -> bool:
        """Whether the program has begun."""
        return "started" in self.said

    @property
    def proven(self) -> bool:
        """Whether all was said, the token last."""
        return not self.expected and not self.broken

    def take(self, data: bytes) -> None:
        """Read what has come; anything out of its order breaks the conversation for good."""
        self._unread += data
        while b"\n" in self._unread and not self.broken:
            line, _, self._unread = self._unread.partition(b"\n")
            if not self.expected or line != self.expected[0].encode():
                self.broken = True
                return
            self.said.append(self.expected.popleft())
            self.to_send += self.answers.get(self.said[-1], b"")
        self.broken = self.broken or len(self._unread) > LONGEST_LINE
