"""What ``fedlora demo`` shows: progress while it runs, a table or JSON at the end."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from fedlora.cli.turns import turn_line, turn_table
from superlink.ledger import RoundRow, TurnRow

__all__ = ["Progress", "Report", "print_report"]


@dataclass(frozen=True)
class Report:
    """What a demo run came to.

    Attributes
    ----------
    domain, base_model : str
        What was trained.
    sites : tuple of str
        Who took part.
    rounds, turns : list
        From the ledger.
    scores : dict
        The evaluator's scores of ``base`` and ``adapted``.
    adapter : Path
        Folder of the final adapter.
    """

    domain: str
    base_model: str
    sites: tuple[str, ...]
    rounds: list[RoundRow]
    turns: list[TurnRow]
    scores: dict[str, Any]
    adapter: Path

    def moved(self, adapter: Path) -> "Report":
        """Return the same report with the adapter in another place."""
        return dataclasses.replace(self, adapter=adapter)

    def to_json(self) -> str:
        """Return the report as one JSON document; seconds, bytes and nats are named in the keys."""
        rounds = [
            {
                "round": row.number,
                "state": row.state,
                "seconds": None if row.ended_at is None else round(row.ended_at - row.started_at, 3),
                "sites": [
                    {key: value for key, value in dataclasses.asdict(turn).items() if key != "round"}
                    for turn in self.turns
                    if turn.round == row.number
                ],
            }
            for row in self.rounds
        ]
        document = {
            "domain": self.domain,
            "base_model": self.base_model,
            "sites": list(self.sites),
            "rounds": rounds,
            "payload_bytes": {
                "down": sum(turn.bytes_down for turn in self.turns),
                "up": sum(turn.bytes_up for turn in self.turns),
            },
            "evaluation": self.scores,
            "adapter": str(self.adapter),
        }
        return json.dumps(document, indent=2)


class Progress:
    """Live progress on stderr: a spinner and the rounds so far on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._live = Live(console=self.console, refresh_per_second=8, transient=True)
        self._said: set[tuple[int, str]] = set()
        self._step = ""

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def step(self, what: str) -> None:
        """Say what is done now."""
        self._step = what
        if self.console.is_terminal:
            self._live.update(Spinner("dots", text=what))
        self.say(f"- {what}")

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def rounds(self, rounds: Sequence[RoundRow], turns: Sequence[TurnRow], planned: int) -> None:
        """Show the rounds as they are."""
        for turn in turns:
            if turn.outcome != "asked" and (turn.round, turn.site) not in self._said:
                self._said.add((turn.round, turn.site))
                self.say(f"  {turn_line(turn, planned)}")
        if rounds and self.console.is_terminal:
            waiting = [turn.site for turn in turns if turn.round == rounds[-1].number and turn.outcome == "asked"]
            text = f"round {rounds[-1].number} of {planned}: {', '.join(waiting) or 'aggregating'}"
            self._live.update(Spinner("dots", text=text))


def print_report(report: Report, *, as_json: bool) -> None:
    """Print the report on stdout."""
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
        return
    console = Console()
    title = f"{report.domain}, {report.base_model}, {len(report.sites)} sites"
    console.print(turn_table(report.turns, title))
    console.print(_scores_table(report))
    console.print(f"The adapter is in {report.adapter}", soft_wrap=True, highlight=False)


def _scores_table(report: Report) -> Table:
    base, adapted = report.scores["base"], report.scores["adapted"]
    title = f"{base['measure']} on {base['records']} held-out records, n = {base['n']} {base['unit']}"
    table = Table(title=title, title_justify="left")
    table.add_column("model")
    table.add_column("accuracy", justify="right")
    table.add_column("95 % interval", justify="right")
    if base["majority"] is not None:
        table.add_row("always the most frequent label", f"{base['majority']:.1%}", "")
    for name, score in (("base model", base), ("with the federated adapter", adapted)):
        table.add_row(name, f"{score['accuracy']:.1%}", f"{score['low']:.1%} to {score['high']:.1%}")
    return table
