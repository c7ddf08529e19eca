"""The round engine: send the adapter, fold in the updates, go on."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedlora.errors import ParticipationError, WireError
from fedlora.wire import AdapterSpec, Payload, check, decode, encode
from fedlora.wire.flower_message import Request
from fedlora.wire.spec import Vector
from superlink.aggregation import WeightedMean
from superlink.grid import Reply, Sites
from superlink.ledger import Ledger, TurnRow
from superlink.run_config import RunConfig

__all__ = ["Rounds"]

log = logging.getLogger("fedlora.superlink")


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
    """

    config: RunConfig
    sites: Sites
    spec: AdapterSpec
    ledger: Ledger

    def run(self, adapter: Vector, each: Callable[[int, Vector], None]) -> Vector:
        """Run all rounds from `adapter` on and return the last one's; `each` gets every round's number and adapter.

        Raises
        ------
        ParticipationError
            If a round has fewer updates than the rule asks for.
        """
        for number in range(1, self.config.rounds + 1):
            adapter = self._round(number, adapter)
            each(number, adapter)
        return adapter

    def _round(self, number: int, adapter: Vector) -> Vector:
        started = time.monotonic()
        broadcast = encode(
            adapter,
            self.spec,
            kind="global",
            run=self.config.run,
            epoch=self.config.epoch,
            round_number=number,
        )
        names = self.sites.names
        self.ledger.start_round(number, self.config.epoch, dict.fromkeys(names, broadcast.size))
        fields = {"run": self.config.run, "epoch": self.config.epoch, "round": number}
        request = Request(fields, broadcast)
        mean = WeightedMean(self.spec.size, len(names))
        owing = dict(zip(names, range(len(names)), strict=True))
        taken = 0
        requests = dict.fromkeys(names, request)
        for reply in self.sites.ask("train", requests, seconds=self.config.deadline, group=str(number)):
            turn, update = self._examine(number, reply)
            if update is None:
                mean.miss(owing.pop(reply.site))
            else:
                mean.add(owing.pop(reply.site), update, turn.examples)
                taken += 1
            self.ledger.end_turn(turn)
        for site, position in owing.items():
            mean.miss(position)
            self.ledger.end_turn(_turn(number, site, "late", f"no answer within {self.config.deadline:.0f} s"))
            log.warning("round %d, site %s: late", number, site)
        if taken < self.config.min_sites:
            self.ledger.end_round(number, "failed")
            raise ParticipationError(self._shortage(number, taken))
        merged: Vector = (adapter.astype(np.float64) + mean.mean()).astype(np.float32)
        self.ledger.end_round(number, "aggregated")
        log.info(
            "round %d of %d: %d of %d sites, %.1f s",
            number,
            self.config.rounds,
            taken,
            len(names),
            time.monotonic() - started,
        )
        return merged

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
            site=reply.site,
            outcome=outcome,
            reason=reason,
            examples=examples,
            loss=loss if math.isfinite(loss) else None,
            train_seconds=figures.get("seconds"),
            round_trip_seconds=reply.seconds,
            tokens=int(figures["tokens"]) if "tokens" in figures else None,
            bytes_down=0,
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
            if turn.round == number and turn.outcome != "answered"
        )
        return f"round {number} has {taken} update(s), the rule asks for {self.config.min_sites}: {reasons}"


def _turn(number: int, site: str, outcome: str, reason: str) -> TurnRow:
    return TurnRow(number, site, outcome, reason, 0, None, None, None, None, 0, 0)
