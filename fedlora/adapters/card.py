"""The model card of an adapter: a README that a model hub shows, and that people read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fedlora.adapters.folder import Adapter
from fedlora.adapters.scores import Scores

__all__ = ["RunFacts", "card"]

MEBI = 2**20
TAGS = ("federated-learning", "fedlora", "lora")

USE = """\
## How to use it

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base_model = {base_model}
tokenizer = AutoTokenizer.from_pretrained(base_model)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_model), "folder of this adapter")
```
"""

PROMPT = """\
It was trained on prompts of this form, the answer following after one space; the `Input` line is left out where there \
is no input:

```
Instruction: what is asked
Input: what it is asked about
Answer:
```
"""

LIMITS = """\
## Limits

A score holds for records like those it was measured on. The records themselves did not leave their owners, but an \
adapter can keep traces of what it was trained on.
"""


@dataclass(frozen=True)
class RunFacts:
    """What a card tells of the run that an adapter comes from.

    Attributes
    ----------
    name, domain : str
        Which run, and what its records are about.
    rounds : int
        Aggregated rounds up to the adapter.
    sites : tuple of str
        Who was in the aggregates.
    names : bool
        Whether the sites may be named; else they are counted.
    records : int
        Records that the updates were trained on, counted again in each round.
    payload_bytes : int
        Both directions, all attempts.
    """

    name: str
    domain: str
    rounds: int
    sites: tuple[str, ...]
    names: bool
    records: int
    payload_bytes: int


def card(adapter: Adapter, facts: RunFacts | None, scores: Scores | None) -> str:
    """Return the README of an adapter; the same adapter, facts and scores give the same text."""
    base_model = json.dumps(_line(adapter.base_model), ensure_ascii=False)  # text in JSON is text in YAML and Python
    parts = [
        _front_matter(base_model),
        f"# LoRA adapter for {_plain(adapter.base_model)}\n",
        _story(facts) + "\n",
        _table(["", ""], _properties(adapter, facts)),
    ]
    if scores is not None:
        parts += ["## Scores\n", _score_table(scores)]
    parts.append(USE.format(base_model=base_model))
    if adapter.spec is not None:  # of an adapter that the kit has not made, it says only what it has seen
        parts += [PROMPT, LIMITS]
    return "\n".join(parts)


def _front_matter(base_model: str) -> str:
    tags = "\n".join(f"- {tag}" for tag in TAGS)
    return f"---\nbase_model: {base_model}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n{tags}\n---\n"


def _story(facts: RunFacts | None) -> str:
    if facts is None:
        return "Low-rank changes to the weights of a language model, in the layout of PEFT."
    sites = f"{len(facts.sites)} sites" if len(facts.sites) != 1 else "one site"
    return (
        f"Trained by federated averaging for the domain {_plain(facts.domain)}: {sites} trained on records of their "
        "own, and only adapters were exchanged."
    )


def _properties(adapter: Adapter, facts: RunFacts | None) -> list[tuple[str, str]]:
    rows = [("base model", _plain(adapter.base_model))]
    if adapter.spec is not None:
        rows += [
            ("SHA-256 of the base model", f"`{adapter.spec.base_model_sha256}`"),
            ("SHA-256 of its tokenizer", f"`{adapter.spec.tokenizer_sha256}`"),
            ("recipe", f"{_plain(adapter.spec.recipe)}, SHA-256 `{adapter.spec.recipe_sha256}`"),
            ("made with", f"fedlora {_plain(adapter.spec.kit_version)}"),
        ]
    rows += [
        ("rank, alpha", f"{adapter.rank}, {adapter.alpha:g}"),
        ("adapted modules", _plain(", ".join(adapter.target_modules))),
        ("parameters", f"{adapter.size:,}"),
    ]
    if facts is not None:
        named = f": {_plain(', '.join(facts.sites))}" if facts.names else ""
        rows += [
            ("run", _plain(facts.name)),
            ("rounds", str(facts.rounds)),
            ("sites", f"{len(facts.sites)}{named}"),
            ("records trained on, each counted once a round", f"{facts.records:,}"),
            ("payload, both directions", f"{facts.payload_bytes:,} bytes ({facts.payload_bytes / MEBI:.1f} MiB)"),
        ]
    elif adapter.checkpoint is not None:
        rows.append(("round", str(adapter.checkpoint.round)))
    return rows


def _score_table(scores: Scores) -> str:
    score = scores.base
    rows = []
    if score.majority is not None:
        rows.append(("always the most frequent label", f"{score.majority:.1%}", ""))
    for name, one in (("base model", scores.base), ("with this adapter", scores.adapted)):
        rows.append((name, f"{one.accuracy:.1%}", f"{one.low:.1%} to {one.high:.1%}"))
    heading = f"{_plain(score.measure)} on {score.records:,} held-out records, n = {score.n:,} {_plain(score.unit)}"
    return _table(["", heading, "95 % interval"], rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _plain(text: str) -> str:
    """Return text of somebody else so that neither Markdown nor HTML takes any of it for its own."""
    return "".join(f"\\{letter}" if letter in "|<>[]`*\\" else letter for letter in _line(text))


def _line(text: str) -> str:
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
