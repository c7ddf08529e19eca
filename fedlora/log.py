"""The log of a fedlora program: the lines of our own loggers, on stderr. Others' loggers keep their own ways."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlora.errors import FedloraError

__all__ = ["printable", "report", "show", "written_to"]


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


def report(error: FedloraError | OSError) -> int:
    """Log what a program ends with, and return its exit code.

    In a container, what may not be read or written most often belongs to another user: so that one is named.
    """
    denied = isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError)
    advice = (
        f"; this program is user {os.geteuid()} and must be let in: give it the file, or the right" if denied else ""
    )
    logging.getLogger("fedlora").error("%s: %s%s", type(error).__name__, error, advice)
    return error.exit_code if isinstance(error, FedloraError) else FedloraError.exit_code


@contextmanager
def written_to(file: Path) -> Iterator[None]:
    """Let the lines of our loggers, from INFO on, be added to `file` too, with the time in UTC, during the block.

    An error that ends the block is its last line.
    """
    log = logging.getLogger("fedlora")
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setLevel(logging.INFO)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ"))
    log.addHandler(handler)
    try:
        yield
    except Exception as error:
        log.error("%s: %s", type(error).__name__, error)
        raise
    finally:
        log.removeHandler(handler)
        handler.close()


def printable(text: str) -> str:
    """Return `text` with line breaks and control characters spelt out: a site's words must not steer a terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


class _Lines(logging.Formatter):
    """One line for each record, whatever is in it; times in UTC."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
