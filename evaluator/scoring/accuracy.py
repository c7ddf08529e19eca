"""Accuracy on held-out records, of a base model and of the same model with an adapter.

Two measures, chosen by the records themselves and never mixed:

- *label accuracy*, where the records' answers are a few labels: the share of records whose label has the highest
  log-likelihood of all labels, given the prompt.
- *token accuracy*, where answers are free text: the share of answer tokens (the end of the text among them) that the
  model ranks first, given the prompt and the answer's tokens before.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from evaluator.settings import EvaluationSettings
from fedlora.adapters.scores import Score
from fedlora.domains import domain
from fedlora.errors import EvaluationError
from fedlora.language_model import BaseModel
from fedlora.language_model.encoding import Encoder, padding
from fedlora.language_model.loading import load
from fedlora.recipes import Recipe
from fedlora.shards import Record, load_records

__all__ = ["MOST_LABELS", "compare"]

MOST_LABELS = 5  # more different answers than this are free text
BATCH_TOKENS = 4096
log = logging.getLogger("fedlora.evaluator")


def compare(settings: EvaluationSettings, adapter: Path) -> tuple[Score, Score]:
    """Score the base model alone, then with the adapter in the folder `adapter`.

    Raises
    ------
    ShardError
        If the records cannot be read.
    BaseModelError
        If the base model cannot be loaded.
    EvaluationError
        If the adapter does not fit it.
    """
    records = load_records(settings.records, domain(settings.recipe.domain))
    base, tokenizer = load(BaseModel(settings.base_model_name, settings.base_model).check(settings.base_model_sha256))
    try:
        model = PeftModel.from_pretrained(base, str(adapter))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EvaluationError(f"the adapter {adapter} does not fit {settings.base_model_name}: {error}") from error
    model.eval()
    scorer = Scorer(model, tokenizer, settings.recipe, settings.length)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        with model.disable_adapter():
            before = scorer.score(records)
        log.info("base model: %s", before)
        after = scorer.score(records)
        log.info("with the adapter: %s", after)
    return before, after


class Scorer:
    """Scores records with whatever state the model is in.

    Parameters
    ----------
    model : PeftModel
        The model.
    tokenizer : PreTrainedTokenizerBase
        Its tokenizer.
    recipe : Recipe
        How records become texts.
    length : int
        Prompts are cut to this many tokens at their beginning; answers are not.
    """

    def __init__(self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, recipe: Recipe, length: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.length = length
        self.padding = padding(tokenizer)

    def score(self, records: Sequence[Record]) -> Score:
        """Score `records` by the measure that fits them."""
        labels = sorted({record.output for record in records})
        if 1 < len(labels) <= min(MOST_LABELS, len(records) - 1):
            encoder = self._encoder(end_of_text=False)
            prompts = [one.prompt(self.length) for one in encoder.prompts(records)]
            said = encoder.examples([replace(records[0], output=label) for label in labels])
            chosen = self._labels(prompts, [one.answer for one in said])
            hits = sum(labels[choice] == record.output for choice, record in zip(chosen, records, strict=True))
            majority = Counter(record.output for record in records).most_common(1)[0][1] / len(records)
            return _score("label accuracy", hits, len(records), "records", len(records), majority)
        encoded = self._encoder(end_of_text=self.recipe.end_of_text).examples(records)
        answers = [one.answer for one in encoded]
        hits = sum(self._answer_hits([one.prompt(self.length) for one in encoded], answers))
        return _score("token accuracy", hits, sum(map(len, answers)), "tokens", len(records), None)

    def _labels(self, prompts: list[list[int]], labels: list[list[int]]) -> list[int]:
        """Return the index of the likeliest label for each prompt."""
        if all(len(label) == 1 for label in labels):  # one look at the distribution behind the prompt decides

            def likelihoods(rows: Sequence[int]) -> torch.Tensor:
                logits = self._logits([prompts[row] for row in rows], 1)[:, 0]
                return logits[:, [label[0] for label in labels]]

        else:

            def likelihoods(rows: Sequence[int]) -> torch.Tensor:
                columns = []
                for label in labels:
                    logits = self._logits([prompts[row] + label for row in rows], len(label) + 1)[:, :-1]
                    tokens = torch.tensor(label).expand(len(rows), -1)
                    columns.append(logits.log_softmax(-1).gather(-1, tokens[..., None]).sum((1, 2)))
                return torch.stack(columns, 1)

        return [int(best) for best in _in_batches(prompts, lambda rows: likelihoods(rows).argmax(1).tolist())]

    def _answer_hits(self, prompts: list[list[int]], answers: list[list[int]]) -> list[int]:
        """Return how many tokens of each answer the model ranks first."""
        whole = [asked + answered for asked, answered in zip(prompts, answers, strict=True)]

        def hits(rows: Sequence[int]) -> list[int]:
            widest = max(len(answers[row]) for row in rows)
            ranked = self._logits([whole[row] for row in rows], widest + 1)[:, :-1].argmax(-1).tolist()
            return [
                sum(found == token for found, token in zip(line[-len(answers[row]) :], answers[row], strict=True))
                for line, row in zip(ranked, rows, strict=True)
            ]

        return _in_batches(whole, hits)

    def _logits(self, sequences: list[list[int]], keep: int) -> torch.Tensor:
        """Return the logits of the last `keep` places, of shape (sequences, keep, vocabulary), fp32."""
        width = max(map(len, sequences))
        ids = torch.tensor([[self.padding] * (width - len(line)) + line for line in sequences])
        mask = torch.tensor([[0] * (width - len(line)) + [1] * len(line) for line in sequences])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=keep, use_cache=False
        )
        return torch.as_tensor(output.logits).float()

    def _encoder(self, *, end_of_text: bool) -> Encoder:
        return Encoder(self.tokenizer, self.recipe.template, self.recipe.question, end_of_text=end_of_text)


def _in_batches(sequences: list[list[int]], act: Callable[[Sequence[int]], list[int]]) -> list[int]:
    """Call `act` with the rows of batches of like length, and return its results in the order of `sequences`."""
    results = [0] * len(sequences)
    batch: list[int] = []
    for row in sorted(range(len(sequences)), key=lambda row: len(sequences[row])):
        if batch and (len(batch) + 1) * len(sequences[row]) > BATCH_TOKENS:
            _keep(results, batch, act)
            batch = []
        batch.append(row)
    _keep(results, batch, act)
    return results


def _keep(results: list[int], rows: list[int], act: Callable[[Sequence[int]], list[int]]) -> None:
    for row, result in zip(rows, act(rows), strict=True):
        results[row] = result


def _score(measure: str, hits: int, n: int, unit: str, records: int, majority: float | None) -> Score:
    z = 1.959964
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Score(measure, share, n, unit, records, centre - half, centre + half, majority)
