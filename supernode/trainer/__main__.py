"""The trainer's program: ``python -m supernode.trainer trainer.toml``."""

import logging
import os
import sys
from pathlib import Path

from fedlora.config import read_toml
from fedlora.environment import check_rendered_version
from fedlora.errors import FedloraError
from fedlora.log import report, show
from fedlora.processes import until_signalled
from supernode.trainer.confinement import deny_network
from supernode.trainer.settings import TrainerSettings
from supernode.trainer.watchdog import Pulse, watched

log = logging.getLogger("fedlora.trainer")


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    show()
    try:
        check_rendered_version()
        settings = read_toml(TrainerSettings, Path(arguments[0]))
        # Read when torch is loaded, which is why it is imported below and not above.
        threads = str(settings.threads)  # of products, and of tokenising
        os.environ.update(OMP_NUM_THREADS=threads, OMP_WAIT_POLICY="PASSIVE", RAYON_NUM_THREADS=threads)
        os.environ.update(THP_MEM_ALLOC_ENABLE="1")  # large tensors on huge pages: fewer faults and look-ups
        os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
        deny_network()
        return watched(lambda pulse: _serve(settings, pulse), step_seconds=settings.step_seconds)
    except (FedloraError, OSError) as error:
        return report(error)


def _serve(settings: TrainerSettings, pulse: Pulse) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    try:
        from supernode.trainer.service import serve

        server = serve(settings, pulse)
    except (FedloraError, OSError) as error:
        return report(error)
    log.info("site %s: trainer is ready", settings.site)
    pulse.start()
    until_signalled().wait()
    server.stop(grace=2).wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
