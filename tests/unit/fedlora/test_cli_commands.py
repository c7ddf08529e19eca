"""The command line against what is written of it: the page of commands, examples, lines in the documentation."""

import re
import shlex
from pathlib import Path

import click
import pytest

from fedlora import errors
from fedlora.cli.commands_page import commands, page

REPOSITORY = Path(__file__).parents[3]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
COMMANDS = dict(commands())
EXAMPLE = "\b\nExample: "


def parse(line: str) -> str:
    """Have the program's own parser read a command line, without running it; return the command's name."""
    program, *words = shlex.split(line, comments=True)
    context = COMMANDS[program].command.make_context(program, words)
    while isinstance(context.command, click.Group):
        group = context.command
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context.command_path


def written() -> list[tuple[str, str]]:
    """Return the command lines in the blocks of README and documentation, each with its page."""
    lines = [(file.name, line) for file in PAGES for line in file.read_text(encoding="utf-8").splitlines()]
    found = [(name, re.fullmatch(r"(?:    |\$ )(fedlora .*?)(?: [>|] .*)?", line)) for name, line in lines]
    return [(name, match[1]) for name, match in found if match]


def test_the_page_of_commands_is_what_the_program_says():
    made = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    assert made == page(), "run: make docs"
    assert page() == page()


def test_the_page_has_every_command_and_every_exit_code():
    text = page()
    assert re.findall(r"^##+ `(.*)`$", text, re.MULTILINE) == list(COMMANDS)
    rows = re.findall(r"^\| (\d+) \|(?: `(\w+)`)? \|", text, re.MULTILINE)
    assert [row for row in rows if row[1]] == [
        (str(error.exit_code), name)
        for name, error in sorted(errors.by_name().items(), key=lambda one: one[1].exit_code)
    ]
    assert {code for code, name in rows if not name} == {"0", "2", "130"}
    bands = " ".join(errors.__doc__.partition("Exit codes are stable: ")[2].split()).partition(". ")[0]
    assert bands in text


@pytest.mark.parametrize("path", COMMANDS)
def test_an_example_is_a_command_line_of_its_command(path):
    epilog = COMMANDS[path].command.epilog
    assert epilog.startswith(EXAMPLE)
    assert f"{parse(epilog.removeprefix(EXAMPLE))} ".startswith(f"{path} ")


@pytest.mark.parametrize("path", COMMANDS)
def test_every_argument_and_option_says_what_it_is(path):
    command = COMMANDS[path].command
    assert [one.name for one in command.params if not one.help] == []
    shown = " ".join(command.get_help(COMMANDS[path]).split())
    assert [one.name for one in command.params if " ".join(one.help.split()) not in shown] == []


def test_every_command_line_in_the_documentation_is_one():
    assert {name for name, _ in written()} >= {"README.md", "shards.md", "adapters.md", "identity.md"}
    wrong = []
    for name, line in written():
        try:
            parse(line)
        except click.UsageError as error:
            wrong.append(f"{name}: {line}: {error.format_message()}")
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("fedlora shard improt a.csv b", "No such command 'improt'"),
        ("fedlora shard import a.csv b --domian finance", "No such option '--domian'"),
        ("fedlora shard import a.csv b --domain sport", "'sport' is not one of"),
        ("fedlora shard import a.csv", "Missing argument 'DIR'"),
    ],
)
def test_a_wrong_command_line_would_be_found(line, reason):
    with pytest.raises(click.UsageError) as caught:
        parse(line)
    assert reason in caught.value.format_message()


def test_the_readmes_options_are_those_of_the_demo():
    table = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("| option | meaning |")[2]
    told = set(re.findall(r"`(--[a-z-]+)", "".join(re.findall(r"^\| (`--.*?) \|", table, re.MULTILINE))))
    known = {one.opts[0] for one in COMMANDS["fedlora demo"].command.params}
    assert told == known
