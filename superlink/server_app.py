"""The coordinator's ServerApp: one attempt of a run, from the handshake to the last adapter."""

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedlora.environment import runs_directory
from fedlora.errors import FedloraError
from fedlora.log import show
from superlink.grid import Sites
from superlink.handshake import agree
from superlink.initialisation import initial_adapter
from superlink.ledger import Ledger
from superlink.rounds import Rounds
from superlink.run_config import RunConfig
from superlink.runs import RunFolder

__all__ = ["app"]

app: ServerApp = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one attempt. Flower shows what is raised here as the run's details: our errors begin with their name."""
    show()
    config = RunConfig.from_flower(context.run_config)
    folder = RunFolder(runs_directory(), config.run)
    folder.create()
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(config.epoch, context.run_id)
    try:
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
    sites = Sites(grid, config.site_names)
    sites.join(config.join_timeout)
    spec = agree(sites, config)
    Rounds(config, sites, spec, ledger).run(
        initial_adapter(spec, config.seed), lambda number, adapter: folder.save(number, adapter, spec)
    )
