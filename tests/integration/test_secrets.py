"""After a run of a whole federation: its secrets are in their own files and nowhere else."""

import base64
import re
import time
import urllib.request
from pathlib import Path

import pytest
from secret_search import family, forms, found_in, secret_files, shown_by

from fedlora import pki
from fedlora.config import read_toml
from superlink.keeper import KeeperSettings
from superlink.runs import verdict
from supernode.settings import NodeSettings
from tests.integration.conftest import federation
from tests.integration.test_survival import submit

TOKEN = re.compile(rb"--token\0([^\0]+)")
EXPECTED = {"ca.key", "server.key", "superexec.secret", "node.key", "worker.secret"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A federation with a keeper and exporters after a run, and what its processes showed during it."""
    with federation(tmp_path_factory.mktemp("secrets") / "federation", exporters=True) as made:
        made.run = "secrets"
        made.start()
        made.start_keeper()
        made.start_exporter()
        for site in made.sites:
            made.behave(site, seconds=1.0)
        folder, shown = submit(made, rounds=2, min_sites=2), {}
        end = time.monotonic() + 120
        while not verdict(folder).state.ended:
            assert time.monotonic() < end, verdict(folder)
            processes = set().union(*(family(part.process.pid) for part in made.parts.started))
            shown |= dict(shown_by(processes))
            time.sleep(0.1)
        assert verdict(folder).state.value == "completed"
        yield made, shown


@pytest.fixture(scope="module")
def secrets(seen):
    """Each secret's forms, by its file; the tokens that Flower gives to its tasks are others."""
    made, _ = seen
    files = secret_files(made.federation.paths.state)
    assert {file.name for file in files} >= EXPECTED
    return {str(file): forms(file.read_bytes()) for file in files}


def files_of(made) -> list[tuple[str, bytes]]:
    own = set(secret_files(made.federation.paths.state))
    everything = [file for file in made.federation.paths.state.rglob("*") if file.is_file() and file not in own]
    return [(str(file), file.read_bytes()) for file in everything]


def test_the_processes_of_every_part_were_seen(seen):
    _, shown = seen
    commands = b"\n".join(content for name, content in shown.items() if name.startswith("cmdline"))
    for part in (b"flower-superlink", b"flower-superexec", b"superlink.keeper", b"superlink.exporter", b"supernode"):
        assert part in commands, part
    assert any(b"FEDLORA_RUNS=" in content for name, content in shown.items() if name.startswith("environ"))


def test_no_command_line_and_no_environment_has_a_secret(seen, secrets):
    _, shown = seen
    assert found_in(shown.items(), secrets) == []


def test_no_other_file_has_a_secret(seen, secrets):
    """Logs, run folders with ledgers and checkpoints, settings, databases, Flower's own folders."""
    made, _ = seen
    contents = files_of(made)
    names = " ".join(name for name, _ in contents)
    for expected in (
        "superlink.log",
        "supernode.toml",
        "ledger.sqlite",
        "adapter_model.safetensors",
        "superlink.sqlite",
    ):
        assert expected in names, expected
    assert found_in(contents, secrets) == []


def test_no_metric_has_a_secret(seen, secrets):
    made, _ = seen
    described = made.federation
    ports = [described.coordinator.metrics_port, *(site.metrics_port for site in described.site)]
    pages = [(str(port), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()) for port in ports]
    assert all(b"fedlora_" in page for _, page in pages)
    assert found_in(pages, secrets) == []


def test_no_repr_has_a_secret(seen, secrets):
    made, _ = seen
    objects = {
        "federation": made.federation,
        "supernode's settings": read_toml(NodeSettings, made.site("site-1") / "supernode.toml"),
        "keeper's settings": read_toml(KeeperSettings, made.coordinator / "keeper.toml"),
        "node key": pki.node_keys.load_node_key(made.site("site-1") / "node.key"),
        "parts": made.parts.started,
    }
    assert found_in(((name, f"{it!r} {it}".encode()) for name, it in objects.items()), secrets) == []


def test_the_token_of_a_task_is_flowers_and_on_its_command_line_alone(seen):
    """The exception: Flower starts its ServerApp with ``--token``, which is good for that task alone."""
    made, shown = seen
    tokens = {token for content in shown.values() for token in TOKEN.findall(content)}
    assert tokens, "flwr-serverapp has no token on its command line any more: mend docs/security.md"
    secrets = {"token": {form for token in tokens for form in (token, base64.b64encode(token))}}
    environments = [(name, content) for name, content in shown.items() if name.startswith("environ")]
    logs = [
        (name, content) for name, content in files_of(made) if Path(name).suffix != ".sqlite" and "sqlite" not in name
    ]
    assert found_in([*environments, *logs], secrets) == []


@pytest.mark.parametrize("number", range(5))
def test_a_secret_that_stands_somewhere_is_found(tmp_path, number):
    pki.create_secret(tmp_path / "worker.secret")
    pki.create_node_key(tmp_path / "node.key")
    files = secret_files(tmp_path)
    assert [file.name for file in files] == ["node.key", "worker.secret"]
    for file in files:
        known = {file.name: forms(file.read_bytes())}
        one = sorted(known[file.name])[number % len(known[file.name])]
        assert found_in([("log", b"before " + one + b" after")], known) == [f"{file.name} in log"]
        assert found_in([("log", file.read_bytes())], known) == [f"{file.name} in log"]
        assert found_in([("log", b"nothing")], known) == []
