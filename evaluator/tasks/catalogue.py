"""All benchmarks by their names."""

from evaluator.tasks.careqa import CAREQA
from evaluator.tasks.fiqa import FIQA
from evaluator.tasks.fpb import FPB
from evaluator.tasks.humaneval import HUMANEVAL
from evaluator.tasks.item import ChoiceTask
from evaluator.tasks.mbpp import MBPP
from evaluator.tasks.medmcqa import MEDMCQA
from evaluator.tasks.medqa import MEDQA
from evaluator.tasks.mmlu import MMLU
from evaluator.tasks.multipl_e import MULTIPL_E_CPP, MULTIPL_E_JS
from evaluator.tasks.pubmedqa import PUBMEDQA
from evaluator.tasks.tfns import TFNS
from fedlora.errors import EvaluationError
from fedlora.rules import suggestion

__all__ = ["CODE", "TASKS", "task"]

TASKS = {one.name: one for one in (MMLU, FPB, FIQA, TFNS, PUBMEDQA, MEDMCQA, MEDQA, CAREQA)}
CODE = {one.name: one for one in (MBPP, HUMANEVAL, MULTIPL_E_JS, MULTIPL_E_CPP)}


def task(name: str) -> ChoiceTask:
    """Return the task called `name`.

    Raises
    ------
    EvaluationError
        If there is none.
    """
    if name not in TASKS:
        advice = suggestion(name, TASKS) or f"there are {', '.join(TASKS)}"
        raise EvaluationError(f"there is no benchmark {name!r}; {advice}")
    return TASKS[name]
