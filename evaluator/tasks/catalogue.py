"""All benchmarks by their names."""

from evaluator.tasks.careqa import CAREQA
from evaluator.tasks.fiqa import FIQA
from evaluator.tasks.fpb import FPB
from evaluator.tasks.humaneval import HUMANEVAL
from evaluator.tasks.item import ChoiceTask, Item
from evaluator.tasks.mbpp import MBPP
from evaluator.tasks.medmcqa import MEDMCQA
from evaluator.tasks.medqa import MEDQA
from evaluator.tasks.mmlu import MMLU
from evaluator.tasks.multipl_e import MULTIPL_E_CPP, MULTIPL_E_JS
from evaluator.tasks.program import CodeItem, CodeTask
from evaluator.tasks.pubmedqa import PUBMEDQA
from evaluator.tasks.tfns import TFNS
from fedlora.errors import EvaluationError
from fedlora.rules import suggestion

__all__ = ["TASKS", "Asked", "Task", "task"]

Task = ChoiceTask | CodeTask
Asked = Item | CodeItem
CHOICES = (MMLU, FPB, FIQA, TFNS, PUBMEDQA, MEDMCQA, MEDQA, CAREQA)
PROGRAMS = (MBPP, HUMANEVAL, MULTIPL_E_JS, MULTIPL_E_CPP)
TASKS: dict[str, Task] = {one.name: one for one in (*CHOICES, *PROGRAMS)}


def task(name: str) -> Task:
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
