"""Drills: faults that are brought about on purpose in a federation that runs, to see what a run makes of them.

What there is, is data (`DRILLS`). A kind of fault is a class in `fedlora.drills.faults`; what it is brought about in, a
federation of processes or a deployment of containers, is a `Field`.
"""

from fedlora.drills.drill import Drill, Place
from fedlora.drills.field import Field, LinkControl
from fedlora.drills.registry import DRILLS, drill_named

__all__ = ["DRILLS", "Drill", "Field", "LinkControl", "Place", "drill_named"]
