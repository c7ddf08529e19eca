"""A part is killed."""

from fedlora.drills.faults.fault import Fault

__all__ = ["Kill"]


class Kill(Fault):
    """SIGKILL, as the kernel sends it where memory is short; whoever supervises the part starts it again."""

    @property
    def plan(self) -> str:
        """What it is going to do."""
        return f"kill -9 of {self.field.described(self.drill.part, self.site)}, in the middle of a round"

    def begin(self) -> None:
        """Kill."""
        self.field.kill(self.drill.part, self.site, self.run)
