"""A drill from its beginning to its end: a run, a fault in the middle of it, and what became of it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from fedlora.cli.drill.runs import Run, Runs
from fedlora.drills import Drill
from fedlora.drills.faults import Fault
from fedlora.errors import NotReadyError, RunError
from superlink.recovery import Recovery, recovery
from superlink.runs import RunState

Result = TypeVar("Result")
__all__ = ["Outcome", "exercise", "undisturbed"]

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Outcome:
    """What a drill has shown.

    Attributes
    ----------
    drill, place, run, reference : str
        Which drill, on what, of which run, and the run without a fault that it was held against; "" for none.
    state, reason : str
        What became of the run.
    struck_in_round : int
        The round that was under way.
    fault_seconds : float
        How long the fault lasted; of a blow, what striking took.
    recovery : Recovery
        What it has cost.
    same_adapter : bool or None
        Whether the final adapter has the same bits as the reference's; None without one, or where a site fell out of a
        round, so that they need not have.
    """

    drill: str
    place: str
    run: str
    reference: str
    state: str
    reason: str
    struck_in_round: int
    fault_seconds: float
    recovery: Recovery
    same_adapter: bool | None

    def facts(self) -> dict[str, object]:
        """Return everything by name, in one level."""
        own = asdict(self)
        return {**{name: own[name] for name in own if name != "recovery"}, **own["recovery"]}


def undisturbed(runs: Runs, name: str, seconds: float) -> None:
    """Have a run without a fault.

    Raises
    ------
    RunError
        If it does not complete.
    """
    runs.submit(name, [])
    ended = _wait(lambda: _ended(runs, name), f"the end of run {name}", seconds)
    if ended.state is not RunState.COMPLETED:
        raise RunError(f"run {name}, without any fault, is {ended.state}: {ended.reason}")


def exercise(
    drill: Drill,
    fault: Fault,
    runs: Runs,
    *,
    reference: str,
    strike_round: int,
    seconds: float,
    say: Callable[[str], None],
) -> Outcome:
    """Do a drill.

    Parameters
    ----------
    drill : Drill
        Which.
    fault : Fault
        What is going to happen.
    runs : Runs
        Where the run is submitted.
    reference : str
        Name of a completed run without a fault, with the same settings; empty for none.
    strike_round : int
        The round in whose middle the fault falls, or a later one.
    seconds : float
        How long to wait, for the round and for the end.
    say : callable
        Told each step.

    Raises
    ------
    NotReadyError
        If the run does not come to its end, or the round not to its beginning, in that time.
    RunError
        If the run ended before anything happened to it.
    """
    site = fault.site if drill.of_a_site else ""
    late = [f"run.deadline={drill.seconds:g}", "run.min-sites=1"] if drill.late else []
    try:
        say("preparing")
        fault.prepare()
        plan = fault.plan  # now: once it has struck, what it tells of may be gone
        runs.submit(fault.run, late)
        say(f"run {fault.run} is submitted; waiting for the middle of round {strike_round}")
        struck = _wait(lambda: _in_round(runs, fault.run, strike_round, site), f"round {strike_round}", seconds)
        say(f"round {struck}: {plan}")
        began = time.time()
        fault.begin()
        try:
            _hold(drill, runs, fault.run, struck)
        finally:
            over = time.time() if drill.seconds else began
            fault.end()
        lasted = time.time() - began
        say("the fault is over; waiting for the end of the run")
        ended = _wait(lambda: _ended(runs, fault.run), f"the end of run {fault.run}", seconds)
    except BaseException:
        runs.stop(fault.run)
        raise
    finally:
        fault.clean()
    found = recovery(ended.attempts, ended.rounds, ended.turns, over, site)
    comparable = reference and not found.turns_lost and ended.state is RunState.COMPLETED
    same = runs.adapter_sha256(fault.run) == runs.adapter_sha256(reference) if comparable else None
    return Outcome(
        drill=drill.name,
        place=fault.field.place.value,
        run=fault.run,
        reference=reference,
        state=ended.state.value,
        reason=ended.reason,
        struck_in_round=struck,
        fault_seconds=lasted,
        recovery=found,
        same_adapter=same,
    )


def _hold(drill: Drill, runs: Runs, run: str, struck: int) -> None:
    """Wait while the fault lasts."""
    if not drill.late:
        time.sleep(drill.seconds)
        return

    def over() -> bool:
        return any(row.number == struck and row.state != "training" for row in runs.look(run).rounds)

    _wait(over, f"the end of round {struck}", 3 * drill.seconds + 30)


def _ended(runs: Runs, name: str) -> Run | None:
    found = runs.look(name)
    return found if found.state.ended else None


def _in_round(runs: Runs, name: str, number: int, site: str) -> int:
    """Return the round that sites have been asked in and that is under way, from `number` on; 0 if there is none."""
    found = runs.look(name)
    if found.state.ended:
        raise RunError(
            f"run {name} is {found.state} before anything happened to it ({found.reason or 'it was too short'}); "
            "its recipe has too few rounds, or too short ones"
        )
    asked = {(turn.round, turn.epoch) for turn in found.turns if turn.tries and turn.outcome == "asked"}
    asked &= {
        (turn.round, turn.epoch) for turn in found.turns if not site or (turn.site, turn.outcome) == (site, "asked")
    }
    under_way = [row for row in found.rounds if row.state == "training" and row.number >= number]
    return next((row.number for row in under_way if (row.number, row.epoch) in asked), 0)


def _wait(look: Callable[[], Result | None], what: str, seconds: float) -> Result:
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise NotReadyError(f"{what}: not within {seconds:.0f} s")
        time.sleep(LOOK_SECONDS)
    return found
