"""Drills: faults that are brought about on purpose in a federation that runs, to see what a run makes of them.

What there is, is data (`DRILLS`). A kind of fault is a class in `fedlora.drills.faults`; what it is brought about in,
processes or containers, is a `Field`, which knows how to lay hands on the parts.
"""

from fedlora.drills.drill import Drill, Place
from fedlora.drills.field import Checkpoints, Field, LinkControl
from fedlora.drills.registry import DRILLS, drill_named

__all__ = ["DRILLS", "Checkpoints", "Drill", "Field", "LinkControl", "Place", "drill_named"]
