"""The evaluator's program: ``python -m evaluator evaluation.toml``.

Scores the base model and the base model with an adapter on the same records, and writes both as JSON.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from evaluator.settings import EvaluationSettings
from fedlora.config import read_toml
from fedlora.environment import check_rendered_version
from fedlora.errors import FedloraError
from fedlora.log import report, show


def main(arguments: list[str]) -> int:
    """Score, write, and return the exit code."""
    show()
    try:
        check_rendered_version()
        settings = read_toml(EvaluationSettings, Path(arguments[0]))
        os.environ.update(OMP_NUM_THREADS=str(settings.threads), OMP_WAIT_POLICY="PASSIVE")
        os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
        from evaluator.scoring.accuracy import compare

        base, adapted = compare(settings)
    except (FedloraError, OSError) as error:
        return report(error)
    unfinished = settings.result.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"base": asdict(base), "adapted": asdict(adapted)}, indent=2) + "\n")
    unfinished.replace(settings.result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
