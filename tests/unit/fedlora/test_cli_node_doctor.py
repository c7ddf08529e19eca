"""`fedlora node doctor` at a site whose SuperLink is a gRPC server without Flower; with one, see tests/integration."""

import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from safetensors.numpy import save_file
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.domains import domain
from fedlora.errors import UnfitSiteError
from fedlora.pki import create_authority, create_node_key, create_secret, issue_server_certificate
from fedlora.processes import free_ports
from fedlora.recipes import Recipe
from fedlora.settings_file import write_settings
from fedlora.shards import read_records
from fedlora.shards.shard import write_shard
from supernode.doctor import machine
from supernode.heartbeat import node_heartbeat

RECIPE = Recipe("finance", rank=2, alpha=4, target_modules=("q_proj",))
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
ok       policy              HASH allows the recipes finance/default (HASH)
ok       trainer state       SITE/trainer, N free, wished for 100 MB
ok       memory              N free; the trainer takes about 404 MB, at 512 tokens at once
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


NO_TLS = [
    "skipped  server certificate  there is no TLS",
    "skipped  clock               there is no TLS",
    "skipped  registration        there is no TLS",
]


def test_a_site_in_order_whose_superlink_is_none(site):
    assert doctor(site) == GOOD
    result = CliRunner().invoke(application, ["node", "doctor", str(site / "supernode.toml"), "--format", "json"])
    found = json.loads(result.stdout)
    assert [one["check"] for one in found] == NAMES
    assert found[10] == {
        "check": "clock",
        "outcome": "fail",
        "found": "this is no answer of a SuperLink that knows its nodes by keys: Method not found!",
        "advice": WRONG_PORT,
    }
    assert sorted(entry.name for entry in site.iterdir()) == sorted(
        ["ca.crt", "model", "node.key", "node.key.pub", "shard", "supernode.toml", "trainer.toml", "worker.secret"]
    )  # nothing was made


def test_wrong_ca(site, tmp_path):
    other = create_authority(tmp_path, federation="test")
    shutil.copy(other.certificate_file, site / "ca.crt")
    assert differing(site) == [
        "fail     TLS                 the certificate was not issued by the CA of SITE/ca.crt; get the federation's "
        "ca.crt from the coordinator, and compare its SHA-256 by another way",
        *NO_TLS,
    ]


def test_no_ca(site):
    (site / "ca.crt").unlink()
    assert differing(site) == [
        "fail     CA certificate      cannot read the certificate SITE/ca.crt: No such file or directory; get the "
        "federation's ca.crt from the coordinator",
        "skipped  TLS                 the CA certificate cannot be used",
        *NO_TLS,
    ]


@pytest.mark.parametrize("name", ["other.example", "127.0.0.9"])
def test_wrong_name(site, authority, tmp_path, name):
    with listening(issue_server_certificate(authority, tmp_path, names=[name])) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        assert differing(site) == [
            f"fail     TLS                 the certificate is for {name}, not for localhost; write one of these into "
            "`superlink`, or let the coordinator add the name: fedlora pki server",
            *NO_TLS,
        ]


def test_expired(site, authority, tmp_path):
    with listening(issue_server_certificate(authority, tmp_path, names=["localhost"], days=0)) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        assert differing(site) == [
            f"fail     TLS                 the certificate expired on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; the "
            "coordinator renews it with fedlora pki renew, and starts the SuperLink anew",
            *NO_TLS,
        ]


def test_not_yet_valid(site, authority, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("fedlora.pki.contents.now", lambda: datetime.now(UTC) + timedelta(days=1))
        pair = issue_server_certificate(authority, tmp_path, names=["localhost"])
    with listening(pair) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        tls, *others = differing(site)
    assert tls.startswith("fail     TLS                 the certificate is not valid before ")
    assert tls.endswith(" UTC; look at this machine's clock")
    assert others == NO_TLS


def test_a_certificate_that_ends_soon(site, authority, tmp_path):
    with listening(issue_server_certificate(authority, tmp_path, names=["localhost"], days=20)) as port:
        write_supernode(site, superlink=f"localhost:{port}")
        assert differing(site) == [
            "warn     server certificate  for localhost, 19 days left; the coordinator renews it with fedlora pki "
            "renew, and starts the SuperLink anew"
        ]


def test_a_port_without_tls(site):
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            for _ in range(2):  # one look at the port, one at TLS
                connection, _ = listener.accept()
                with connection, suppress(ConnectionError):  # the look at the port is over at once
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.recv(1000)

        done = pool.submit(serve)
        write_supernode(site, superlink=f"localhost:{listener.getsockname()[1]}")
        assert differing(site) == [
            "fail     TLS                 localhost:PORT does not speak TLS: WRONG_VERSION_NUMBER; look at the port in "
            "`superlink`",
            *NO_TLS,
        ]
        done.result(10)


def test_a_name_that_nobody_knows(site):
    write_supernode(site, superlink="superlink.invalid:9092")
    name, *others = differing(site)
    assert name.startswith("fail     name resolution     superlink.invalid: ")
    assert name.endswith("; look at `superlink` in supernode.toml, and at this machine's DNS")
    assert others == [
        "skipped  port                the name is not known",
        "skipped  TLS                 the port does not answer",
        *NO_TLS,
    ]


def test_a_port_at_which_nobody_listens(site):
    write_supernode(site, superlink=f"localhost:{free_ports(1)[0]}")
    assert differing(site) == [
        "fail     port                localhost:PORT: Connection refused; ask the coordinator whether the SuperLink "
        "runs; else a firewall is in between: it must let out TCP",
        "skipped  TLS                 the port does not answer",
        *NO_TLS,
    ]


# --- keys


NO_KEY = [
    "skipped  clock               the node key cannot be used",
    "skipped  registration        the node key cannot be used",
]


def test_a_world_readable_key(site):
    (site / "node.key").chmod(0o644)
    assert differing(site) == [
        "fail     node key            SITE/node.key has mode 0644: others may read it; run: chmod 600 SITE/node.key",
        *NO_KEY,
    ]


def test_a_folder_that_others_may_enter(site):
    site.chmod(0o755)
    problem = "SITE has mode 0755: others may enter it; run: chmod 700 SITE"
    assert differing(site) == [
        f"fail     node key            {problem}",
        f"fail     worker secret       {problem}",
        *NO_KEY,
    ]


def test_a_key_of_another_curve(site):
    key = ec.generate_private_key(ec.SECP256R1())
    nothing = serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, nothing)
    (site / "node.key").write_bytes(content)
    assert differing(site) == [
        "fail     node key            SITE/node.key is not an ECDSA P-384 key; make one with fedlora node keygen DIR, "
        "and let the coordinator register it",
        *NO_KEY,
    ]


def test_halves_of_two_keys(site, tmp_path):
    shutil.copy(create_node_key(tmp_path / "other"), site / "node.key.pub")
    assert differing(site) == [
        "fail     node key            node.key and node.key.pub do not belong together; bring the right one back",
        *NO_KEY,
    ]


# --- data


def test_a_shard_that_was_changed(site):
    data = site / "shard" / "records.jsonl"
    data.write_text(data.read_text().replace('"instruction"', '"order"', 1))
    fields = "the fields are order, input, output; the manifest's schema is instruction, input, output"
    assert differing(site) == [
        f"fail     shard               SITE/shard/records.jsonl, line 1: {fields} (and 3 more); see: fedlora shard "
        "validate SITE/shard"
    ]


def test_a_shard_of_another_domain(site):
    write_trainer(site, domain="medical")
    assert differing(site) == [
        "fail     shard               SITE/shard: is a shard of domain finance, not of medical",
    ]


def test_a_plain_file(site):
    shutil.copy(site / "shard" / "records.jsonl", site / "records.jsonl")
    write_trainer(site, shard=site / "records.jsonl")
    assert differing(site) == [
        "ok       shard               SITE/records.jsonl, 120 records of finance; a plain file, which no manifest "
        "guards"
    ]


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (shutil.rmtree, "SITE/model is no folder"),
        (
            lambda model: (model / "tokenizer.json").unlink(),
            "SITE/model is not a base model: no tokenizer. A base model is a folder with config.json, *.safetensors "
            "and tokenizer files",
        ),
        (
            lambda model: (model / "config.json").write_text("{}"),
            "SITE/model/config.json does not say how large the model is: 'num_hidden_layers'",
        ),
    ],
    ids=["missing", "incomplete", "strange"],
)
def test_a_base_model_that_is_none(site, spoil, found):
    spoil(site / "model")
    assert differing(site) == [
        f"fail     base model          {found}; bring it there, or name another folder in trainer.toml",
        "skipped  memory              the base model cannot be used",
    ]


def test_settings_that_are_wrong_do_not_hide_the_rest(site):
    write_supernode(site, superlink="grpc://localhost:9092", **{"runtime-port": 70000})
    found = doctor(site).splitlines()
    assert found[0] == (
        "fail     supernode.toml      SITE/supernode.toml has 2 problem(s): - superlink: 'grpc://localhost:PORT' is "
        "not HOST:PORT, without a scheme, with a port from 1 to 65535 - runtime-port: 70000 is not a whole number "
        "from 1 to 65535; correct that, or name the site's folder, where supernode.toml and trainer.toml are"
    )
    assert found[1] == GOOD.splitlines()[1]
    assert found[2:14] == [f"skipped  {name:<18}  supernode.toml cannot be used" for name in NAMES[2:14]]
    assert found[14:] == GOOD.splitlines()[14:]


# --- the machine


def with_little(what: str, count: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what makes a machine have little of something."""

    def take(monkeypatch: pytest.MonkeyPatch) -> None:
        if what == "disk":
            usage = shutil.disk_usage("/")._replace(free=count)
            monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
        else:
            monkeypatch.setattr(machine, "_free_memory", lambda: count)

    return take


@pytest.mark.parametrize(
    ("little", "lines"),
    [
        (
            with_little("disk", 90 * 10**6),
            [
                f"warn     {part:<18}  SITE/{part.split()[0]}, N free, wished for 100 MB; make room before the disk is "
                "full"
                for part in ("supernode state", "trainer state")
            ],
        ),
        (
            with_little("disk", 1000),
            [
                f"fail     {part:<18}  SITE/{part.split()[0]}, N free, wished for 100 MB; make room: not even the next "
                "update can be kept"
                for part in ("supernode state", "trainer state")
            ],
        ),
        (
            with_little("memory", 200 * 10**6),
            [
                "warn     memory              N free; the trainer takes about 404 MB, at 512 tokens at once; lower "
                "tokens-at-once in trainer.toml, or end other programs"
            ],
        ),
        (
            with_little("memory", 100),
            [
                "fail     memory              N free; the trainer takes about 404 MB, at 512 tokens at once; the base "
                "model alone does not fit: take a smaller one, or more memory"
            ],
        ),
    ],
    ids=["little-disk", "no-disk", "little-memory", "no-memory"],
)
def test_little_room(site, monkeypatch, little, lines):
    little(monkeypatch)
    assert differing(site) == lines


def test_more_threads_than_cores(site):
    write_trainer(site, threads=4096)
    there = len(os.sched_getaffinity(0))
    assert differing(site) == [
        f"warn     cores               4096 threads on N cores; write threads = {there} or less into trainer.toml: "
        "more is slower by far"
    ]


def test_a_worker_port_that_others_hold(site):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        superlink = re.search(r"localhost:\d+", (site / "supernode.toml").read_text())[0]
        write_supernode(site, superlink=superlink, **{"runtime-port": listener.getsockname()[1]})
        assert differing(site) == [
            "fail     worker port         port PORT (worker) on 127.0.0.1 is in use, and this site's supernode does "
            "not run; stop what listens there, or write another runtime-port into supernode.toml"
        ]
        (site / "supernode").mkdir()
        node_heartbeat(site / "supernode").note()
        assert differing(site) == [
            "ok       worker port         PORT on 127.0.0.1 is held by this site's running supernode"
        ]


def test_sockets(site):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(site / "t.sock"))
        listener.listen()
        lines = differing(site)
    assert lines == [
        "ok       memory              the trainer runs and has what it needs; the trainer takes about 404 MB, at 512 "
        "tokens at once",
        "ok       trainer socket      SITE/t.sock, the trainer listens",
    ]
    (site / "t.sock").unlink()
    write_trainer(site, socket=site / "other.sock")
    assert differing(site) == [
        "fail     trainer socket      the supernode looks for it at SITE/t.sock, the trainer makes it at "
        "SITE/other.sock; write the same path as `trainer` into supernode.toml and as `socket` into trainer.toml"
    ]


def test_a_gpu_that_is_there(site, monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    monkeypatch.setattr(shutil, "which", lambda _program: str(program))
    on_cpu = "the trainer of this version works on the CPU all the same"
    for body, outcome, line in (
        ("echo NVIDIA H100, 570.1, 80 GiB", "ok", f"NVIDIA H100, 570.1, 80 GiB (name, driver, memory); {on_cpu}"),
        ("echo no driver; exit 9", "warn", f"nvidia-smi fails: no driver; {on_cpu}; look after the driver"),
    ):
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        assert differing(site) == [f"{outcome:<7}  {'GPU':<18}  {line}"]


def test_a_paused_site(site):
    assert CliRunner().invoke(application, ["node", "pause", str(site), "--reason", "backup"]).exit_code == 0
    (line,) = differing(site)
    assert re.sub(r"since \S+\)", "since T)", line) == (
        "warn     consent             site-1 is paused by its owner: backup (since T); to take part again: fedlora "
        "node resume"
    )
