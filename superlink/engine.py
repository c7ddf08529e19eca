"""Flower's own programs at the coordinator, with what they take exported.

``python -m superlink.engine HOST:PORT PROGRAM ARGUMENT ...``, or ``-`` for HOST:PORT where nothing is exported. The
program runs in this very process, as its own entry point would run it; beside it, a thread answers scrapes.

One thing is other than Flower has it: who wants to write into the SuperLink's database waits for others up to a minute,
not five seconds. With 32 nodes on two cores some waited longer, and a call that gives up costs a node its message, and
flower-superexec its life.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from fedlora.errors import FedloraError
from fedlora.log import report, show
from fedlora.metrics import Sample
from fedlora.metrics.exposition import serve
from fedlora.metrics.processes import process_samples
from superlink.exporter import COORDINATOR

__all__ = ["ENGINES", "serve_part"]

BUSY_MILLISECONDS = 60_000  # SQLite's busy_timeout
PRAGMAS = "SQLITE_PRAGMAS"  # where Flower's databases look their settings up
NOWHERE = "-"

# By the name of Flower's program: the part that it is, and where its entry point lies.
ENGINES: Mapping[str, tuple[str, str]] = {
    "flower-superlink": ("superlink", "flwr.superlink.cli"),
    "flower-superexec": ("serverapp", "flwr.supercore.cli"),
}


def serve_part(part: str, listen: str, state: Path | None = None) -> Callable[[], None]:
    """Answer scrapes at `listen`, HOST:PORT, with what this process takes as `part`; return what ends that.

    Raises
    ------
    PortInUseError
        If the port is taken.
    """

    def samples() -> list[Sample]:
        return [sample.of(COORDINATOR) for sample in process_samples(part, state=state)]

    return serve(samples, listen)


def main(arguments: list[str]) -> int:
    """Run one of Flower's programs with its own arguments; it ends this process."""
    show()
    listen, program, *own = arguments
    name = Path(program).name
    part, module = ENGINES[name]
    try:
        if listen != NOWHERE:
            serve_part(part, listen)
    except FedloraError as error:
        return report(error)
    _be_patient()
    sys.argv = [program, *own]
    getattr(import_module(module), name.replace("-", "_"))()
    return 0


def _be_patient() -> None:
    """Let writers wait for each other."""
    from flwr.supercore import sql_mixin

    theirs = dict(getattr(sql_mixin, PRAGMAS))
    setattr(sql_mixin, PRAGMAS, tuple({**theirs, "busy_timeout": str(BUSY_MILLISECONDS)}.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
