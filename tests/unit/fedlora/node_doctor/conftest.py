"""A site in order, and what `fedlora node doctor` says of it."""

import json
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.domains import domain
from fedlora.errors import UnfitSiteError
from fedlora.pki import create_node_key, create_secret
from fedlora.processes import free_ports
from fedlora.recipes import recipe as recipe_of
from fedlora.settings_file import write_settings
from fedlora.shards import read_records
from fedlora.shards.shard import write_shard

RECIPE = recipe_of("finance", "quick", rank=2, alpha=4, target_modules=("q_proj",))
GOOD = """\
ok       supernode.toml      SITE/supernode.toml
ok       trainer.toml        SITE/trainer.toml
ok       consent             site-1 takes part
ok       CA certificate      SITE/ca.crt, SHA-256 HASH, 3649 days left
ok       node key            SITE/node.key, ECDSA P-384, public key SHA-256 HASH
ok       worker secret       SITE/worker.secret
ok       name resolution     localhost is ADDRESSES
ok       port                localhost:PORT answers in N ms
ok       TLS                 TLSv1.3; the certificate is for localhost and of this CA
ok       server certificate  for superlink.example, localhost, 127.0.0.1, ::1, 364 days left
fail     clock               this is no answer of a SuperLink that knows its nodes by keys: Method not found!; ADVICE
skipped  registration        the SuperLink does not accept this machine's time
ok       supernode state     SITE/supernode, N free, wished for 100 MB
ok       worker port         PORT on 127.0.0.1 is free
ok       shard               SITE/shard, 120 records of finance, as its manifest says
ok       base model          tiny in SITE/model, 0 MB
ok       policy              HASH allows the recipes finance/quick (HASH)
ok       trainer state       SITE/trainer, N free, wished for 100 MB
ok       memory              N free; the trainer takes about 417 MB, at 512 tokens at once
ok       cores               1 threads on N cores
ok       GPU                 no GPU: training on the CPU
ok       trainer socket      SITE/t.sock, the trainer does not run
"""
WRONG_PORT = "look at the port in `superlink`: it is that of the SuperLink's gRPC for SuperNodes"
GOOD = GOOD.replace("ADVICE", WRONG_PORT)
NAMES = [line[9:27].strip() for line in GOOD.splitlines()]


@contextmanager
def listening(pair: tuple[Path, Path]) -> Iterator[int]:
    """A gRPC server with this certificate and key; yields its port."""
    certificate, key = pair
    listener = grpc.server(ThreadPoolExecutor(2))
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    port = listener.add_secure_port("127.0.0.1:0", credentials)
    listener.start()
    try:
        yield port
    finally:
        listener.stop(None).wait()


@pytest.fixture(scope="module")
def port(server) -> Iterator[int]:
    with listening(server) as number:
        yield number


@pytest.fixture
def site(tmp_path, authority, port, monkeypatch) -> Path:
    """A site that is in order, but for its SuperLink."""
    monkeypatch.setattr(shutil, "which", lambda _program: None)  # no GPU, wherever this runs
    folder = tmp_path / "site"
    folder.mkdir(mode=0o700)
    create_node_key(folder / "node.key")
    create_secret(folder / "worker.secret")
    shutil.copy(authority.certificate_file, folder / "ca.crt")
    (folder / "shard").mkdir()
    finance = domain("finance")
    write_shard(read_records(finance.sample("train"), finance), folder / "shard", finance, name="test")
    (folder / "model").mkdir()
    weights = {"model.layers.0.self_attn.q_proj.weight": np.zeros((8, 8), np.float32)}
    save_file(weights, folder / "model" / "model.safetensors")
    size = {"num_hidden_layers": 1, "hidden_size": 8, "vocab_size": 500}
    (folder / "model" / "config.json").write_text(json.dumps(size))
    (folder / "model" / "tokenizer.json").write_text("{}")
    write_supernode(folder, superlink=f"localhost:{port}")
    write_trainer(folder)
    return folder


def write_supernode(folder: Path, **changes: object) -> None:
    settings = {
        "site": "site-1",
        "domain": "finance",
        "ca-certificate": folder / "ca.crt",
        "node-key": folder / "node.key",
        "runtime-port": free_ports(1)[0],
        "superexec-secret": folder / "worker.secret",
        "trainer": folder / "t.sock",
        "state": folder / "supernode",
    }
    write_settings({**settings, **changes}, folder / "supernode.toml")


def write_trainer(folder: Path, **changes: object) -> None:
    settings = {
        "site": "site-1",
        "domain": "finance",
        "shard": folder / "shard",
        "base-model": folder / "model",
        "base-model-name": "tiny",
        "state": folder / "trainer",
        "socket": folder / "t.sock",
        "policy": {"recipes": [RECIPE]},
    }
    write_settings({**settings, **changes}, folder / "trainer.toml")


def doctor(site: Path) -> str:
    """Return what the doctor says, without what differs from place to place."""
    result = CliRunner().invoke(application, ["node", "doctor", str(site)])
    assert isinstance(result.exception, UnfitSiteError), result.output
    failed = [line[9:27].strip() for line in result.stdout.splitlines() if line.startswith("fail")]
    assert str(result.exception) == f"{len(failed)} of {len(NAMES)} checks failed: {', '.join(failed)}"
    said = result.stdout.replace(str(site), "SITE")
    for pattern, word in (
        (r"localhost is [\d., :]+", "localhost is ADDRESSES"),
        (r"localhost:\d+", "localhost:PORT"),
        (r"(?m)(worker port +(?:port )?)\d+", r"\1PORT"),
        (r"in \d+ ms", "in N ms"),
        (r"[\d.]+ [GM]B free", "N free"),
        (r"on \d+ cores", "on N cores"),
        (r"\b[0-9a-f]{12}\b", "HASH"),
    ):
        said = re.sub(pattern, word, said)
    return said


def differing(site: Path) -> list[str]:
    """Return the lines that are not those of a site in order; the others are."""
    found, good = doctor(site).splitlines(), GOOD.splitlines()
    assert [line[9:27].strip() for line in found] == NAMES
    return [line for line, expected in zip(found, good, strict=True) if line != expected]
