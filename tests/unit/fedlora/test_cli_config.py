"""`fedlora init` and `fedlora config ...`: whole outputs."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import ConfigurationError
from fedlora.federation import read_federation
from fedlora.federation.schema import json_schema, key_tables
from fedlora.federation.writing import to_toml

TEXT = """\
name = "clinics"
preset = "two-sites"
[coordinator]
host = "superlink.example.org"
[[site]]
name = "site-a"
domain = "medical"
shard = "/data/[bold]"
[[site]]
name = "0"
domain = "medical"
shard = "/data/0"
resources.threads = 2
[[recipe]]
domain = "medical"
"""


def fedlora(*arguments, **environment):
    return CliRunner().invoke(
        application, [*map(str, arguments)], env={"COLUMNS": "150", "TERM": "dumb", **environment}
    )


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "federation.toml"
    file.write_text(TEXT)
    return file


def rows(result):
    """Return key, value and source of each row of a table."""
    assert result.exit_code == 0, result.exception
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines()[3:-1]]


def values(*arguments, **environment):
    result = fedlora("config", "show", *arguments, "--resolved", "--format", "json", **environment)
    assert result.exit_code == 0, result.exception
    return {row["key"]: (row["value"], row["source"], row["where"]) for row in json.loads(result.stdout)["values"]}


def test_init_writes_a_file_that_is_valid_as_it_stands(tmp_path):
    made = tmp_path / "deep" / "new"
    result = fedlora("init", made)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{made}/federation.toml describes a federation: workstation. Change what differs, then: "
        f"fedlora config validate {made}/federation.toml\n",
    )
    checked = fedlora("config", "validate", made / "federation.toml")
    assert (checked.exit_code, checked.stdout) == (
        0,
        f"{made}/federation.toml: federation workstation, 2 site(s); runs train finance/quick at site-1, site-2\n",
    )
    again = fedlora("init", made, "--preset", "two-sites")
    assert isinstance(again.exception, ConfigurationError)
    assert str(again.exception) == (
        f"{made}/federation.toml exists and is not overwritten; name another folder, or move it away"
    )
    assert [entry.name for entry in made.iterdir()] == ["federation.toml"]


def test_show_leaves_the_defaults_out(file):
    assert rows(fedlora("config", "show", file)) == [
        ["name", '"clinics"', "file, line 1"],
        ["preset", '"two-sites"', "file, line 2"],
        ["coordinator.host", '"superlink.example.org"', "file, line 4"],
        ["site[0].name", '"site-a"', "file, line 6"],
        ["site[0].domain", '"medical"', "file, line 7"],
        ["site[0].shard", '"/data/[bold]"', "file, line 8"],
        ["site[1].name", '"0"', "file, line 10"],
        ["site[1].domain", '"medical"', "file, line 11"],
        ["site[1].shard", '"/data/0"', "file, line 12"],
        ["site[1].resources.threads", "2", "file, line 13"],
        ["recipe[0].domain", '"medical"', "file, line 15"],
        ["recipe[0].question", '"input"', "preset, default"],
        ["run.min-sites", "2", "preset, two-sites"],
        ["run.extensions", "1", "preset, two-sites"],
    ]


def test_resolved_shows_every_value_with_its_source(file):
    shown = fedlora("config", "show", file, "--resolved")
    assert shown.stdout == fedlora("config", "show", file, "--resolved").stdout
    listed = rows(shown)
    assert ["coordinator.fleet-port", "9092", "default"] in listed
    assert ["paths.state", f'"{file.parent}/state"', "default"] in listed
    assert ["run.domains", "[]", "default"] in listed
    assert [row[0] for row in listed] == list(values(file))
    assert {row[2] for row in listed if not row[2].startswith("file")} == {
        "default",
        "preset, two-sites",
        "preset, default",
    }


def test_a_recipes_preset_lies_below_the_file(file):
    file.write_text(TEXT + 'preset = "quick"\nrank = 4\n')

    def recipe(*arguments):
        found = values(file, *arguments)
        return [found[f"recipe[0].{key}"] for key in ("rounds", "rank", "question", "alpha", "adapter")]

    assert recipe() == [
        (3, "preset", "quick"),
        (4, "file", "line 17"),
        ("both", "default", ""),
        (32, "preset", "quick"),
        ("lora", "default", ""),
    ]
    other = ("--set", "recipe.medical/quick.rounds=7", "--set", "recipe.medical.preset=flowertune-paper")
    assert recipe(*other) == [
        (7, "command line", ""),
        (4, "file", "line 17"),
        ("both", "default", ""),
        (64, "default", ""),
        ("dora", "preset", "flowertune-paper"),
    ]


def test_each_source_wins_over_those_before_it(file):
    def seed(*arguments, **environment):
        return values(file, *arguments, **environment)["run.extensions"]

    assert values(file)["run.seed"] == (0, "default", "")
    assert seed() == (1, "preset", "two-sites")
    file.write_text(f"{TEXT}[run]\nextensions = 2\n")
    assert seed() == (2, "file", "line 17")
    variable = {"FEDLORA__RUN__EXTENSIONS": "3"}
    assert seed(**variable) == (3, "environment", "FEDLORA__RUN__EXTENSIONS")
    assert seed("--set", "run.extensions=4", **variable) == (4, "command line", "")
    assert seed("--set", "run.extensions=4", "--set", "run.extensions=5", **variable) == (5, "command line", "")


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("site.site-a.resources.threads=4", "site[0].resources.threads", 4),
        ("site.0.seed=5", "site[1].seed", 5),  # a name goes before a number
        ("site[1].seed = 5", "site[1].seed", 5),
        ("site.site-a.policy.largest-norm=2", "site[0].policy.largest-norm", 2.0),
        ("recipe.medical.rounds=9", "recipe[0].rounds", 9),
        ("recipe.0.target-modules=['q_proj']", "recipe[0].target-modules", ["q_proj"]),
        ("run.budget=board", "run.budget", "board"),
        ("run.budget=1e3", "run.budget", 1000.0),
        ("run.required-domains=['medical']", "run.required-domains", ["medical"]),
        ("name=2026", "name", "2026"),
        ("base-model=owner/a=b", "base-model", "owner/a=b"),
        ("paths.state=/srv/x", "paths.state", "/srv/x"),
    ],
)
def test_set(file, setting, key, value):
    assert values(file, "--set", setting)[key] == (value, "command line", "")


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("FEDLORA__COORDINATOR__FLEET_PORT", "9192", "coordinator.fleet-port", 9192),
        ("FEDLORA__SITE__SITE_A__RESOURCES__THREADS", "4", "site[0].resources.threads", 4),
        ("FEDLORA__RUN__FRACTION", "0.5", "run.fraction", 0.5),
        ("FEDLORA__NAME", "other", "name", "other"),
    ],
)
def test_environment(file, variable, text, key, value):
    assert values(file, **{variable: text})[key] == (value, "environment", variable)


def test_another_preset_gives_its_values(file):
    found = values(file, "--set", "preset=four-domains")
    assert found["preset"] == ("four-domains", "command line", "")
    assert found["run.budget"] == ("board", "preset", "four-domains")


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("coordinator.fleetport=1", "command line: coordinator.fleetport: unknown key; did you mean 'fleet-port'?"),
        ("coordinator.fleet-port=x", "command line: coordinator.fleet-port: 'x' is not a whole number from 1 to 65535"),
        ("coordinator.http-port=9092", "command line: coordinator.http-port: 9092 is that of coordinator.fleet-port"),
        ("coordinator=1", "command line: coordinator: is a table; an override sets one value of it"),
        ("site.site-b.seed=1", "command line: site.site-b.seed: nothing is called 'site-b'; there are: site-a, 0"),
        ("site.medical.seed=1", "command line: site.medical.seed: nothing is called 'medical'; there are: site-a, 0"),
        ("site.site-a=1", "command line: site.site-a: is a table; an override sets one value of it"),
        ("name.x=1", "command line: name.x: name is no table"),
        ("run.min-sites=3", "command line: run.min-sites: 3 is more than the 2 site(s) of medical"),
        ("preset=five", "command line: preset: 'five' is not one of workstation, two-sites, four-domains, or \"\""),
    ],
)
def test_what_cannot_be_set(file, setting, problem):
    result = fedlora("config", "validate", file, "--set", setting)
    assert isinstance(result.exception, ConfigurationError)
    head, line = str(result.exception).split("\n")
    assert head == f"{file} has 1 problem(s):"
    assert line.startswith(f"  - {problem}")


def test_a_variable_that_is_none_is_named(file):
    result = fedlora("config", "validate", file, FEDLORA__RUN__MIN_SITE="1")
    assert "environment, FEDLORA__RUN__MIN_SITE: run.min-site: unknown key; did you mean 'min-sites'?" in str(
        result.exception
    )


@pytest.mark.parametrize("setting", ["run.seed", "=1", ""])
def test_a_setting_without_a_value_is_a_wrong_command_line(file, setting):
    result = fedlora("config", "validate", file, "--set", setting)
    assert (result.exit_code, "is not KEY=VALUE" in result.output) == (2, True)


def test_toml_sets_every_value(file):
    result = fedlora("config", "show", file, "--format", "toml")
    assert result.stdout == to_toml(read_federation(file).federation)
    assert tomllib.loads(result.stdout)["run"]["min-sites"] == 2


def test_schema():
    assert json.loads(fedlora("config", "schema").stdout) == json.loads(json.dumps(json_schema()))
    assert fedlora("config", "schema", "--format", "markdown").stdout.rstrip() == key_tables().rstrip()


def test_a_wrong_file_exits_with_the_code_of_its_band(tmp_path):
    program = str(Path(sys.executable).with_name("fedlora"))
    file = tmp_path / "federation.toml"
    file.write_text(TEXT.replace('"site-a"', '"Site A"').replace("threads = 2", "threads = 0"))
    done = subprocess.run([program, "config", "validate", file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr == (
        f"error: {file} has 2 problem(s):\n"
        "  - line 6: site[0].name: 'Site A' is not a name: 1 to 64 of a-z, 0-9 and -, with a letter or digit at both "
        "ends\n"
        "  - line 13: site[1].resources.threads: 0 is not a whole number of at least 1\n"
    )
