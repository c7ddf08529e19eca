"""The log of a fedlora program: the lines of our own loggers, on stderr. Others' loggers keep their own ways."""

import logging
import sys

__all__ = ["show"]


def show() -> logging.Logger:
    """Let everything below the logger ``fedlora`` be written to stderr, from INFO on; return that logger."""
    log = logging.getLogger("fedlora")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    return log
