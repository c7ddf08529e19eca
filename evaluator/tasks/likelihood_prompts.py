"""The prompts behind which the likelihoods of labels are compared, laid out as lm-evaluation-harness has them."""

from evaluator.tasks.item import Item

__all__ = ["abstract", "labelled", "lettered"]


def lettered(item: Item) -> str:
    """Return a question with its lettered options, as that harness has MMLU without examples."""
    options = "\n".join(f"{label}. {text}" for label, text in zip(item.labels, item.choices, strict=True))
    return f"{item.question.strip()}\n{options}\nAnswer:"


def labelled(item: Item) -> str:
    """Return a text whose label is asked for."""
    return f"Instruction: {item.instruction}\nInput: {item.question}\nAnswer:"


def abstract(item: Item) -> str:
    """Return an abstract and a question that it answers by yes, no or maybe."""
    context, _, question = item.question.rpartition("\n")
    return f"Abstract: {context}\nQuestion: {question}\nAnswer:"
