"""From records to examples: rendered, tokenised, cut to length, and counted where they cannot be trained on."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from transformers import PreTrainedTokenizerBase

from fedlora.language_model.encoding import Encoded, Encoder
from fedlora.recipes import Recipe
from fedlora.shards import Record
from supernode.trainer.examples import Example

__all__ = ["Counts", "Tokeniser"]


@dataclass(frozen=True)
class Counts:
    """What became of a shard's records.

    Attributes
    ----------
    records : int
        All of them.
    cut : int
        Longer than the recipe's length, and cut.
    empty : int
        Left out: their answer is nothing but blanks.
    unanswered : int
        Left out: they have no token of an answer with another one before it.
    """

    records: int = 0
    cut: int = 0
    empty: int = 0
    unanswered: int = 0

    @property
    def examples(self) -> int:
        """How many can be trained on."""
        return self.records - self.empty - self.unanswered

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class Tokeniser:
    """Makes examples of records under one recipe.

    Prompt and answer are one text for the tokenizer. What is too long loses the end of its answer, down to half of the
    recipe's length; after that its prompt loses its beginning, but for a beginning-of-text token.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        The base model's.
    recipe : Recipe
        Template, question, end of text and length.

    Raises
    ------
    BaseModelError
        If the tokenizer has no end-of-text token and the recipe teaches one, or cannot render the recipe's template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> None:
        self.recipe = recipe
        self.encoder = Encoder(tokenizer, recipe.template, recipe.question, end_of_text=recipe.end_of_text)

    def examples(self, records: Sequence[Record]) -> tuple[list[Example], Counts]:
        """Return examples of those `records` that can be trained on, in order, and what became of all.

        Raises
        ------
        BaseModelError
            If the tokenizer does not know where in a text a token stands.
        """
        answered = [record for record in records if record.output.strip()]
        encoded = [one for one in self.encoder.examples(answered) if one.answer]
        examples = [example for example in map(self._example, encoded) if len(example.ids) > example.answer_length]
        cut = sum(len(one.ids) > self.recipe.length for one in encoded)
        return examples, Counts(
            len(records), cut, empty=len(records) - len(answered), unanswered=len(answered) - len(examples)
        )

    def _example(self, encoded: Encoded) -> Example:
        length = self.recipe.length
        answer = encoded.answer[: max(length - encoded.answer_start, length // 2, 1)]
        return Example((*encoded.prompt(length - len(answer)), *answer), len(answer))
