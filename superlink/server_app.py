"""The coordinator's ServerApp: one attempt of a run, from its last checkpoint to its last round."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

import fedlora
from fedlora.environment import runs_directory
from fedlora.errors import FedloraError, SpecMismatchError
from fedlora.log import show, written_to
from fedlora.wire import AdapterSpec, encode
from fedlora.wire.spec import Vector
from superlink.budget import Budget
from superlink.checkpoints import Checkpoint
from superlink.commits import Commits
from superlink.grid import Sites
from superlink.handshake import agree
from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from superlink.rounds import Rounds, sample
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

__all__ = ["app"]

ALIVE_SECONDS = 2.0
app: ServerApp = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one attempt. Flower shows what is raised here as the run's details: our errors begin with their name."""
    log = show()
    config = RunConfig.from_flower(context.run_config)
    folder = RunFolder(runs_directory(), config.run)
    folder.create()
    ledger = Ledger(folder.ledger)
    try:
        ledger.start_attempt(config.epoch, context.run_id)
        with written_to(folder.log), _alive(folder, config.epoch):
            log.info("fedlora %s, run %s, epoch %d", fedlora.__version__, config.run, config.epoch)
            _attempt(grid, config, folder, ledger)
        ledger.end_attempt(config.epoch, "completed")
    except FedloraError as error:
        ledger.end_attempt(config.epoch, "failed", f"{type(error).__name__}: {error}")
        raise type(error)(f"{type(error).__name__}: {error}") from error
    except Exception as error:
        ledger.end_attempt(config.epoch, "failed", f"{type(error).__name__}: {error}")
        raise
    finally:
        ledger.close()


def _attempt(grid: Grid, config: RunConfig, folder: RunFolder, ledger: Ledger) -> None:
    checkpoint = folder.checkpoints.newest()
    sites = Sites(grid, config.site_names, lambda: folder.stop_wanted)
    sites.join(config.join_timeout)
    spec = agree(sites, config)
    done, adapter = _beginning(checkpoint, spec, config)
    budget = Budget(config.budget_bytes, _round_bytes(adapter, spec, config))
    if not config.ignore_forecast:
        budget.check_forecast(ledger.payload_bytes(), config.rounds - done)
    commits = Commits(folder.checkpoints, folder.ledger, config.epoch, spec)
    Rounds(config, sites, spec, ledger, budget, commits).run(done, adapter)


def _beginning(checkpoint: Checkpoint | None, spec: AdapterSpec, config: RunConfig) -> tuple[int, Vector]:
    """Return the last round that is done, and its adapter."""
    if checkpoint is None:
        return 0, initial_adapter(spec, config.seed)
    if checkpoint.spec != spec:
        raise SpecMismatchError(
            f"the sites do not train the adapter of checkpoint round {checkpoint.round}: "
            f"{checkpoint.spec.difference(spec)}"
        )
    return checkpoint.round, checkpoint.adapter


def _round_bytes(adapter: Vector, spec: AdapterSpec, config: RunConfig) -> int:
    """Return the payload bytes of a round in which every sampled site is asked once: its broadcast and its update."""
    message = encode(
        adapter, spec, kind="update", run=config.run, epoch=config.epoch, round_number=config.rounds, examples=10**9
    )
    return 2 * message.size * len(sample(config.site_names, config, 1))


@contextmanager
def _alive(folder: RunFolder, epoch: int) -> Iterator[None]:
    """Say in the ledger, every other second, that this attempt lives."""
    ended = threading.Event()

    def say() -> None:
        ledger = Ledger(folder.ledger)
        while not ended.wait(ALIVE_SECONDS):
            ledger.note_alive(epoch)
        ledger.close()

    thread = threading.Thread(target=say, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
