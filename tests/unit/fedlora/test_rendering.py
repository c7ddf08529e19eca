"""What is rendered: properties that each service and each folder has, whatever the federation."""

import json
import tomllib

import pytest
import yaml
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.config import read_toml
from fedlora.errors import ConfigurationError, CredentialError
from fedlora.federation import read_federation
from fedlora.rendering import MANIFEST, compose_files
from superlink.keeper import KeeperSettings
from supernode.settings import NodeSettings
from supernode.trainer.settings import TrainerSettings

TEXT = """\
name = "clinics"
base-model = "/models/small"
[coordinator]
host = "superlink.example.org"
fleet-port = 9192
memory = 1024
[[site]]
name = "a"
domain = "medical"
shard = "/data/a"
resources.threads = 2
resources.memory = 3000
[[site]]
name = "b"
domain = "medical"
shard = "/data/b.jsonl"
superlink = "10.1.2.3:9292"
[[recipe]]
domain = "medical"
[containers]
images = "registry.example.org/kit/"
tag = "next"
"""
PARTIES = ("coordinator", "site-a", "site-b")


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "federation.toml"
    file.write_text(TEXT)
    return file


@pytest.fixture
def files(file):
    return {name: content.decode() for name, content in compose_files(read_federation(file).federation, b"CA").items()}


@pytest.fixture
def composed(files):
    """The compose file of each party."""
    return {party: yaml.safe_load(files[f"{party}/compose.yaml"]) for party in PARTIES}


@pytest.fixture
def services(composed):
    """Each service by party and name."""
    return {
        (party, name): service for party, document in composed.items() for name, service in document["services"].items()
    }


def render(*arguments):
    return CliRunner().invoke(application, ["render", "compose", *map(str, arguments)], env={"TERM": "dumb"})


def mounts(service):
    """What a service sees of volumes and of its machine: source by target."""
    found = {}
    for volume in service.get("volumes", ()):
        if isinstance(volume, str):
            source, target, *_ = volume.split(":")
            found[target] = source
        else:
            found[volume["target"]] = volume["source"]
    return found


def test_there_is_a_folder_for_each_machine(files):
    coordinator = ("README.md", "compose.yaml", ".env", "federation.toml", "haproxy.cfg", "keeper.toml")
    site = ("README.md", "compose.yaml", ".env", "ca.crt", "haproxy.cfg", "supernode.toml", "trainer.toml")
    assert set(files) == {
        *(f"coordinator/{name}" for name in coordinator),
        *(f"site-{one}/{name}" for one in "ab" for name in site),
    }
    assert files["site-a/ca.crt"] == "CA"


def test_the_parts_are_these(services):
    site = ("trainer", "credentials", "relay", "supernode")
    assert list(services) == [
        *(("coordinator", name) for name in ("superlink", "gateway", "serverapp", "keeper")),
        *((f"site-{one}", name) for one in "ab" for name in site),
    ]


def test_every_service_is_hardened(services):
    for (party, name), service in services.items():
        assert service["user"] == "49999:49999", (party, name)
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp:mode=1777,size=64m"]
        assert set(service["deploy"]["resources"]["limits"]) == {"memory", "cpus", "pids"}
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["stop_grace_period"] == "15s"
        assert service["entrypoint"] == ["tini", "--"]
        assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(service)
        once = name == "credentials"
        assert service["restart"] == ("no" if once else "unless-stopped")
        assert once or service["healthcheck"]["test"][0] == "CMD"


def test_limits_are_those_of_the_file(services):
    limits = {key: service["deploy"]["resources"]["limits"] for key, service in services.items()}
    assert limits["site-a", "trainer"] == {"memory": "3000m", "cpus": "2", "pids": 256}
    assert limits["site-b", "trainer"] == {"memory": "4096m", "cpus": "1", "pids": 256}
    assert limits["coordinator", "superlink"]["memory"] == "1024m"
    assert limits["coordinator", "serverapp"]["memory"] == "1024m"


def test_images_are_those_of_the_file(services):
    images = {name: service["image"] for (_, name), service in services.items()}
    assert images == {
        name: f"registry.example.org/kit/{role}:next"
        for name, role in {
            **{name: name for name in ("superlink", "gateway", "serverapp", "trainer", "supernode")},
            "keeper": "superlink",
            "relay": "gateway",
            "credentials": "supernode",
        }.items()
    }


def test_only_the_gateway_publishes_and_the_apis_without_login_only_on_loopback(services, files):
    published = {key: service["ports"] for key, service in services.items() if "ports" in service}
    assert published == {("coordinator", "gateway"): ["${FLEET_PORT}:9092", "127.0.0.1:${HTTP_PORT}:8000"]}
    assert files["coordinator/.env"] == "# Ports of this machine.\nFLEET_PORT=9192\nHTTP_PORT=8000\n"


def test_only_gateway_and_relays_have_a_way_out(composed, services):
    for party, document in composed.items():
        assert {name: network.get("internal", False) for name, network in document["networks"].items()} == (
            {"outside": False, "inside": True, "runtime": True, "control": True}
            if party == "coordinator"
            else {"outside": False, "inside": True}
        )
        for network in document["networks"].values():  # else the machine's own programs are within reach
            inhibited = network.get("driver_opts") == {"com.docker.network.bridge.inhibit_ipv4": "true"}
            assert inhibited is network.get("internal", False)
    assert [key for key, service in services.items() if "outside" in service.get("networks", ())] == [
        *(("coordinator", "gateway"), ("site-a", "relay"), ("site-b", "relay"))
    ]
    networks = {key[1]: list(service["networks"]) for key, service in services.items() if "networks" in service}
    assert networks == {
        "superlink": ["inside"],
        "gateway": ["outside", "inside", "runtime", "control"],
        "serverapp": ["runtime"],
        "keeper": ["control"],
        "relay": ["outside", "inside"],
        "supernode": ["inside"],
    }
    for (_, name), service in services.items():
        closed = "networks" in service and "outside" not in service["networks"]
        assert service.get("dns") == (["192.0.2.1"] if closed else None), name


def test_the_trainer_has_no_network_and_alone_sees_records_and_model(services):
    for (party, name), service in services.items():
        seen = {target for target in mounts(service) if target.startswith(("/shard", "/model"))}
        if name == "trainer":
            assert service["network_mode"] == "none"
            assert seen == {"/shard/a" if party == "site-a" else "/shard/b.jsonl", "/model"}
            assert all(volume["read_only"] for volume in service["volumes"] if isinstance(volume, dict))
        else:
            assert seen == set()


def test_supernode_and_trainer_share_the_socket_and_nothing_else(services):
    trainer, supernode = services["site-a", "trainer"], services["site-a", "supernode"]
    assert set(mounts(trainer).values()) & set(mounts(supernode).values()) == {"socket"}
    assert "socket:/run/fedlora/trainer:ro" in supernode["volumes"]
    assert "credentials:/run/fedlora/credentials:ro" in supernode["volumes"]
    assert "credentials" not in mounts(trainer).values()


def test_the_cas_key_is_nowhere(files):
    assert not any("ca.key" in text for name, text in files.items() if not name.endswith("README.md"))


def test_secrets_go_only_to_those_who_need_them(services):
    assert {name: service["secrets"] for (_, name), service in services.items() if "secrets" in service} == {
        "superlink": ["ca.crt", "server.crt", "server.key", "superexec.secret"],
        "gateway": ["ca.crt", "server.crt", "server.key"],
        "serverapp": ["ca.crt", "superexec.secret"],
        "keeper": ["ca.crt", "admin.crt", "admin.key"],
    }


def test_the_superlink_has_tls_and_knows_its_nodes(services):
    command = services["coordinator", "superlink"]["command"]
    for option in ("--ssl-ca-certfile", "--ssl-certfile", "--ssl-keyfile", "--enable-supernode-auth", "--database"):
        assert option in command
    assert "--insecure" not in command


def test_a_relay_has_one_target(files):
    def servers(name):
        lines = files[name].splitlines()
        return [line.split()[1:3] for line in lines if line.strip().startswith("server ")]

    assert servers("site-a/haproxy.cfg") == [["superlink", "superlink.example.org:9192"]]
    assert servers("site-b/haproxy.cfg") == [["superlink", "10.1.2.3:9292"]]
    assert "10.1.2.3:9292\n" in files["site-b/haproxy.cfg"]  # an address is not looked up


def test_parts_start_when_what_they_need_is_healthy(services):
    needs = {
        name: {other: condition["condition"] for other, condition in service["depends_on"].items()}
        for (_, name), service in services.items()
        if "depends_on" in service
    }
    assert needs == {
        "gateway": {"superlink": "service_healthy"},
        "serverapp": {"gateway": "service_healthy"},
        "keeper": {"gateway": "service_healthy"},
        "supernode": {
            "credentials": "service_completed_successfully",
            "relay": "service_healthy",
            "trainer": "service_healthy",
        },
    }


def test_the_parts_can_read_their_settings(files, tmp_path):
    def settings(schema, name):
        (tmp_path / "settings.toml").write_text(files[name])
        return read_toml(schema, tmp_path / "settings.toml")

    trainer = settings(TrainerSettings, "site-b/trainer.toml")
    assert (str(trainer.shard), str(trainer.base_model), trainer.base_model_name) == (
        *("/shard/b.jsonl", "/model", "small"),
    )
    supernode = settings(NodeSettings, "site-b/supernode.toml")
    assert (supernode.superlink, supernode.trainer) == ("superlink:9092", trainer.socket)
    keeper = settings(KeeperSettings, "coordinator/keeper.toml")
    assert (keeper.superlink, str(keeper.admin)) == ("superlink:8000", "/run/secrets")
    (tmp_path / "federation.toml").write_text(files["coordinator/federation.toml"])
    assert read_federation(tmp_path / "federation.toml").federation.coordinator.runs == keeper.runs


def test_the_same_bytes_each_time(file, tmp_path):
    assert compose_files(read_federation(file).federation) == compose_files(read_federation(file).federation)
    first = render(file, "--out", tmp_path / "out")
    assert (first.exit_code, first.stdout) == (
        0,
        f"{tmp_path}/out: coordinator, site-a, site-b\n18 files written\n",
    )
    before = {entry: entry.stat().st_mtime_ns for entry in (tmp_path / "out").rglob("*") if entry.name != MANIFEST}
    again = render(file, "--out", tmp_path / "out")
    assert again.stdout == f"{tmp_path}/out: coordinator, site-a, site-b\nnothing has changed\n"
    after = {entry: entry.stat().st_mtime_ns for entry in (tmp_path / "out").rglob("*") if entry.name != MANIFEST}
    assert {entry: time for entry, time in after.items() if entry.is_file()} == {
        entry: time for entry, time in before.items() if entry.is_file()
    }


def test_what_somebody_edited_stays_and_all_of_it_is_named(file, tmp_path):
    out = tmp_path / "out"
    render(file, "--out", out)
    edited = [out / "site-a" / ".env", out / "site-b" / "trainer.toml"]
    for one in edited:
        one.write_text("mine\n")
    file.write_text(TEXT.replace("9192", "9193"))
    refused = render(file, "--out", out)
    assert isinstance(refused.exception, ConfigurationError)
    assert str(refused.exception) == (
        f"{edited[0]}, {edited[1]}: not as rendered; somebody has edited or made what would be overwritten. Put the "
        "change into the federation's file and move these away, or replace them with --force"
    )
    assert "9192" in (out / "coordinator" / ".env").read_text()  # nothing was written at all
    assert [one.read_text() for one in edited] == ["mine\n"] * 2
    assert render(file, "--out", out, "--force").exit_code == 0
    assert "9193" in (out / "coordinator" / ".env").read_text()
    assert "mine" not in edited[0].read_text()


def test_what_was_rendered_before_is_rendered_anew(file, tmp_path):
    render(file, "--out", tmp_path / "out")
    file.write_text(TEXT.replace("9192", "9193"))
    assert render(file, "--out", tmp_path / "out").stdout.endswith("3 files written\n")
    assert sorted(json.loads((tmp_path / "out" / MANIFEST).read_text())) == sorted(
        compose_files(read_federation(file).federation)
    )


def test_other_files_stay(file, tmp_path):
    out = tmp_path / "out"
    (out / "coordinator" / "secrets").mkdir(parents=True)
    (out / "coordinator" / "secrets" / "server.key").write_text("key")
    render(file, "--out", out, "--force")
    assert (out / "coordinator" / "secrets" / "server.key").read_text() == "key"


def test_what_is_no_ca_certificate(file, tmp_path):
    refused = render(file, "--out", tmp_path / "out", "--ca-certificate", file)
    assert isinstance(refused.exception, CredentialError)
    assert not (tmp_path / "out").exists()


def test_everybody_may_read_what_is_rendered(file, tmp_path):
    render(file, "--out", tmp_path / "out")
    assert {oct(one.stat().st_mode & 0o777) for one in (tmp_path / "out").rglob("*") if one.is_file()} == {"0o644"}


def test_site_files_are_toml(files):
    for name, text in files.items():
        if name.endswith(".toml"):
            tomllib.loads(text)
