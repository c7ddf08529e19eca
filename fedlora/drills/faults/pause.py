"""A part stands still: it lives, its connections stay, and nothing comes of it."""

from fedlora.drills.faults.fault import Fault

__all__ = ["Pause"]


class Pause(Fault):
    """SIGSTOP, or the engine's freezer."""

    @property
    def plan(self) -> str:
        """What it is going to do."""
        until = "until its round is over" if self.drill.late else f"for {self.drill.seconds:.0f} s"
        return f"stop {self.field.described(self.drill.part, self.site)} in its tracks {until}, then let it go on"

    def begin(self) -> None:
        """Stop it."""
        self.field.pause(self.drill.part, self.site)

    def end(self) -> None:
        """Let it go on."""
        self.field.resume(self.drill.part, self.site)
