"""From records to token ids, with the place where the answer begins."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fedlora.errors import BaseModelError
from fedlora.language_model.prompt import Text, rendering
from fedlora.recipes.recipe import Question, Template
from fedlora.shards import Record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Encoded", "Encoder", "encode", "padding"]


class Encoded(NamedTuple):
    """A text as token ids.

    Attributes
    ----------
    ids : list of int
        Of prompt and answer.
    lead : int
        How many of them the tokenizer puts before all texts: the beginning-of-text token, if it knows one.
    answer_start : int
        Place of the answer's first token; the length of `ids` if there is none.
    """

    ids: list[int]
    lead: int
    answer_start: int

    @property
    def answer(self) -> list[int]:
        """The answer's tokens."""
        return self.ids[self.answer_start :]

    def prompt(self, most: int) -> list[int]:
        """Return the prompt's tokens; of more than `most`, those behind the lead go first."""
        surplus = max(0, self.answer_start - most)
        lead = min(self.lead, most)
        return self.ids[:lead] + self.ids[lead + surplus : self.answer_start]


class Encoder:
    """Makes token ids of records: the same for training and for scoring.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The base model's.
    template, question : str
        How a record is laid out, and what of it is asked, as in a recipe.
    end_of_text : bool
        Whether the end of the text belongs to each answer.

    Raises
    ------
    BaseModelError
        If the tokenizer cannot render the template, or has no end-of-text token where one is wanted.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        template: Template,
        question: Question = "both",
        *,
        end_of_text: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.render = rendering(template, question, tokenizer, end_of_text=end_of_text)
        self.own_template = template == "chat"  # whose texts begin and end as the model wants it
        self.end: list[int] = []
        if end_of_text and not self.own_template:
            if not isinstance(tokenizer.eos_token_id, int):
                raise BaseModelError(
                    f"the tokenizer in {tokenizer.name_or_path} has no end-of-text token, which belongs to the "
                    "answers; set the recipe's end-of-text to false, or take another base model"
                )
            self.end = [tokenizer.eos_token_id]

    def examples(self, records: Sequence[Record]) -> list[Encoded]:
        """Return `records` with their answers; one whose answer has no token gets no end of the text either."""
        encoded = self._encode([self.render(record) for record in records])
        return [one._replace(ids=one.ids + self.end) if one.answer else one for one in encoded]

    def prompts(self, records: Sequence[Record]) -> list[Encoded]:
        """Return what `records` ask."""
        return self._encode([self.render(record)._replace(answer="") for record in records])

    def _encode(self, texts: Sequence[Text]) -> list[Encoded]:
        return encode(texts, self.tokenizer, special_tokens=not self.own_template) if texts else []


def encode(
    texts: Sequence[Text], tokenizer: "PreTrainedTokenizerBase", *, special_tokens: bool = True
) -> list[Encoded]:
    """Turn texts into token ids, prompt and answer in one go.

    A token is the answer's if it ends beyond the end of the prompt: told by the places of tokens in the text, never
    by looking for a marker's ids, which differ by what stands around them.

    Parameters
    ----------
    texts : sequence of Text
        Prompts with their answers.
    tokenizer : PreTrainedTokenizerBase
        The base model's.
    special_tokens : bool
        Whether it adds what it puts before all texts; not to texts of a chat template, which have it.

    Raises
    ------
    BaseModelError
        If the tokenizer does not know where in a text a token stands.
    """
    if not tokenizer.is_fast:
        raise BaseModelError(
            f"the tokenizer in {tokenizer.name_or_path} cannot say where in a text a token stands; it needs a "
            "tokenizer.json, which transformers' save_pretrained writes of most tokenizers"
        )
    made = tokenizer(
        [text.prompt + text.answer for text in texts],
        add_special_tokens=special_tokens,
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    rows = zip(texts, made["input_ids"], made["offset_mapping"], strict=True)
    return [_encoded(text, ids, places) for text, ids, places in rows]


def _encoded(text: Text, ids: list[int], places: list[tuple[int, int]]) -> Encoded:
    """Tell a text's own tokens from those that the tokenizer adds, which stand nowhere in it."""
    last = len(ids)
    while last and places[last - 1] == (0, 0):  # an end that some add by themselves: the recipe decides about it
        last -= 1
    lead = next((row for row in range(last) if places[row] != (0, 0)), last)
    border = len(text.prompt)
    start = next((row for row in range(lead, last) if places[row][1] > border), last)
    return Encoded(ids[:last], lead, start)


def padding(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the token id to pad with; it is masked, so any will do where the tokenizer has none of its own."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(token) for token in known if isinstance(token, int)), 0)
