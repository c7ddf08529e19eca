"""`fedlora node doctor` on what lies at the site: its key, its records, its base model, its machine."""

import os
import re
import shutil
import socket
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.pki import create_node_key
from supernode.doctor import machine
from supernode.heartbeat import node_heartbeat
from tests.unit.fedlora.node_doctor.conftest import GOOD, NAMES, differing, doctor, write_supernode, write_trainer

BESIDE_A_GPU = (
    "ok       memory              N free; the trainer takes about 415 MB beside the GPU's memory, for which see "
    "fedlora node plan"
)
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
                "warn     memory              N free; the trainer takes about 417 MB, at 512 tokens at once; end "
                "other programs, or see what to change: fedlora node plan"
            ],
        ),
        (
            with_little("memory", 100),
            [
                "fail     memory              N free; the trainer takes about 417 MB, at 512 tokens at once; the base "
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
        "ok       memory              the trainer runs and has what it needs; the trainer takes about 417 MB, at 512 "
        "tokens at once",
        "ok       trainer socket      SITE/t.sock, the trainer listens",
    ]
    (site / "t.sock").unlink()
    write_trainer(site, socket=site / "other.sock")
    assert differing(site) == [
        "fail     trainer socket      the supernode looks for it at SITE/t.sock, the trainer makes it at "
        "SITE/other.sock; write the same path as `trainer` into supernode.toml and as `socket` into trainer.toml"
    ]


@pytest.mark.parametrize(
    ("device", "fails", "use"),
    [
        ("cpu", "warn", "device in trainer.toml is cpu, so it is not used"),
        ("cuda", "fail", "the trainer is to use it"),
    ],
)
def test_a_gpu_that_is_there(device, fails, use, site, monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    monkeypatch.setattr(shutil, "which", lambda _program: str(program))
    write_trainer(site, device=device)
    for body, outcome, line in (
        ("echo NVIDIA H100, 570.1, 80 GiB", "ok", f"NVIDIA H100, 570.1, 80 GiB (name, driver, memory); {use}"),
        ("echo no driver; exit 9", fails, f"nvidia-smi fails: no driver; {use}; look after the driver"),
    ):
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        beside = [BESIDE_A_GPU] if device == "cuda" else []
        assert differing(site) == [*beside, f"{outcome:<7}  {'GPU':<18}  {line}"]


def test_a_gpu_that_is_wanted_and_not_there(site):
    write_trainer(site, device="cuda")
    assert differing(site) == [
        BESIDE_A_GPU,
        "fail     GPU                 no GPU with a driver, and device is cuda; install the driver, or write device = "
        '"cpu"',
    ]


def test_a_paused_site(site):
    assert CliRunner().invoke(application, ["node", "pause", str(site), "--reason", "backup"]).exit_code == 0
    (line,) = differing(site)
    assert re.sub(r"since \S+\)", "since T)", line) == (
        "warn     consent             site-1 is paused by its owner: backup (since T); to take part again: fedlora "
        "node resume"
    )
