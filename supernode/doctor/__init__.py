"""Whether a site can take part as it is: one check after the other, each with what was found and what to do."""

from supernode.doctor.examination import examine
from supernode.doctor.findings import Finding, Outcome

__all__ = ["Finding", "Outcome", "examine"]
