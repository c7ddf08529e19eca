"""What looks at the runs of containers for a drill: it answers questions, a line of JSON each, until there are no more.

``python -m fedlora.cli.drill.observer FILE [KEY=VALUE ...]``, in a container that sees the folder of the runs, with the
federation's file as it lies there. A question is ``[what, argument, ...]`` with a method of `ProcessRuns`; an answer is
``{"answer": ...}``, or ``{"error": NAME, "reason": ...}``.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from fedlora.cli.drill.runs import ProcessRuns, Run
from fedlora.errors import FedloraError

__all__ = ["answer_all"]

QUESTIONS = ("submit", "look", "stop", "under_way", "adapter_sha256")


def answer_all(questions: Iterable[str], answers: TextIO, runs: ProcessRuns) -> None:
    """Answer each line of `questions` by a line in `answers`."""
    for question in questions:
        what, *arguments = json.loads(question)
        assert what in QUESTIONS
        try:
            found = getattr(runs, what)(*arguments)
            said: dict[str, object] = {"answer": asdict(found) if isinstance(found, Run) else found}
        except FedloraError as error:
            said = {"error": type(error).__name__, "reason": str(error)}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


if __name__ == "__main__":
    answer_all(sys.stdin, sys.stdout, ProcessRuns(Path(sys.argv[1]), sys.argv[2:]))
