"""A trainer hangs."""

from fedlora.drills.faults.fault import Fault

__all__ = ["Hang"]


class Hang(Fault):
    """SIGSTOP of the process that does the work, and of nothing else; to see it is the watchdog's trade."""

    @property
    def plan(self) -> str:
        """What it is going to do."""
        return f"stop the working process of {self.field.described(self.drill.part, self.site)}, and leave it to itself"

    def begin(self) -> None:
        """Stop it."""
        self.field.hang(self.site)
