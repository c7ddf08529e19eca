"""Committing rounds: the checkpoint of one round is written while the next one is trained."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from fedlora.phases import Phase, Stopwatch
from fedlora.wire import AdapterSpec
from fedlora.wire.spec import Vector
from superlink.checkpoints import Checkpoints
from superlink.ledger import Ledger

__all__ = ["Commits"]


class Commits:
    """Commits one round after the other, in a thread of its own.

    Parameters
    ----------
    checkpoints : Checkpoints
        Where they go.
    ledger : Path
        The ledger's file; the thread has a connection of its own.
    epoch : int
        The attempt that commits.
    spec : AdapterSpec
        Of the adapters.
    committed : callable
        Told the number of each round once it is committed.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        ledger: Path,
        epoch: int,
        spec: AdapterSpec,
        committed: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self.checkpoints = checkpoints
        self.ledger = ledger
        self.epoch = epoch
        self.spec = spec
        self.committed = committed
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def begin(self, number: int, adapter: Vector, watch: Stopwatch, state: Mapping[str, Vector] | None = None) -> None:
        """Begin to commit round `number`, whose time is on `watch`, with the strategy's `state` after it.

        Waits for the one before, and raises what went wrong with it.
        """
        watch.enter(Phase.CHECKPOINT)
        self.finish()
        self._thread = threading.Thread(
            target=self._commit, args=(number, adapter, watch, state), name=f"commit-{number}"
        )
        self._thread.start()

    def finish(self) -> None:
        """Wait until what was begun is committed.

        Raises
        ------
        CheckpointError
            If the disk did not take it.
        ReplacedError
            If a newer attempt has begun.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _commit(self, number: int, adapter: Vector, watch: Stopwatch, state: Mapping[str, Vector] | None) -> None:
        try:
            unfinished = self.checkpoints.prepare(number, self.epoch, adapter, self.spec, state)
            ledger = Ledger(self.ledger)
            try:
                with ledger.fence(self.epoch):
                    self.checkpoints.place(unfinished, number)
                    watch.stop()
                    ledger.end_round(number, self.epoch, "aggregated", watch.seconds)
            finally:
                ledger.close()
            self.committed(number)
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits for the commit
            self._error = error
