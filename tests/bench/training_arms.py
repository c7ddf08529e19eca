"""The arms of ``train.py``, each a process of its own: ``python training_arms.py ARM JOB``.

An arm trains all steps of a job in one go and stops at the border of each turn: it says how long the turn took, a line
of JSON, and waits for a line before it goes on. So arms take turns on the same cores, and none shares memory with
another.
"""

import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """What every arm of a comparison trains.

    Attributes
    ----------
    model : str
        Folder of the base model.
    records : str
        File of records.
    domain : str
        Their domain.
    recipe : dict
        Values of the recipe; its steps are those of the whole job.
    rows : list of list of int
        The records of each step, in order.
    turn : int
        Steps a turn.
    threads, tokens_at_once : int
        What the kit's trainer is told.
    """

    model: str
    records: str
    domain: str
    recipe: dict[str, Any]
    rows: list[list[int]]
    turn: int
    threads: int
    tokens_at_once: int


class Turns:
    """The borders between an arm's turns."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.step = 0
        self.began = (0.0, 0.0)  # wall-clock time, processor time

    def begin_step(self, aside: Callable[[], object] = lambda: None) -> None:
        """Tell that a step begins; at a border, wait first, and then do what is not timed."""
        if self.step % self.turn == 0:
            if self.step:
                self.tell_turn()
            else:
                self.tell(ready=True)
            sys.stdin.readline()
            aside()
            self.began = time.perf_counter(), time.process_time()
        self.step += 1

    def end(self, **figures: Any) -> None:
        """Tell the last turn's seconds, and what the arm has to say at its end."""
        self.tell_turn()
        self.tell(**figures, peak_mib=peak_mib())

    def tell_turn(self) -> None:
        """Tell what the turn that is over took."""
        wall, processor = self.began
        self.tell(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - processor)

    def tell(self, **figures: Any) -> None:
        """Write a line."""
        print(json.dumps(figures), file=sys.__stdout__, flush=True)


def peak_mib() -> int:
    """Return the most that this process had resident, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) // 1024 if found else 0


def examples_of(job: Job) -> list[Any]:
    """Return the job's records as the kit's examples, which all arms train."""
    from transformers import AutoTokenizer

    from fedlora.domains import domain
    from fedlora.recipes import Recipe
    from fedlora.shards import read_records
    from supernode.trainer.tokens import Tokeniser

    tokenizer = AutoTokenizer.from_pretrained(job.model)
    records = read_records(Path(job.records), domain(job.domain))
    return Tokeniser(tokenizer, Recipe(**job.recipe)).examples(records)[0]


def kit(job: Job, turns: Turns) -> None:
    """Train with this kit's trainer."""
    from fedlora.language_model import BaseModel
    from fedlora.language_model.loading import load
    from fedlora.recipes import Recipe
    from superlink.initialisation import initial_adapter
    from supernode.trainer.examples import rows_of_round
    from supernode.trainer.model import AdapterModel
    from supernode.trainer.training import train_round

    base, recipe = BaseModel("base", Path(job.model)), Recipe(**job.recipe)
    model, tokenizer = load(base)
    adapter = AdapterModel(base, model, recipe)
    adapter.load(initial_adapter(adapter.spec, seed=0))
    examples, rows = examples_of(job), [row for step in job.rows for row in step]
    # The trainer walks through its shard in an order of its own: the shard is laid out so that it meets ours.
    shard: list[Any] = [None] * len(rows)
    for place, row in zip(rows_of_round(len(rows), len(rows), round_number=1, seed=0), rows, strict=True):
        shard[place] = examples[row]

    rates: list[float] = []

    def border() -> bool:
        turns.begin_step(lambda: rates.append(matrix_rate()))
        return False

    figures = train_round(
        adapter,
        shard,
        replace(recipe, final_learning_rate=recipe.learning_rate),
        1,
        seed=0,
        padding=int(tokenizer.eos_token_id),
        tokens_at_once=job.tokens_at_once,
        interrupted=border,
    )
    turns.end(
        loss=figures.loss,
        first_loss=figures.first_loss,
        padded_tokens=figures.padded_tokens,
        flop=flop(adapter, figures.tokens, figures.answer_tokens),
        matrix_rate=statistics.median(rates),
    )


def flop(adapter: Any, tokens: int, answer_tokens: int) -> float:
    """Return the floating-point operations of the matrix products that training so many tokens takes at least.

    Two for each weight and token forward and two backward, two more for the weights that learn; the head on answers
    alone; attention, small on short records, is left out.
    """
    import torch

    head = adapter.model.get_output_embeddings()
    linear = [
        module for module in adapter.model.modules() if isinstance(module, torch.nn.Linear) and module is not head
    ]
    frozen = sum(module.weight.numel() for module in linear if not module.weight.requires_grad)
    return float(tokens * (4 * frozen + 6 * adapter.spec.size) + answer_tokens * 4 * head.weight.numel())


def matrix_rate() -> float:
    """Return the floating-point operations per second of a product of bf16 matrices that stay in the cache, now."""
    import torch

    matrix, seconds = torch.randn(1024, 1024).bfloat16(), []
    for _ in range(30):
        began = time.perf_counter()
        torch.nn.functional.linear(matrix, matrix)
        seconds.append(time.perf_counter() - began)
    return float(2 * 1024**3 / statistics.median(seconds))


def peer(job: Job, turns: Turns, *, trainer: str, dtype: str, **settings: Any) -> None:
    """Train with a trainer of Hugging Face's: the same tokens, steps, adapter and rate.

    Parameters
    ----------
    trainer : str
        ``sft`` for TRL's SFTTrainer, ``plain`` for that of transformers.
    dtype : str
        Of the frozen weights.
    settings : object
        Arguments of the trainer's configuration that are not its defaults; ``micro_batch`` and ``attention`` are ours.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )
    from trl import SFTConfig, SFTTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    attention, micro = settings.pop("attention", "sdpa"), settings.pop("micro_batch", job.recipe["batch"])
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=getattr(torch, dtype), attn_implementation=attention)
    shape = LoraConfig(
        r=job.recipe["rank"],
        lora_alpha=job.recipe["alpha"],
        lora_dropout=job.recipe["dropout"],
        target_modules=list(job.recipe["target_modules"]),
        task_type="CAUSAL_LM",
    )
    examples, losses = examples_of(job), []
    order = [row for step in job.rows for row in grouped(step, examples, micro)]
    ids = [list(examples[row].ids) for row in order]
    answers = [examples[row].answer_length for row in order]
    data = {
        "input_ids": ids,
        "labels": [[-100] * (len(one) - length) + one[-length:] for one, length in zip(ids, answers, strict=True)],
    }

    class Borders(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turns.begin_step()

        def on_log(self, _arguments: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                losses.append(logs["loss"])

    arguments = {
        "output_dir": tempfile.gettempdir(),  # nothing is saved
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": job.recipe["batch"] // micro,
        "max_steps": len(job.rows),
        "learning_rate": job.recipe["learning_rate"],
        "lr_scheduler_type": "constant",
        "train_sampling_strategy": "sequential",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        **settings,
    }
    if trainer == "sft":
        runner: Trainer = SFTTrainer(
            model=model,
            args=SFTConfig(**arguments),
            train_dataset=Dataset.from_dict(data),
            processing_class=tokenizer,
            peft_config=shape,
        )
    else:
        wrapped = get_peft_model(model, shape)
        wrapped.enable_input_require_grads()
        runner = Trainer(
            model=wrapped,
            args=TrainingArguments(**arguments),
            train_dataset=Dataset.from_dict(data),
            data_collator=DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id),
        )
    runner.remove_callback(PrinterCallback)
    runner.add_callback(Borders())
    start_alike(get_peft_model_state_dict(runner.model), job)
    runner.train()
    steps = [answers[at : at + job.recipe["batch"]] for at in range(0, len(answers), job.recipe["batch"])]
    weights = [sum(step) for step in steps]
    mean = sum(loss * weight for loss, weight in zip(losses, weights, strict=True)) / sum(weights)
    turns.end(loss=mean, first_loss=losses[0])


def grouped(step: list[int], examples: list[Any], micro: int) -> list[int]:
    """Return a step's records, those of like length together where a step is several passes."""
    return step if micro >= len(step) else sorted(step, key=lambda row: len(examples[row].ids))


def start_alike(tensors: dict[str, Any], job: Job) -> None:
    """Give a peer's adapter the values that the kit's starts with."""
    import torch

    from fedlora.wire import AdapterSpec, TensorSpec
    from superlink.initialisation import initial_adapter

    named = sorted(tensors.items())
    shapes = tuple(TensorSpec(name, tuple(tensor.shape)) for name, tensor in named)
    spec = AdapterSpec("", "", "", "", "", "", "lora", job.recipe["alpha"], shapes)
    with torch.no_grad():
        for (_, tensor), (_, values) in zip(named, spec.views(initial_adapter(spec, seed=0)), strict=True):
            tensor.copy_(torch.from_numpy(values))


# The recipe of FlowerTune's apps as its template runs it, in fp32 as there is no 4-bit base to compute with on a CPU;
# TRL with nothing but its defaults; and TRL with the flags that serve best here.
PEERS: dict[str, dict[str, Any]] = {
    "flowertune": {"trainer": "plain", "dtype": "float32", "gradient_checkpointing": True},
    "trl": {"trainer": "sft", "dtype": "float32"},
    "trl-tuned": {"trainer": "sft", "dtype": "bfloat16", "gradient_checkpointing": False, "attention": "eager"},
    "trl-tuned-sdpa": {"trainer": "sft", "dtype": "bfloat16", "gradient_checkpointing": False},
    "trl-padding-free": {
        "trainer": "sft",
        "dtype": "bfloat16",
        "gradient_checkpointing": False,
        "padding_free": True,
        "max_length": None,
    },
    "trl-buckets": {
        "trainer": "sft",
        "dtype": "bfloat16",
        "gradient_checkpointing": False,
        "attention": "eager",
        "micro_batch": 8,
    },
}
ARMS = ("kit", *PEERS)


def main(arm: str, job: Job) -> None:
    """Be the arm that the command line names."""
    # Read when torch is loaded; the same for all arms.
    os.environ.update(OMP_NUM_THREADS=str(job.threads), OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1")
    os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
    os.environ.update(HF_DATASETS_DISABLE_PROGRESS_BARS="1", TOKENIZERS_PARALLELISM="false")
    sys.stdout = sys.stderr
    turns = Turns(job.turn)
    if arm == "kit":
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # as the trainer's program does
        kit(job, turns)
    else:
        peer(job, turns, **PEERS[arm])


if __name__ == "__main__":
    main(sys.argv[1], Job(**json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))))
