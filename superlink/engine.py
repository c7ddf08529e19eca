"""Flower's own programs at the coordinator, with what they take exported.

``python -m superlink.engine HOST:PORT PROGRAM ARGUMENT ...``. The program runs in this very process, as its own entry
point would run it; beside it, a thread answers scrapes.
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
        serve_part(part, listen)
    except FedloraError as error:
        return report(error)
    sys.argv = [program, *own]
    getattr(import_module(module), name.replace("-", "_"))()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
