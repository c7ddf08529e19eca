"""Drills: faults that are brought about on purpose in a federation that runs, to see what a run makes of them.

What there is, is data (`DRILLS`). A kind of fault is a class in `fedlora.drills.faults`; what it is brought about in is
a `Field`, which knows how to lay hands on the parts.
"""

from fedlora.drills.drill import Drill
from fedlora.drills.field import Field, LinkControl
from fedlora.drills.registry import DRILLS, drill_named

__all__ = ["DRILLS", "Drill", "Field", "LinkControl", "drill_named"]
