"""The round engine: send the adapter, fold in the updates, commit, go on."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from fedlora.errors import AggregationError, BudgetError, ParticipationError, RunError, WireError
from fedlora.phases import Phase, Stopwatch, divide
from fedlora.wire import AdapterSpec, Payload, check, decode, encode
from fedlora.wire.flower_message import Request
from fedlora.wire.spec import Vector
from superlink.budget import Budget
from superlink.commits import Commits
from superlink.grid import Question, Reply, Sites
from superlink.handshake import Agreement
from superlink.ledger import Ledger, Spending, TurnRow
from superlink.run_config import RunConfig
from superlink.screening import Screening, outlying
from superlink.strategies import Strategy, Updates

__all__ = ["Rounds"]

# What is kept of the figures of an answer besides what has a column of its own.
KEPT = (
    *("first_loss", "last_loss", "answer_tokens", "padded_tokens", "gpu_seconds", "gpu_joules"),
    *("rank", "tokens_at_once", "checkpointing"),
)
LARGEST_FIGURE = 2.0**53
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
    agreement : Agreement
        Who has agreed to train what.
    spec : AdapterSpec
        What they agreed on.
    ledger : Ledger
        Where everything is noted.
    budget : Budget
        What the run may use.
    commits : Commits
        Where aggregated rounds go.
    strategy : Strategy
        How updates become the next adapter.
    refused : callable
        Told round, site and reason of each update that is not folded in because it was refused, here or at the site.
    """

    config: RunConfig
    sites: Sites
    agreement: Agreement
    spec: AdapterSpec
    ledger: Ledger
    budget: Budget
    commits: Commits
    strategy: Strategy[Any]
    refused: Callable[[int, str, str], None] = lambda _number, _site, _reason: None
    _lost: set[str] = field(default_factory=set)  # sites that were offline at the end of the last round
    _counted: dict[str, int] = field(default_factory=dict)  # site: the last round that has an update of it

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
        self._counted.update(self.ledger.counted())
        try:
            for number in range(done + 1, self.config.rounds + 1):
                self.budget.check_round(number, self._spending())
                self.agreement.admit_late()
                watch = Stopwatch()
                adapter = self._round(number, adapter, watch)
                self.commits.begin(number, adapter, watch, self.strategy.state)
        finally:
            self.commits.finish()  # also before an error goes up: what was aggregated is kept

    def _spending(self) -> Spending:
        """Return what is used, and what answers may still use that nobody waits for."""
        spending = self.ledger.spending()
        return replace(spending, bytes=spending.bytes + self.sites.unanswered * self.budget.largest_update)

    def _round(self, number: int, adapter: Vector, watch: Stopwatch) -> Vector:
        started = time.monotonic()
        config, rule = self.config, self.config.participation
        sampled = rule.sample(number)
        absent = self._absent(sampled)
        names = tuple(name for name in sampled if name not in absent)
        self.ledger.start_round(number, config.epoch, sampled)
        watch.enter(Phase.ENCODE)
        broadcast = self._broadcast(number, adapter)
        watch.enter(Phase.WAIT)
        for site, (outcome, reason) in absent.items():
            self._end_turn_without_answer(number, site, outcome, reason)
        part = self.spec.trained(config.factors, number)
        updates = self.strategy.begin(part.size, len(names))
        screening = Screening(part.size, config.largest_update_norm)
        answered = self._collect(number, names, broadcast, updates, screening, watch)
        self._note_findings(number, screening.findings())
        if shortage := rule.shortage(answered):
            self._end_failed(number, watch)
            self._fail(number, shortage)
        self._counted.update(dict.fromkeys(answered, number))
        watch.enter(Phase.AGGREGATE)
        try:
            merged = self._merge(number, adapter, updates, part)
        except RunError:
            self._end_failed(number, watch)
            raise
        seconds = time.monotonic() - started
        log.info("round %d of %d: %d of %d sites, %.1f s", number, config.rounds, len(answered), len(sampled), seconds)
        return merged

    def _broadcast(self, number: int, adapter: Vector) -> Payload:
        """Return the adapter as sites get it.

        What a lossy codec leaves out stays here: updates are against what sites got, and are added to what it was made
        of. So the broadcast may be rough, but nothing of `adapter` is ever lost to it.
        """
        config = self.config
        return encode(
            adapter,
            self.spec,
            kind="global",
            run=config.run,
            epoch=config.epoch,
            round_number=number,
            codec=config.broadcast_codec,
        )

    def _end_failed(self, number: int, watch: Stopwatch) -> None:
        watch.stop()
        with self.ledger.fence(self.config.epoch):
            self.ledger.end_round(number, self.config.epoch, "failed", watch.seconds)

    def _merge(self, number: int, adapter: Vector, updates: Updates, part: AdapterSpec) -> Vector:
        """Return the adapter after the round; only `part` of it has changed."""
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of that is looked for below
            merged = self.strategy.merge(self.spec.cut(adapter, part), updates, part)
        if not np.isfinite(merged).all():
            raise AggregationError(
                f"round {number}: strategy {self.config.strategy} makes values of the updates that are not finite; "
                f"look at the sites' losses, and lower the recipe's learning rate or the coordinator's"
            )
        return self.spec.replaced(adapter, part, merged)

    def _absent(self, sampled: tuple[str, ...]) -> dict[str, tuple[str, str]]:
        """Return which sampled sites are not asked in this round, each with outcome and reason."""
        online, refusals = self.sites.online(), self.agreement.refusals
        absent = {}
        for site in sampled:
            if site in self.agreement.admitted:
                if site in self._lost and site not in online:
                    absent[site] = ("lost", "it has been offline since the round before")
            elif site in refusals:
                absent[site] = ("refused", f"not admitted: {refusals[site]}")
            else:
                absent[site] = ("lost", "it has not been online yet")
        if self.config.participation.shortage([site for site in sampled if site not in absent]):
            # Without them the round cannot count: they have until its deadline to come back.
            return {site: why for site, why in absent.items() if site not in self.agreement.admitted}
        return absent

    def _collect(
        self,
        number: int,
        names: tuple[str, ...],
        broadcast: Payload,
        updates: Updates,
        screening: Screening,
        watch: Stopwatch,
    ) -> set[str]:
        """Ask `names`, take their updates into `updates`, note every turn, and return whose updates there were.

        Sites that have not answered when the deadline has passed are asked again as often as the rule extends a round
        that lacks updates. Once there are as many as the rule wants, the round is closed.
        """
        rule, owing, answered = self.config.participation, dict.fromkeys(names), set[str]()
        for extension in range(self.config.extensions + 1):
            if not owing or (extension > 0 and not rule.shortage(answered)):
                break
            if extension > 0:
                log.warning("round %d has %d update(s) and is extended for %s", number, len(answered), ", ".join(owing))
            question = self._question(number, tuple(owing), broadcast, lambda: not rule.shortage(answered))
            with contextlib.closing(self.sites.ask(question)) as replies:
                for reply in replies:
                    del owing[reply.site]
                    watch.enter(Phase.AGGREGATE)
                    if self._take(number, names, reply, updates, screening):
                        answered.add(reply.site)
                    watch.enter(Phase.WAIT)
                    if rule.enough(answered):
                        break
        online = self.sites.online() if owing or self._lost else {}
        for site in owing:
            updates.miss(names.index(site))
            if site not in online:
                self._end_turn_without_answer(number, site, "lost", "its node is offline")
            elif rule.enough(answered):
                self._end_turn_without_answer(number, site, "late", "the round was closed: it had its updates")
            else:
                seconds = self.config.deadline * (self.config.extensions + 1)
                self._end_turn_without_answer(number, site, "late", f"no answer within {seconds:.0f} s")
        self._lost.update(owing)
        self._lost.difference_update(online, answered)
        return answered

    def _take(self, number: int, names: tuple[str, ...], reply: Reply, updates: Updates, screening: Screening) -> bool:
        """Fold a site's update in, if it may be, and note its turn; return whether it was."""
        turn, update = self._examine(number, reply, screening)
        if update is None:
            updates.miss(names.index(reply.site))
        else:
            updates.add(names.index(reply.site), update, turn.examples)
        self.ledger.end_turn(turn)
        if turn.outcome == "refused":
            self.refused(number, turn.site, turn.reason)
        return update is not None

    def _end_turn_without_answer(self, number: int, site: str, outcome: str, reason: str) -> None:
        log.warning("round %d, site %s: %s: %s", number, site, outcome, reason)
        self.ledger.end_turn(TurnRow(number, self.config.epoch, site, outcome, reason))

    def _question(
        self, number: int, sites: tuple[str, ...], broadcast: Payload, complete: Callable[[], bool]
    ) -> Question:
        epoch, update = self.config.epoch, self.budget.largest_update
        fields = {"run": self.config.run, "epoch": epoch, "round": number}
        requests = {site: Request({**fields, "counted": self._counted.get(site, 0)}, broadcast) for site in sites}

        def affordable(unanswered: int) -> bool:
            return self.budget.allows(self.ledger.spending(), broadcast.size + (unanswered + 1) * update)

        return Question(
            "train",
            requests,
            min(self.config.deadline, self.budget.seconds_left(self.ledger.spending())),
            absence=self.config.absence,
            group=str(number),
            sent=lambda names: self.ledger.sent(number, epoch, names, broadcast.size),
            dropped=lambda site, size: self.ledger.dropped(number, epoch, site, size),
            affordable=affordable,
            complete=complete,
        )

    def _note_findings(self, number: int, findings: Mapping[str, Mapping[str, float]]) -> None:
        """Note what the updates look like beside each other; strange ones are told of, and counted all the same."""
        self.ledger.note_findings(number, self.config.epoch, findings)
        for site, found in findings.items():
            if words := outlying(found):
                told = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items())
                log.warning(
                    "round %d, site %s: its update is an outlier by %s: %s", number, site, " and ".join(words), told
                )

    def _examine(self, number: int, reply: Reply, screening: Screening) -> tuple[TurnRow, Vector | None]:
        """Check a site's answer; return its line for the ledger, and its update if it is to be folded in."""
        answer, figures = reply.answer, _plausible(reply.answer.figures)
        outcome, reason, update, examples = answer.status, answer.reason, None, 0
        if outcome == "ok":
            try:
                sent, weight = self._update(number, answer.payload)
                screening.take(reply.site, sent)
                outcome, update, examples = "answered", sent, weight
            except WireError as error:
                outcome, reason = "refused", f"update refused: {type(error).__name__}: {error}"
        if update is None:
            log.warning("round %d, site %s: %s: %s", number, reply.site, outcome, reason)
        round_trip = reply.seconds if math.isfinite(reply.seconds) else None
        turn = TurnRow(
            round=number,
            epoch=self.config.epoch,
            site=reply.site,
            outcome=outcome,
            reason=reason,
            examples=examples,
            loss=figures.get("loss"),
            round_trip_seconds=round_trip,
            tokens=int(figures["tokens"]) if "tokens" in figures else None,
            bytes_up=answer.size,
            phases={} if round_trip is None else divide(round_trip, figures),
            figures={name: figures[name] for name in KEPT if name in figures},
        )
        return turn, update

    def _update(self, number: int, payload: Payload | None) -> tuple[Vector, int]:
        if payload is None:
            raise WireError("the answer brings no update")
        config, header = self.config, payload.header
        check(header, kind="update", run=config.run, epoch=config.epoch, round=number)
        if not 0 < header.examples < 2**40:
            raise WireError(f"header field examples is {header.examples}; an update comes from at least one")
        part = self.spec.trained(config.factors, number)
        return decode(payload, part, config.upload_codec), header.examples

    def _fail(self, number: int, shortage: str) -> NoReturn:
        if self.budget.seconds_left(self.ledger.spending()) == 0:
            raise BudgetError(f"the run ends in round {number}: its time of {self.budget.seconds:.0f} s is over")
        reasons = "; ".join(
            f"site {turn.site}: {turn.outcome}, {turn.reason}"
            for turn in self.ledger.turns()
            if (turn.round, turn.epoch) == (number, self.config.epoch) and turn.outcome != "answered"
        )
        raise ParticipationError(f"round {number} does not count: {shortage}: {reasons}")


def _plausible(figures: Mapping[str, float]) -> dict[str, float]:
    """Return those of a site's figures that can be what they are called: finite, from 0, and no number too large."""
    return {name: value for name, value in figures.items() if 0 <= value < LARGEST_FIGURE}
