"""The coordinator needs no torch: its modules import where torch and its friends are not installed."""

import subprocess
import sys

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "peft", "bitsandbytes", "datasets", "pyarrow"}:
            raise ModuleNotFoundError(f"{name} is not installed at the coordinator")
sys.meta_path.insert(0, Block())
"""


def test_the_coordinator_needs_no_torch():
    modules = ("superlink.server_app", "superlink.control", "supernode.worker", "fedlora.cli.demonstration")
    modules += (
        "fedlora.cli.adapter.facts",
        "fedlora.adapters.exporting",
        "fedlora.cli.shard.source",
        "supernode.doctor",
        "evaluator.leaderboard.site",
        "evaluator.leaderboard.submission",
        "fedlora.cli.leaderboard.run_figures",
    )
    program = BLOCK + f"import {', '.join(modules)}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_block_blocks():
    done = subprocess.run([sys.executable, "-c", BLOCK + "import torch"], capture_output=True, text=True)
    assert "torch is not installed at the coordinator" in done.stderr


def test_the_three_parts_are_ours():
    import evaluator
    import fedlora
    import superlink
    import supernode

    homes = {module.__file__.rsplit("/", 2)[0] for module in (evaluator, fedlora, superlink, supernode)}
    assert len(homes) == 1
