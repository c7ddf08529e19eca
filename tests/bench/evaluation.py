"""How fast items are scored (B9): ``make bench-eval``, on a quiet machine.

The kit against two peers, on the same items of the same real files, in turns; which begins changes with each pair:

- the reference's logic: its prompts, an item at a time through transformers' ``generate``, its rule for what the text
  says (written anew here; the reference's own scripts want CUDA). Answers must be the same.
- lm-evaluation-harness: its HF backend with the batch size it finds by itself, on the kit's prompts and labels. At
  least 99.5 % of choices must be the same.

``--data FOLDER`` has the files, named as the tests know them (tests/evaluation_sets.py).
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from paired import digits, ratio

sys.path.append(str(Path(__file__).parents[1]))
from evaluation_sets import REAL, real_file

from evaluator.scoring.examiner import Examiner
from evaluator.tasks.catalogue import task
from evaluator.tasks.item import ChoiceTask, Item
from fedlora.language_model import DEFAULT_BASE_MODEL, obtain
from fedlora.language_model.loading import load

Choices = dict[str, str]


def kit(examiner: Examiner, of: ChoiceTask, scoring: str, items: Sequence[Item]) -> Choices:
    """Answer with the kit."""
    return {answer.id: answer.chosen for batch in examiner.answers(of, scoring, items) for answer in batch}


def reference(examiner: Examiner, of: ChoiceTask, items: Sequence[Item]) -> Choices:
    """Answer as the reference's scripts do, an item at a time."""
    tokenizer, choices = examiner.tokenizer, {}
    for item in items:
        ids = tokenizer(of.prompt(item), return_tensors="pt")["input_ids"]
        new = len(tokenizer(item.gold, add_special_tokens=False)["input_ids"])
        limit = {"max_length": of.most_tokens} if of.most_tokens else {"max_new_tokens": new}
        with torch.inference_mode():
            whole = examiner.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=tokenizer.eos_token_id, **limit
            )
        choices[item.id] = of.extract(item, tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True))
    return choices


class Harness:
    """lm-evaluation-harness around the same model."""

    def __init__(self, examiner: Examiner) -> None:
        from lm_eval.models.huggingface import HFLM

        self.examiner = examiner
        self.model = HFLM(
            pretrained=examiner.model, tokenizer=examiner.tokenizer, batch_size="auto", max_batch_size=64, device="cpu"
        )

    def choices(self, of: ChoiceTask, items: Sequence[Item]) -> Choices:
        """Answer with the likeliest label."""
        from lm_eval.api.instance import Instance

        from fedlora.language_model.prompt import chat_prompt

        own = bool(self.examiner.tokenizer.chat_template)
        requests = [
            Instance(
                request_type="loglikelihood",
                doc={},
                arguments=(
                    chat_prompt(of.ask(item), self.examiner.tokenizer) if own else of.ask(item),
                    label if own else f" {label}",
                ),
                idx=place,
            )
            for item in items
            for place, label in enumerate(item.labels)
        ]
        found = iter(self.model.loglikelihood(requests, disable_tqdm=True))
        choices = {}
        for item in items:
            values = {label: next(found)[0] for label in item.labels}
            choices[item.id] = max(item.labels, key=values.__getitem__)
        return choices


def timed(act: object, *arguments: object) -> tuple[float, Choices]:
    """Return the seconds that something took, and what came of it."""
    began = time.perf_counter()
    made = act(*arguments)  # type: ignore[operator]
    return time.perf_counter() - began, made


def compare(options: argparse.Namespace, name: str, peer: str, items: Sequence[Item]) -> Iterator[str]:
    """Yield the ratio of items a second, and the share of equal choices."""
    of = task(name)
    assert isinstance(of, ChoiceTask)
    model = obtain(options.base_model)
    ours = Examiner(*load(model, compute=options.compute), batch_tokens=options.batch_tokens)
    # The reference computes in fp32; the harness gets what the kit has.
    theirs = Examiner(*load(model, compute="fp32")) if peer == "reference" else ours
    harness = Harness(ours) if peer == "harness" else None
    scoring = "likelihood" if harness else "flowertune"
    kit(ours, of, scoring, items[:4])  # warms up
    speeds: dict[str, list[float]] = {"kit": [], peer: []}
    equal = 0
    for pair in range(options.pairs):
        part = items[pair * options.items : (pair + 1) * options.items]
        found = {}
        for arm in ("kit", peer) if pair % 2 else (peer, "kit"):
            if arm == "kit":
                seconds, found[arm] = timed(kit, ours, of, scoring, part)
            elif harness:
                seconds, found[arm] = timed(harness.choices, of, part)
            else:
                seconds, found[arm] = timed(reference, theirs, of, part)
            speeds[arm].append(len(part) / seconds)
        equal += sum(found["kit"][item.id] == found[peer][item.id] for item in part)
        print(f"{name}, pair {pair + 1} of {options.pairs}: {speeds['kit'][-1]:.1f} and {speeds[peer][-1]:.1f} items/s")
    goal = "at least 8" if peer == "reference" else "at least 1.2"
    yield ratio(f"{name}: items per second, kit in {options.compute} / {peer}", speeds["kit"], speeds[peer], goal)
    n = options.pairs * options.items
    wanted = "all" if peer == "reference" else "at least 0.995"
    yield json.dumps({"figure": f"{name}: equal choices", "share": digits(equal / n), "n": n, "goal": wanted})


def main() -> None:
    """Measure, and print each figure as a line of JSON."""
    parser = argparse.ArgumentParser(description="How fast items are scored.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=list(REAL), default=["mmlu", "medmcqa", "pubmedqa", "tfns"])
    parser.add_argument("--peers", nargs="+", choices=["reference", "harness"], default=["reference", "harness"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--items", type=int, default=32, help="of each pair")
    parser.add_argument("--compute", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--base-model", default=DEFAULT_BASE_MODEL)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps({"load": [digits(one) for one in os.getloadavg()]}), file=sys.stderr)
    for name in options.tasks:
        with tempfile.TemporaryDirectory() as folder:
            items = list(task(name).read(real_file(options.data, REAL[name][0], Path(folder))))
        random.Random(0).shuffle(items)
        for peer in options.peers:
            for line in compare(options, name, peer, items):  # type: ignore[arg-type]
                print(line, flush=True)


if __name__ == "__main__":
    main()
