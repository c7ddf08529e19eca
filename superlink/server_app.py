"""The coordinator's ServerApp: one attempt of a run, from its last checkpoint to its last round."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

import fedlora
from fedlora.adapters.checkpoint import NOTE, file_sha256
from fedlora.audit import Audit, Event
from fedlora.environment import check_rendered_version, runs_directory
from fedlora.errors import CheckpointError, FedloraError, ParticipationError, SpecMismatchError
from fedlora.log import show, written_to
from fedlora.processes import end_with_parent
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector
from superlink.checkpoints import Checkpoint
from superlink.commits import Commits
from superlink.forecast import budget_of
from superlink.grid import Sites
from superlink.handshake import Agreement
from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from superlink.rounds import Rounds
from superlink.run_config import RunConfig
from superlink.runs import RunFolder
from superlink.strategies import new_strategy
from superlink.told import Told, ask_last

__all__ = ["app"]

ALIVE_SECONDS = 2.0
log = logging.getLogger("fedlora.superlink")
app: ServerApp = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one attempt. Flower shows what is raised here as the run's details: our errors begin with their name."""
    # Flower ends a ServerApp whose SuperExec is gone by SIGINT, and one that is fetching an answer then waits for the
    # SuperLink for ever. Whatever a ServerApp is killed in, the next attempt goes on from the last checkpoint.
    end_with_parent(signal.SIGKILL)
    log = show()
    config = RunConfig.from_flower(context.run_config)
    folder = RunFolder(runs_directory(), config.run)
    folder.create()
    ledger = Ledger(folder.ledger)
    audit = folder.audit("serverapp")
    ended = "lost"
    try:
        ledger.start_attempt(config.epoch, context.run_id)
        audit.note_if_possible(
            Event.ATTEMPT_BEGUN,
            run=config.run,
            epoch=config.epoch,
            flower_run=str(context.run_id),
            sites=config.site_names,
        )
        with written_to(folder.log), _alive(folder, config.epoch):
            check_rendered_version()
            log.info("fedlora %s, run %s, epoch %d", fedlora.__version__, config.run, config.epoch)
            _attempt(grid, config, folder, ledger, audit)
        ended = "completed"
        ledger.end_attempt(config.epoch, ended)
    except FedloraError as error:
        ended = f"{type(error).__name__}: {error}"
        ledger.end_attempt(config.epoch, "failed", ended)
        raise type(error)(f"{type(error).__name__}: {error}") from error
    except Exception as error:
        ended = type(error).__name__  # its text may hold anything
        ledger.end_attempt(config.epoch, "failed", f"{ended}: {error}")
        raise
    finally:
        ledger.close()
        audit.note_if_possible(Event.ATTEMPT_ENDED, run=config.run, epoch=config.epoch, outcome=ended)


def _attempt(grid: Grid, config: RunConfig, folder: RunFolder, ledger: Ledger, audit: Audit) -> None:
    checkpoint = folder.checkpoints.newest()
    told = Told(ledger)
    with closing(Sites(grid, config.site_names, lambda: folder.stop_wanted, told.note)) as sites:
        of: dict[str, str | int] = {"run": config.run, "epoch": config.epoch}
        agreement = Agreement(
            sites,
            config,
            lambda site, reason: audit.note_if_possible(Event.SITE_REFUSED, **of, site=site, reason=reason),
        )
        spec = agreement.reach(_joined(sites, config))
        strategy = new_strategy(config.strategy, config.options, spec.adapter)
        done, adapter = _beginning(checkpoint, agreement, spec, config)
        if checkpoint is not None:
            strategy.restore(checkpoint.state, spec.trained(config.factors, done).size)
        _discard(folder, ledger, done, config.epoch)
        budget = budget_of(config, spec)
        if not config.ignore_forecast:
            budget.check_forecast(ledger.spending(), config.rounds - done)
        ledger.forecast(config.epoch, budget.forecast_bytes(ledger.spending(), config.rounds - done, done))
        commits = Commits(
            folder.checkpoints,
            folder.ledger,
            config.epoch,
            spec,
            lambda number: _note_round(number, folder, config, audit),
        )

        def refused(number: int, site: str, reason: str) -> None:
            audit.note_if_possible(Event.UPDATE_REFUSED, **of, round=number, site=site, reason=reason)

        Rounds(config, sites, agreement, spec, ledger, budget, commits, strategy, refused).run(done, adapter)
        ask_last(sites)


def _note_round(number: int, folder: RunFolder, config: RunConfig, audit: Audit) -> None:
    """Note a committed round in the audit log: whose updates are in it, and the hash that names its checkpoint."""
    ledger = Ledger(folder.ledger, readonly=True)
    try:
        sites = ledger.answered(number, config.epoch)
    finally:
        ledger.close()
    note = folder.checkpoints.directory / f"round-{number:04d}" / NOTE
    audit.note_if_possible(
        Event.ROUND_AGGREGATED,
        run=config.run,
        epoch=config.epoch,
        round=number,
        sites=sites,
        checkpoint=file_sha256(note),
    )


def _joined(sites: Sites, config: RunConfig) -> tuple[str, ...]:
    """Wait for the sites; return those that are there, if they satisfy the rule of participation."""
    there = sites.join(config.join_timeout)
    missing = ", ".join(name for name in config.site_names if name not in there)
    if shortage := config.participation.shortage(there):
        raise ParticipationError(
            f"after {config.join_timeout:.0f} s these sites are not online: {missing}. A round would not count: "
            f"{shortage}"
        )
    if missing:
        log.warning("the run begins without %s; whoever comes later joins before the next round", missing)
    return there


def _beginning(
    checkpoint: Checkpoint | None, agreement: Agreement, spec: AdapterSpec, config: RunConfig
) -> tuple[int, Vector]:
    """Return the last round that is done, and its adapter."""
    if checkpoint is None:
        return 0, initial_adapter(spec, config.seed, agreement.magnitudes)
    if checkpoint.spec != spec:
        raise SpecMismatchError(
            f"the sites do not train the adapter of checkpoint round {checkpoint.round}: "
            f"{checkpoint.spec.difference(spec)}"
        )
    return checkpoint.round, checkpoint.adapter


def _discard(folder: RunFolder, ledger: Ledger, done: int, epoch: int) -> None:
    """Note which aggregated rounds are lost because their checkpoints are damaged."""
    lost = sorted(row.number for row in ledger.rounds() if row.state == "aggregated" and row.number > done)
    if lost and done == 0:
        raise CheckpointError(
            f"rounds {lost[0]} to {lost[-1]} were aggregated, and none of the checkpoints in {folder.directory} is "
            f"whole. Bring one back, or submit the run anew under another name"
        )
    if lost:
        log.warning("round(s) %s are trained again: their checkpoints are damaged", ", ".join(map(str, lost)))
        ledger.discard_rounds(done, epoch)


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
