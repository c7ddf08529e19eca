"""What tests of a site share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedlora.domains import domain
from fedlora.recipes import Recipe
from fedlora.shards import read_records, write_records
from supernode.trainer.service import ResidentTrainer
from supernode.trainer.settings import Policy, TrainerSettings


@pytest.fixture
def resident_trainer(tiny_model: Path, tmp_path: Path) -> Callable[..., ResidentTrainer]:
    """Return a function that makes the trainer of a site that allows these recipes."""
    records = tmp_path / "records.jsonl"
    write_records(read_records(domain("medical").sample("train"), domain("medical")), records)

    def make(*recipes: Recipe, **policy: object) -> ResidentTrainer:
        places = {"state": tmp_path, "socket": tmp_path / "t.sock"}
        allowed = Policy(recipes, **policy)
        return ResidentTrainer(TrainerSettings("s", "medical", records, tiny_model, "tiny", policy=allowed, **places))

    return make
