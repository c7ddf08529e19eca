"""The text a model sees: what a record asks, and the answer behind it, in a recipe's template.

The layouts of ``labelled`` and ``alpaca`` are constants of the benchmark's protocol and are never changed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fedlora.errors import BaseModelError
from fedlora.recipes.recipe import Question, Template
from fedlora.shards import Record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Text", "alpaca", "chat", "chat_prompt", "labelled", "layout", "rendering"]

# Stanford Alpaca (github.com/tatsu-lab/stanford_alpaca), the prompt without an input, as the benchmark's apps have it.
PREAMBLE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
# Llama 3's chat templates state the date, today's unless told; a text must be the same at each site and on each day.
A_DAY = "26 Jul 2024"  # their own where they cannot know the day
PROBE = Record("What is asked?", "About this.", "What is answered.")


class Text(NamedTuple):
    """What a model is asked, and what it is to say; one follows the other without a gap."""

    prompt: str
    answer: str


def rendering(
    template: Template, question: Question, tokenizer: "PreTrainedTokenizerBase", *, end_of_text: bool
) -> Callable[[Record], Text]:
    """Return how a record becomes a text; the parameters are those of a recipe.

    Raises
    ------
    BaseModelError
        If the base model's own template is wanted, and there is none, or it cannot be rendered.
    """
    if template != "chat":
        return layout(template, question)

    def render(record: Record) -> Text:
        return chat(record, tokenizer, question, end_of_text=end_of_text)

    render(PROBE)
    return render


def layout(template: Template, question: Question) -> Callable[[Record], Text]:
    """Return how a record becomes a text in a template that is the kit's own: ``labelled`` or ``alpaca``."""
    arrange = labelled if template == "labelled" else alpaca
    return lambda record: arrange(record, question)


def labelled(record: Record, question: Question = "both") -> Text:
    """Return `record` in the layout of the benchmark's finance tasks: a line for each part of it that is not empty."""
    instruction, about = _asked(record, question)
    parts = (("Instruction", instruction), ("Input", about))
    lines = [f"{label}: {text}" for label, text in parts if text]
    return Text("\n".join([*lines, "Answer:"]), f" {record.output}")


def alpaca(record: Record, question: Question = "both") -> Text:
    """Return `record` in the benchmark's layout for training; as there, a blank joins instruction and empty input."""
    asked = f"{record.instruction} {record.input}" if question == "both" else "".join(_asked(record, question))
    return Text(f"{PREAMBLE}\n### Instruction:\n{asked}\n### Response:", f" {record.output}")


def chat(
    record: Record, tokenizer: "PreTrainedTokenizerBase", question: Question = "both", *, end_of_text: bool = True
) -> Text:
    """Return `record` as a turn of the user's and one of the assistant's, in the base model's own template.

    Parameters
    ----------
    record : Record
        What is said.
    tokenizer : PreTrainedTokenizerBase
        Has the template. A model that can think before it answers is told not to.
    question : str
        What of the record is asked.
    end_of_text : bool
        Whether the end of the assistant's turn belongs to the answer.

    Raises
    ------
    BaseModelError
        If there is no template, it cannot be rendered, or it marks no end of a turn and there is no end-of-text token.
    """
    asked = _user("\n\n".join(part for part in _asked(record, question) if part))
    prompt = _rendered(tokenizer, [asked], more=True)
    whole = _rendered(tokenizer, [asked, {"role": "assistant", "content": record.output}], more=False)
    # Where the whole does not begin with the prompt, it shows past turns otherwise than new ones.
    said = whole.removeprefix(prompt) if whole.startswith(prompt) else record.output
    after = said.partition(record.output.strip())[2]  # templates may strip an answer, or put a blank before it
    answer = said.removesuffix(after)
    if not end_of_text:
        return Text(prompt, answer)
    end = after.rstrip() or tokenizer.eos_token
    if not isinstance(end, str):
        raise _unfit(tokenizer, "marks no end of a turn, and there is no end-of-text token")
    return Text(prompt, answer + end)


def chat_prompt(text: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return `text` as a turn of the user's, up to where the assistant speaks; see `chat`."""
    return _rendered(tokenizer, [_user(text)], more=True)


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _asked(record: Record, question: Question) -> tuple[str, str]:
    """Return the instruction and the input as far as they are asked."""
    if question == "both":
        return record.instruction, record.input
    return ("", record.input) if question == "input" and record.input.strip() else (record.instruction, "")


def _rendered(tokenizer: "PreTrainedTokenizerBase", turns: list[dict[str, str]], *, more: bool) -> str:
    """Return the text of a conversation; with `more`, up to where the assistant speaks next."""
    if not tokenizer.chat_template:
        raise _unfit(tokenizer, "is not there")
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=more, enable_thinking=False, date_string=A_DAY
        )
    except (TemplateError, ValueError, TypeError, KeyError) as error:  # a template is a program
        raise _unfit(tokenizer, f"cannot be rendered: {error}") from error
    return str(text)


def _unfit(tokenizer: "PreTrainedTokenizerBase", what: str) -> BaseModelError:
    return BaseModelError(
        f"the chat template of the base model in {tokenizer.name_or_path} {what}; set the recipe's template to "
        '"alpaca" or "labelled", or take another base model'
    )
