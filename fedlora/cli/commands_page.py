"""The page of all commands, ``docs/commands.md``: ``python -m fedlora.cli.commands_page FILE`` writes it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import typer

from fedlora.cli.main import application
from fedlora.errors import by_name

__all__ = ["Invocation", "commands", "page"]

WIDTH = 100  # of the terminal that the help on the page is made for
HEAD = """\
# Commands

What `fedlora COMMAND --help` says, made from the program by `make docs`; a test holds this page to it.
"""
EXIT_CODES = """\
## Exit codes

An error is one line on stderr that names what failed, the value, what is allowed and what to do. Codes are stable, in \
bands: 10-19 input, 20-29 identity, 30-39 processes, 40-49 site, 50-59 wire, 60-69 run, 70-79 evaluation.

| code | error | meaning |
|---|---|---|
| 0 | | all is well |
"""
OTHERS = {2: "the command line is wrong", 130: "Ctrl-C"}

Invocation = tuple[str, click.Context]


def commands() -> Iterator[Invocation]:
    """Yield each command and group as it is typed, with its context, in the order of the help."""
    program = typer.main.get_command(application)
    yield from _below(click.Context(program, info_name="fedlora", terminal_width=WIDTH, **program.context_settings))


def _below(context: click.Context) -> Iterator[Invocation]:
    yield context.command_path, context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _below(click.Context(command, context, name, **command.context_settings))


def page() -> str:
    """Return the page; the same program gives the same text."""
    parts = [HEAD]
    for path, context in commands():
        level = 2 if path.count(" ") < 2 else 3  # commands of a group are below it
        parts.append(f"{'#' * level} `{path}`\n\n```text\n{_help(context)}\n```\n")
    return "\n".join([*parts, EXIT_CODES]) + "".join(_exit_codes())


def _help(context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in context.get_help().strip().splitlines())


def _exit_codes() -> Iterator[str]:
    known = [(error.exit_code, f"`{name}`", error.hint) for name, error in by_name().items()]
    for code, name, meaning in sorted([*known, *((code, "", meaning) for code, meaning in OTHERS.items())]):
        yield " ".join(f"| {code} | {name} | {meaning} |".split()) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
