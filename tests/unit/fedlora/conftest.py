"""A folder of runs with one run in it, and the command line on it."""

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from superlink.runs import RunFolder


@pytest.fixture
def run(tmp_path):
    def call(*arguments: str, **options):
        return CliRunner().invoke(
            application, ["run", *arguments, "--runs", str(tmp_path)], env={"COLUMNS": "150", "TERM": "dumb"}, **options
        )

    return call


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path, "tweets")
