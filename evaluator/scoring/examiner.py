"""A model that is examined: items in, answers out, by either scoring."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluator.results.answer import Answer
from evaluator.scoring.generation import Generator, Wanted, likeliest, sampled
from evaluator.scoring.likelihood import Asked, log_likelihoods
from evaluator.scoring.reader import Reader
from evaluator.tasks.catalogue import Asked as AnyItem
from evaluator.tasks.catalogue import Task
from evaluator.tasks.execution import judge
from evaluator.tasks.item import ChoiceTask, Item
from evaluator.tasks.program import SAMPLED, CodeItem, CodeTask
from fedlora.errors import EvaluationError
from fedlora.language_model.encoding import encode, padding
from fedlora.language_model.prompt import Text, chat_prompt

__all__ = ["Examiner", "Settled", "end_tokens"]

ROWS = 8  # times as many tokens in a batch whose texts go on
SHORT = 16  # tokens that a text may have which does not
Settled = Callable[[int, str], bool]  # of a row and its text so far


class Examiner:
    """Answers the items of tasks with a base model, alone or with an adapter.

    Parameters
    ----------
    model : PreTrainedModel
        The base model.
    tokenizer : PreTrainedTokenizerBase
        Its tokenizer.
    batch_tokens : int
        Most tokens of a batch.
    seed : int
        For samples; each item and each of its samples has a seed of its own made of it.
    threads : int
        Programs that are judged at the same time.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_tokens: int = 4096,
        seed: int = SAMPLED.seed,
        threads: int = 2,
    ) -> None:
        model.set_attn_implementation("sdpa")  # on prompts of hundreds of tokens the faster one, on CPUs as well
        self.model: PreTrainedModel | PeftModel = model.eval()
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens
        self.seed = seed
        self.threads = threads
        self.context = int(getattr(model.config, "max_position_embeddings", None) or 2**31)
        self.worn: Path | None = None
        self.put_on = 0  # adapters so far
        ends = model.generation_config.eos_token_id if model.generation_config else None
        self.tokenizer_ends, self.model_ends = end_tokens(tokenizer, ends)

    def wear(self, adapter: Path | None) -> AbstractContextManager[object]:
        """Return a context in which the model has the adapter of the folder `adapter`, or none; one is held at a time.

        Raises
        ------
        EvaluationError
            If the adapter does not fit the base model.
        """
        if adapter is None:
            return self.model.disable_adapter() if isinstance(self.model, PeftModel) else nullcontext()
        if adapter != self.worn:
            name = f"adapter-{self.put_on}"
            try:
                if isinstance(self.model, PeftModel):
                    before = self.model.active_adapter
                    self.model.load_adapter(str(adapter), name)
                    self.model.set_adapter(name)
                    self.model.delete_adapter(before)
                else:
                    self.model = PeftModel.from_pretrained(self.model, str(adapter), adapter_name=name).eval()
            except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
                raise EvaluationError(f"the adapter {adapter} does not fit this base model: {error}") from error
            self.worn, self.put_on = adapter, self.put_on + 1
        return nullcontext()

    def answers(self, task: Task, scoring: str, items: Sequence[AnyItem], samples: int = 1) -> Iterator[list[Answer]]:
        """Yield the answers to `items`, batch by batch, in whatever order they are ready.

        Parameters
        ----------
        task : Task
            The items' task.
        scoring : str
            One of its scorings.
        items : sequence of Item or CodeItem
            What is asked.
        samples : int
            Programs that are drawn for each item; wherever nothing is drawn, one answer is all.
        """
        if isinstance(task, CodeTask):
            iterator = self._programs(task, scoring, [one for one in items if isinstance(one, CodeItem)], samples)
        else:
            examine = {"flowertune": self._generated, "likelihood": self._likeliest}[scoring]
            iterator = examine(task, [one for one in items if isinstance(one, Item)])
        while True:
            with torch.inference_mode():
                batch = next(iterator, None)
            if batch is None:
                return
            yield batch

    def _texts(
        self, wanted: Sequence[Wanted], settled: Settled, ends: set[int], seeds: Sequence[int] | None = None
    ) -> Iterator[dict[int, str]]:
        """Yield the texts that are wanted by their place in `wanted`; with `seeds`, each is drawn by its own."""
        # Of a text that goes on, each step reads all weights for a token a row: the more rows, the better.
        batch_tokens = self.batch_tokens * (ROWS if any(one.most > SHORT for one in wanted) else 1)
        choose = likeliest if seeds is None else sampled(seeds, SAMPLED.temperature, SAMPLED.top_p)
        yield from Generator(self._reader, self._decode, ends, batch_tokens).generate(wanted, settled, choose)

    def _log_likelihoods(self, asked: Sequence[Asked]) -> Iterator[dict[int, list[float]]]:
        """Yield the log-likelihoods of each prompt's continuations by its place in `asked`."""
        yield from log_likelihoods(self._reader, asked, self.batch_tokens)

    @property
    def _reader(self) -> Reader:
        return Reader(self.model, padding(self.tokenizer))  # type: ignore[arg-type]

    def _generated(self, task: ChoiceTask, items: Sequence[Item]) -> Iterator[list[Answer]]:
        """Answer as the reference does: its prompt, the likeliest token each time, its rule for what that says."""
        prompts: list[list[int]] = self.tokenizer([task.prompt(item) for item in items], verbose=False)["input_ids"]
        golds: list[list[int]] = self.tokenizer([item.gold for item in items], add_special_tokens=False)["input_ids"]
        wanted, cuts = [], []
        for prompt, gold in zip(prompts, golds, strict=True):
            most = max(0, task.most_tokens - len(prompt)) if task.most_tokens else len(gold)
            cut = max(0, len(prompt) + most - self.context)
            wanted.append(Wanted(prompt[cut:], most))
            cuts.append(cut)
        ends = self.tokenizer_ends if task.most_tokens else self.model_ends
        for texts in self._texts(wanted, lambda row, text: task.settled(items[row], text), ends):
            yield [
                self._answer(items[row], task.extract(items[row], text), len(prompts[row]), cuts[row], text=text)
                for row, text in texts.items()
            ]

    def _programs(
        self, task: CodeTask, scoring: str, items: Sequence[CodeItem], samples: int
    ) -> Iterator[list[Answer]]:
        """Write programs, and have them judged in sandboxes."""
        lengths = {item.id: len(self.tokenizer(item.prompt, verbose=False)["input_ids"]) for item in items}
        for batch in self.programs(task, scoring, items, samples):
            judged = judge(task, [(item, [text]) for item, _, text in batch], threads=self.threads)
            yield [
                replace(
                    answer,
                    sample=sample,
                    prompt_tokens=lengths[item.id],
                    cut=max(0, lengths[item.id] - min(task.most_tokens, self.context)),
                )
                for (item, sample, _), answer in zip(batch, judged, strict=True)
            ]

    def programs(
        self, task: CodeTask, scoring: str, items: Sequence[CodeItem], samples: int = 1
    ) -> Iterator[list[tuple[CodeItem, int, str]]]:
        """Yield, batch by batch, what is written behind each item's prompt, with the number of its sample."""
        drawn = scoring == "flowertune"
        asked = [(item, sample) for item in items for sample in range(samples if drawn else 1)]
        prompts: list[list[int]] = self.tokenizer([item.prompt for item, _ in asked], verbose=False)["input_ids"]
        most = min(task.most_tokens, self.context)
        wanted = [Wanted(prompt[max(0, len(prompt) - most) :], max(0, most - len(prompt))) for prompt in prompts]
        seeds = [_seed(self.seed, item.id, sample) for item, sample in asked]

        def settled(row: int, text: str) -> bool:
            return task.settled(asked[row][0], text)

        for texts in self._texts(wanted, settled, self.tokenizer_ends, seeds if drawn else None):
            yield [(*asked[row], text) for row, text in texts.items()]

    def _likeliest(self, task: ChoiceTask, items: Sequence[Item]) -> Iterator[list[Answer]]:
        """Answer with the likeliest label, in the model's own chat template if it has one."""
        own = bool(self.tokenizer.chat_template)
        texts = [
            Text(chat_prompt(task.ask(item), self.tokenizer), label) if own else Text(task.ask(item), f" {label}")
            for item in items
            for label in item.labels
        ]
        encoded = iter(encode(texts, self.tokenizer, special_tokens=not own))
        asked, cuts, lengths = [], [], []
        for item in items:
            ones = [next(encoded) for _ in item.labels]
            if any(one.ids[: one.answer_start] != ones[0].ids[: ones[0].answer_start] for one in ones):
                raise EvaluationError(f"the tokenizer joins the labels of item {item.id!r} with the end of its prompt")
            longest = max(len(one.answer) for one in ones)
            lengths.append(ones[0].answer_start)
            cuts.append(max(0, ones[0].answer_start + longest - self.context))
            asked.append(Asked(ones[0].prompt(self.context - longest), [one.answer for one in ones]))
        for found in self._log_likelihoods(asked):
            batch = []
            for row, values in found.items():
                item = items[row]
                by_label = dict(zip(item.labels, values, strict=True))
                tokens = {label: len(one) for label, one in zip(item.labels, asked[row].continuations, strict=True)}
                chosen = max(item.labels, key=by_label.__getitem__)
                batch.append(self._answer(item, chosen, lengths[row], cuts[row], likelihoods=by_label, tokens=tokens))
            yield batch

    def _answer(self, item: Item, chosen: str, prompt_tokens: int, cut: int, **told: object) -> Answer:
        return Answer(
            id=item.id,
            group=item.group,
            gold=item.gold,
            chosen=chosen,
            correct=chosen == item.gold,
            prompt_tokens=prompt_tokens,
            cut=cut,
            **told,  # type: ignore[arg-type]
        )

    def _decode(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def end_tokens(tokenizer: PreTrainedTokenizerBase, ends: int | list[int] | None) -> tuple[set[int], set[int]]:
    """Return the tokens that end a text by the tokenizer, and by the model's `ends`; without those, both are one."""
    own = tokenizer.eos_token_id
    by_tokenizer = {own} if isinstance(own, int) else set()
    return by_tokenizer, {ends} if isinstance(ends, int) else set(ends or by_tokenizer)


def _seed(seed: int, item: str, sample: int) -> int:
    """Return the seed of a sample of an item, which is the same whatever else is asked."""
    return int.from_bytes(hashlib.sha256(f"{seed} {sample} {item}".encode()).digest()[:7])
