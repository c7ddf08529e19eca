"""What nodes tell of themselves in their answers: kept in the ledger, the newest of each."""

import logging
import math
import time
from collections.abc import Mapping

from fedlora.metrics.sample import read_samples, write_samples
from fedlora.pki.trust import trusted
from fedlora.wire.flower_message import Request
from superlink.grid import Question, Sites
from superlink.ledger import Ledger

__all__ = ["Told", "ask_last"]

LAST_SECONDS = 10.0  # that nodes have for the closing question
log = logging.getLogger("fedlora.superlink")


class Told:
    """Notes what nodes tell.

    Parameters
    ----------
    ledger : Ledger
        Of the run.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def note(self, site: str, figures: Mapping[str, float]) -> None:
        """Keep the samples among the figures of an answer, the CAs it trusts, and how far its clock is ahead."""
        samples = write_samples(read_samples(figures))
        clock = figures.get("clock_seconds", math.nan)
        skew = clock - time.time() if math.isfinite(clock) else None
        trust = dict.fromkeys(trusted(figures), 1.0)
        if samples or trust or skew is not None:
            self.ledger.report(site, {**samples, **trust}, skew)


def ask_last(sites: Sites) -> None:
    """Ask the nodes that are online for their last figures: what they sent in a round they tell in the next."""
    online = [name for name in sites.names if name in sites.online()]
    question = Question(
        "query.report",
        dict.fromkeys(online, Request({})),
        LAST_SECONDS,
        patience=0.0,
        absence=0.0,
        complete=lambda: True,
    )
    silent = set(online) - {reply.site for reply in sites.ask(question)}
    if silent:
        log.warning("no last figures from %s within %.0f s", ", ".join(sorted(silent)), LAST_SECONDS)
