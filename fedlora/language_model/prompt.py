"""The text a model sees before its answer."""

from fedlora.shards import Record

__all__ = ["answer", "prompt"]


def prompt(record: Record) -> str:
    """Return the prompt of `record`, up to and including ``Answer:``; the answer follows after one space.

    The layout is that of the benchmark's finance tasks, which every domain shares here: labelled lines, and no line for
    an input that is empty.
    """
    lines = [f"Instruction: {record.instruction}"]
    if record.input:
        lines.append(f"Input: {record.input}")
    return "\n".join([*lines, "Answer:"])


def answer(record: Record) -> str:
    """Return what follows the prompt: one space and the answer, before the end-of-text token."""
    return f" {record.output}"
