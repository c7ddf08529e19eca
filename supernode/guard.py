"""Whether this site takes part in a run: decided by the hash of the run's app, before anything of it is used.

At a site only the code of its own image runs. Flower would run the app that the run brings, or shadow an installed
module by one in it; here the app is never opened at all, and a run whose app is not known by its hash is refused.
"""

import hashlib
from dataclasses import dataclass

from flwr.supercore.fab import Fab
from flwr.supercore.run import Run

__all__ = ["REFUSED", "Guard"]

REFUSED = 1001  # code of the Flower Error that a refused message is answered with; Flower's own end below 1000


@dataclass(frozen=True)
class Guard:
    """The apps that this site knows.

    Attributes
    ----------
    known : frozenset of str
        SHA-256 of each app that may run.
    """

    known: frozenset[str]

    def objection(self, run: Run, fab: Fab) -> str | None:
        """Say why `run` with the app `fab` is refused, or None if it may run."""
        found = hashlib.sha256(fab.content).hexdigest()
        if found != fab.hash_str or found != run.fab_hash:
            return f"the app's content {found[:12]} is not what the run announced, {str(run.fab_hash)[:12]}"
        if run.primary_task_type != "flwr-serverapp":
            return f"the run's primary task is {run.primary_task_type!r}; this site serves ServerApps alone"
        if found not in self.known:
            return f"app {found[:12]} is not on this site's list: {', '.join(sorted(h[:12] for h in self.known))}"
        return None
