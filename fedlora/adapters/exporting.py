"""Writing an adapter out for others: PEFT's files, the spec, and a model card. The same input gives the same bytes."""

import json
import shutil
from pathlib import Path

from fedlora.adapters.card import RunFacts, card
from fedlora.adapters.folder import CONFIG, SPEC, WEIGHTS, Adapter
from fedlora.adapters.scores import Scores

__all__ = ["export"]


def export(adapter: Adapter, directory: Path, facts: RunFacts | None, scores: Scores | None) -> None:
    """Write `adapter` into the folder `directory`; a base model named by a path of this machine loses that path."""
    shutil.copyfile(adapter.directory / WEIGHTS, directory / WEIGHTS)
    config = {**adapter.config, "base_model_name_or_path": adapter.base_model}
    (directory / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if adapter.spec is not None:
        (directory / SPEC).write_text(adapter.spec.to_json() + "\n", encoding="utf-8")
    (directory / "README.md").write_text(card(adapter, facts, scores), encoding="utf-8")
