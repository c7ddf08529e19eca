"""The evaluator's program: ``python -m evaluator evaluation.toml [RUN]``.

Scores the base model and the base model with an adapter on the same records, and writes both as JSON. Where the file
has a folder of runs and no adapter, RUN says whose newest adapter it is.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from evaluator.settings import EvaluationSettings
from fedlora.adapters.checkpoint import CHECKPOINTS, checkpoint_folders
from fedlora.config import read_toml
from fedlora.environment import check_rendered_version
from fedlora.errors import ConfigurationError, EvaluationError, FedloraError
from fedlora.log import report, show
from fedlora.names import check_name


def main(arguments: list[str]) -> int:
    """Score, write, and return the exit code."""
    show()
    try:
        check_rendered_version()
        settings = read_toml(EvaluationSettings, Path(arguments[0]))
        adapter = _adapter(settings, arguments[1:])
        os.environ.update(OMP_NUM_THREADS=str(settings.threads), OMP_WAIT_POLICY="PASSIVE")
        os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
        from evaluator.scoring.accuracy import compare

        base, adapted = compare(settings, adapter)
    except (FedloraError, OSError) as error:
        return report(error)
    scores = json.dumps({"base": asdict(base), "adapted": asdict(adapted)}, indent=2) + "\n"
    if settings.result is None:
        sys.stdout.write(scores)
        return 0
    unfinished = settings.result.with_suffix(".unfinished")
    unfinished.write_text(scores)
    unfinished.replace(settings.result)
    return 0


def _adapter(settings: EvaluationSettings, arguments: list[str]) -> Path:
    """Return the folder of the adapter: the one in the file, or the newest of the run that is named."""
    if settings.runs is None or settings.adapter is not None:
        if arguments:
            raise ConfigurationError(f"{' '.join(arguments)}: the file names the adapter already; leave this out")
        return Path(settings.adapter or "")
    if len(arguments) != 1:
        there = ", ".join(sorted(entry.parent.name for entry in settings.runs.glob(f"*/{CHECKPOINTS}"))) or "none"
        raise ConfigurationError(f"name one run of those in {settings.runs}: {there}")
    (run,) = arguments
    directory = settings.runs / check_name(run, EvaluationError) / CHECKPOINTS
    for _, newest in checkpoint_folders(directory):
        return newest
    raise EvaluationError(f"there is no checkpoint in {directory}; a run has one once its first round is done")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
