"""The examiner on vLLM, where that is installed: the same prompts, cuts and answers, computed by another engine.

Written from vLLM's documentation of offline inference (``LLM.generate``, ``SamplingParams``, ``LoRARequest``). It has
been tried with a stand-in that answers as that says, and never with vLLM itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from evaluator.scoring.examiner import Examiner, Settled, end_tokens
from evaluator.scoring.generation import Wanted
from evaluator.scoring.likelihood import Asked
from evaluator.tasks.program import SAMPLED
from fedlora.adapters.folder import open_adapter
from fedlora.errors import EvaluationError
from fedlora.language_model import BaseModel

__all__ = ["VllmExaminer"]

MOST_RANK = 64  # of an adapter; vLLM keeps room for it
AT_ONCE = 256  # requests between two batches of answers; vLLM itself decides how many are computed together
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


class VllmExaminer(Examiner):
    """Answers the items of tasks with a base model on vLLM.

    Parameters
    ----------
    model : BaseModel
        The base model.
    precision : str
        What weights are held in and computed with: ``bf16`` or ``fp32``.
    seed : int
        For samples.
    threads : int
        Programs that are judged at the same time.

    Raises
    ------
    EvaluationError
        If vLLM is not installed, or does not know this precision.
    """

    def __init__(self, model: BaseModel, *, precision: str, seed: int = SAMPLED.seed, threads: int = 2) -> None:
        if precision not in DTYPES:
            raise EvaluationError(f"vLLM holds weights in {' or '.join(DTYPES)} here, not in {precision}")
        try:
            import vllm
        except ImportError as error:
            raise EvaluationError("vLLM is not installed here; run: pip install 'fedlora[vllm]'") from error
        self.vllm: Any = vllm
        folder = str(model.directory)
        context = getattr(AutoConfig.from_pretrained(folder), "max_position_embeddings", None)
        self.engine = vllm.LLM(
            model=folder, dtype=DTYPES[precision], enable_lora=True, max_lora_rank=MOST_RANK, max_model_len=context,
            enable_prefix_caching=True, seed=seed,
        )  # fmt: skip
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.seed, self.threads = seed, threads
        self.context = int(context or 2**31) - 1  # with each prompt it wants to generate a token at least
        try:
            ends = GenerationConfig.from_pretrained(folder).eos_token_id
        except OSError:  # a model need not have one
            ends = None
        self.tokenizer_ends, self.model_ends = end_tokens(self.tokenizer, ends)
        self.lora: Any = None
        self.known: dict[Path, int] = {}

    def wear(self, adapter: Path | None) -> AbstractContextManager[object]:
        """Return a context in which requests have the adapter of the folder `adapter`, or none.

        Raises
        ------
        EvaluationError
            If vLLM does not apply such adapters.
        """
        if adapter is not None:
            config = open_adapter(adapter).config
            if config.get("use_dora") or int(config.get("r", 0)) > MOST_RANK:
                raise EvaluationError(f"vLLM applies LoRA of ranks up to {MOST_RANK}, and no DoRA: {adapter}")
        return self._worn(adapter)

    @contextmanager
    def _worn(self, adapter: Path | None) -> Iterator[None]:
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            number = self.known.setdefault(adapter, len(self.known) + 1)
            self.lora = LoRARequest(f"adapter-{number}", number, str(adapter))
        try:
            yield
        finally:
            self.lora = None

    def _texts(
        self,
        wanted: Sequence[Wanted],
        settled: Settled,  # noqa: ARG002 - what follows changes nothing, and vLLM is not asked between tokens
        ends: set[int],
        seeds: Sequence[int] | None = None,
    ) -> Iterator[dict[int, str]]:
        """Yield the texts that are wanted. Drawn ones are others than those of transformers for the same seed."""
        drawn: dict[str, Any] = {"temperature": SAMPLED.temperature, "top_p": SAMPLED.top_p} if seeds else {}
        idle = {row: "" for row, one in enumerate(wanted) if not one.most}
        if idle:
            yield idle
        asked = [
            (row, one.prompt, {"max_tokens": one.most, **drawn, **({"seed": seeds[row]} if seeds else {})})
            for row, one in enumerate(wanted)
            if one.most
        ]
        for batch in self._asked(asked, stop_token_ids=sorted(ends), ignore_eos=True):
            yield {
                row: self._decode([token for token in output.outputs[0].token_ids if token not in ends])
                for row, output in batch
            }

    def _log_likelihoods(self, asked: Sequence[Asked]) -> Iterator[dict[int, list[float]]]:
        """Yield the log-likelihoods of the continuations of each prompt, from those of the tokens of the whole."""
        for start in range(0, len(asked), AT_ONCE):
            rows = range(start, min(start + AT_ONCE, len(asked)))
            whole = [(row, one) for row in rows for one in asked[row].continuations]
            requests = [(row, asked[row].prompt + one, {"max_tokens": 1, "prompt_logprobs": 1}) for row, one in whole]
            outputs = [output for batch in self._asked(requests) for _, output in batch]
            found: dict[int, list[float]] = {row: [] for row in rows}
            for (row, one), output in zip(whole, outputs, strict=True):
                told = zip(one, output.prompt_logprobs[-len(one) :], strict=True)
                found[row].append(sum(float(by_token[token].logprob) for token, by_token in told))
            yield found

    def _asked(self, requests: Sequence[tuple[int, list[int], dict[str, Any]]], **more: Any) -> Iterator[Any]:
        """Yield, batch by batch, row and output of each request, in their order."""
        for start in range(0, len(requests), AT_ONCE):
            batch = requests[start : start + AT_ONCE]
            outputs = self.engine.generate(
                [{"prompt_token_ids": ids} for _, ids, _ in batch],
                [
                    self.vllm.SamplingParams(**{"temperature": 0.0, "detokenize": False, **more, **own})
                    for _, _, own in batch
                ],
                lora_request=self.lora,
                use_tqdm=False,
            )
            yield [(row, output) for (row, _, _), output in zip(batch, outputs, strict=True)]
