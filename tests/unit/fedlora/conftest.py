"""What the tests of the shared package have in common: a folder of runs with the command line on it; certificates."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_mirror import Mirror, running_mirror
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.pki import Authority, create_authority, issue_server_certificate
from superlink.runs import RunFolder

NAMES = ("superlink.example", "localhost", "127.0.0.1", "::1")


@pytest.fixture
def federation_file(tmp_path):
    """A federation of two sites whose runs lie in `tmp_path`."""
    file = tmp_path / "federation.toml"
    sites = "".join(f'[[site]]\nname = "{name}"\ndomain = "finance"\nshard = "{name}"\n' for name in ("a", "b"))
    file.write_text(
        'name = "test"\n[coordinator]\nhost = "superlink.example"\nruns = "."\n'
        f'{sites}[[recipe]]\ndomain = "finance"\npreset = "quick"\nrounds = 2\n'
    )
    return file


@pytest.fixture
def run(tmp_path, federation_file):
    """Call `fedlora run ...` on the federation of that file."""

    def call(*arguments: str, **options):
        where = (str(federation_file),) if arguments[0] == "submit" else ("--runs", str(tmp_path))
        return CliRunner().invoke(
            application, ["run", *arguments, *where], env={"COLUMNS": "150", "TERM": "dumb"}, **options
        )

    return call


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path, "tweets")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA, in a folder of its own."""
    return create_authority(tmp_path_factory.mktemp("ca"), federation="test")


@pytest.fixture(scope="module")
def server(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of a server with NAMES, in a folder of their own."""
    return issue_server_certificate(authority, tmp_path_factory.mktemp("server"), names=NAMES)


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let every mode through, so that a file is private because it was asked for."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A mirror of a model hub on loopback."""
    with running_mirror() as mirror:
        yield mirror


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Return a function that calls ``fedlora model``, with a cache of its own."""
    monkeypatch.setenv("FEDLORA_CACHE", str(tmp_path / "cache"))

    def call(*arguments: object):
        environment = {"COLUMNS": "200", "TERM": "dumb"}
        return CliRunner().invoke(application, ["model", *map(str, arguments)], env=environment)

    return call
