"""Judging what a model has written by running it, several programs at a time, each in a sandbox of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from evaluator.results.answer import Answer
from evaluator.sandbox.program import Limits
from evaluator.sandbox.run import DEFAULT, require, run
from evaluator.tasks.program import CodeItem, CodeTask

__all__ = ["judge"]


def judge(
    task: CodeTask,
    written: Sequence[tuple[CodeItem, Sequence[str]]],
    *,
    threads: int = 2,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    limits: Limits = DEFAULT,
) -> list[Answer]:
    """Return the answer to each item, in the order given.

    Parameters
    ----------
    task : CodeTask
        The items' task.
    written : sequence of (CodeItem, sequence of str)
        Items, each with the texts that the model wrote behind its prompt: one, or several samples.
    threads : int
        Programs that run at the same time. More than there are cores, and some end at their time that need not.
    progress : callable
        Is told, after each program, how many have been judged, and of how many.
    limits : Limits
        What each program may take.

    Raises
    ------
    EvaluationError
        If programs of the task's language cannot be run here; then none has been.
    """
    require(task.language)
    samples = [(item, sample, text) for item, texts in written for sample, text in enumerate(texts)]
    answers: dict[int, Answer] = {}
    with ThreadPoolExecutor(max_workers=threads) as pool:
        places = {pool.submit(_judge, task, *one, limits): place for place, one in enumerate(samples)}
        try:
            for future in as_completed(places):
                answers[places[future]] = future.result()
                progress(len(answers), len(samples))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [answers[place] for place in range(len(samples))]


def _judge(task: CodeTask, item: CodeItem, sample: int, text: str, limits: Limits) -> Answer:
    verdict = run(task.assemble(item, task.completion(text)), limits)
    return Answer(item.id, sample, text=text, chosen=verdict.outcome, correct=verdict.passed)
