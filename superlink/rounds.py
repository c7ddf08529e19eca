"""The round engine: send the adapter, fold in the updates, commit, go on."""

import logging
import math
import random
import time
from dataclasses import dataclass

import numpy as np

from fedlora.errors import ParticipationError, WireError
from fedlora.wire import AdapterSpec, Payload, check, decode, encode
from fedlora.wire.flower_message import Request
from fedlora.wire.spec import Vector
from superlink.aggregation import WeightedMean
from superlink.budget import Budget
from superlink.commits import Commits
from superlink.grid import Question, Reply, Sites
from superlink.ledger import Ledger, TurnRow
from superlink.run_config import RunConfig

__all__ = ["Rounds", "sample"]

log = logging.getLogger("fedlora.superlink")


def sample(names: tuple[str, ...], config: RunConfig, number: int) -> tuple[str, ...]:
    """Return the sites that take part in round `number`, in the order of `names`: seeded, the same in every attempt."""
    wanted = max(config.min_sites, math.ceil(config.fraction * len(names)))
    chosen = set(random.Random(f"{config.seed}/{number}").sample(names, wanted))  # noqa: S311 - reproducible
    return tuple(name for name in names if name in chosen)


@dataclass(frozen=True)
class Rounds:
    """The rounds of one attempt.

    Attributes
    ----------
    config : RunConfig
        Rounds, deadline and rule of participation.
    sites : Sites
        Who takes part.
    spec : AdapterSpec
        What they agreed on.
    ledger : Ledger
        Where everything is noted.
    budget : Budget
        What the run may use.
    commits : Commits
        Where aggregated rounds go.
    """

    config: RunConfig
    sites: Sites
    spec: AdapterSpec
    ledger: Ledger
    budget: Budget
    commits: Commits

    def run(self, done: int, adapter: Vector) -> None:
        """Run the rounds after round `done`, whose adapter is `adapter`, to the end.

        Raises
        ------
        ParticipationError
            If a round has fewer updates than the rule asks for.
        BudgetError
            If a round could go beyond the budget.
        CheckpointError
            If an aggregated round could not be committed.
        """
        try:
            for number in range(done + 1, self.config.rounds + 1):
                self.budget.check_round(number, self.ledger.payload_bytes())
                adapter = self._round(number, adapter)
                self.commits.begin(number, adapter)
        finally:
            self.commits.finish()  # also before an error goes up: what was aggregated is kept

    def _round(self, number: int, adapter: Vector) -> Vector:
        started = time.monotonic()
        config = self.config
        names = sample(self.sites.names, config, number)
        broadcast = encode(adapter, self.spec, kind="global", run=config.run, epoch=config.epoch, round_number=number)
        self.ledger.start_round(number, config.epoch, dict.fromkeys(names, broadcast.size))
        mean = WeightedMean(self.spec.size, len(names))
        taken = self._collect(number, names, broadcast, mean)
        if taken < config.min_sites:
            self.ledger.end_round(number, config.epoch, "failed")
            raise ParticipationError(self._shortage(number, taken))
        merged: Vector = (adapter.astype(np.float64) + mean.mean()).astype(np.float32)
        seconds = time.monotonic() - started
        log.info("round %d of %d: %d of %d sites, %.1f s", number, config.rounds, taken, len(names), seconds)
        return merged

    def _collect(self, number: int, names: tuple[str, ...], broadcast: Payload, mean: WeightedMean) -> int:
        """Ask `names`, fold their updates into `mean`, note every turn, and return how many updates there were.

        Sites that have not answered when the deadline has passed are asked again as often as the rule extends a round
        that has too few updates.
        """
        positions = {name: position for position, name in enumerate(names)}
        owing, taken = list(names), 0
        for extension in range(self.config.extensions + 1):
            if not owing or (extension > 0 and taken >= self.config.min_sites):
                break
            if extension > 0:
                log.warning("round %d has %d update(s) and is extended for %s", number, taken, ", ".join(owing))
                for site in owing:
                    self.ledger.sent_again(number, self.config.epoch, site, broadcast.size)
            for reply in self.sites.ask(self._question(number, owing, broadcast)):
                owing.remove(reply.site)
                turn, update = self._examine(number, reply)
                if update is None:
                    mean.miss(positions[reply.site])
                else:
                    mean.add(positions[reply.site], update, turn.examples)
                    taken += 1
                self.ledger.end_turn(turn)
        for site in owing:
            mean.miss(positions[site])
            reason = f"no answer within {self.config.deadline:.0f} s"
            self.ledger.end_turn(TurnRow(number, self.config.epoch, site, "late", reason))
            log.warning("round %d, site %s: late", number, site)
        return taken

    def _question(self, number: int, sites: list[str], broadcast: Payload) -> Question:
        epoch = self.config.epoch
        fields = {"run": self.config.run, "epoch": epoch, "round": number}
        return Question(
            "train",
            dict.fromkeys(sites, Request(fields, broadcast)),
            self.config.deadline,
            group=str(number),
            sent_again=lambda site: self.ledger.sent_again(number, epoch, site, broadcast.size),
            dropped=lambda site: self.ledger.dropped(number, epoch, site),
        )

    def _examine(self, number: int, reply: Reply) -> tuple[TurnRow, Vector | None]:
        """Check a site's answer; return its line for the ledger, and its update if it is to be folded in."""
        answer, figures = reply.answer, reply.answer.figures
        outcome, reason, update, examples = answer.status, answer.reason, None, 0
        if outcome == "ok":
            try:
                update, examples = self._update(number, answer.payload)
                outcome = "answered"
            except WireError as error:
                outcome, reason = "refused", f"update refused: {error}"
        if update is None:
            log.warning("round %d, site %s: %s: %s", number, reply.site, outcome, reason)
        loss = figures.get("loss", math.nan)
        turn = TurnRow(
            round=number,
            epoch=self.config.epoch,
            site=reply.site,
            outcome=outcome,
            reason=reason,
            examples=examples,
            loss=loss if math.isfinite(loss) else None,
            train_seconds=figures.get("seconds"),
            round_trip_seconds=reply.seconds,
            tokens=int(figures["tokens"]) if "tokens" in figures else None,
            bytes_up=answer.payload.size if answer.payload else 0,
        )
        return turn, update

    def _update(self, number: int, payload: Payload | None) -> tuple[Vector, int]:
        if payload is None:
            raise WireError("the answer brings no update")
        config, header = self.config, payload.header
        check(header, kind="update", run=config.run, epoch=config.epoch, round=number)
        if not 0 < header.examples < 2**40:
            raise WireError(f"header field examples is {header.examples}; an update comes from at least one")
        return decode(payload, self.spec), header.examples

    def _shortage(self, number: int, taken: int) -> str:
        reasons = "; ".join(
            f"site {turn.site}: {turn.outcome}, {turn.reason}"
            for turn in self.ledger.turns()
            if (turn.round, turn.epoch) == (number, self.config.epoch) and turn.outcome != "answered"
        )
        return f"round {number} has {taken} update(s), the rule asks for {self.config.min_sites}: {reasons}"
