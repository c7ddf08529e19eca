"""What is rendered: properties that each service and each folder has, whatever the federation."""

import tomllib
from pathlib import Path

import pytest
import yaml

import fedlora
from evaluator.settings import EvaluationSettings
from fedlora.config import read_toml
from fedlora.federation import read_federation
from fedlora.federation.settings import SitePlaces, trainer_settings
from fedlora.language_model import BaseModel
from fedlora.pki.reading import certificate_sha256
from fedlora.rendering import compose_files
from superlink.keeper import KeeperSettings
from supernode.settings import NodeSettings
from supernode.trainer.settings import TrainerSettings

ONCE = ("credentials", "model", "evaluator", "backup", "restore")  # run by hand, or before others
PLAIN = ("gateway", "relay", "prometheus", "grafana")  # hold nothing of the kit


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


def environment(text):
    """What an .env file sets."""
    return dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))


def test_there_is_a_folder_for_each_machine(files, authority):
    both = ("README.md", "compose.yaml", ".env", "haproxy.cfg")
    coordinator = (*both, "federation.toml", "keeper.toml", "exporter.toml", "prometheus.yml", "evaluation.toml")
    site = (*both, "ca.crt", "supernode.toml", "trainer.toml", "trainer-gpu.toml")
    assert set(files) == {
        *(f"coordinator/{name}" for name in coordinator),
        *(f"site-{one}/{name}" for one in "ab" for name in site),
    }
    assert files["site-a/ca.crt"] == authority.certificate_file.read_text()


def test_the_parts_are_these(services):
    coordinator = ("superlink", "gateway", "serverapp", "keeper", "exporter", "prometheus", "grafana", "evaluator",
                   "benchmarks", "backup", "restore")  # fmt: skip
    site = ("trainer", "trainer-gpu", "model", "credentials", "relay", "supernode")
    assert list(services) == [
        *(("coordinator", name) for name in coordinator),
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
        if name == "grafana":  # its makers' image has no tini, and an entry point that reads the password
            assert service["init"] is True
            assert not {"entrypoint", "command"} & set(service)
        else:
            assert service["entrypoint"][:2] == ["tini", "--"]
        assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(service)
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
        assert name in ONCE or service["healthcheck"]["test"][0] == "CMD"


def test_the_kits_own_services_know_what_they_were_rendered_for(services):
    for (party, name), service in services.items():
        told = service.get("environment", {}).get("FEDLORA_RENDERED")
        assert told == (None if name in PLAIN else fedlora.__version__), (party, name)


def test_limits_are_those_of_the_file(services):
    limits = {key: service["deploy"]["resources"]["limits"] for key, service in services.items()}
    assert limits["site-a", "trainer"] == {"memory": "3000m", "cpus": "2", "pids": 256}
    assert limits["site-b", "trainer"] == {"memory": "4096m", "cpus": "1", "pids": 256}
    assert limits["coordinator", "superlink"]["memory"] == "1024m"
    assert limits["coordinator", "serverapp"]["memory"] == "1024m"


def test_images_are_those_of_the_file(services):
    images = {name: service["image"] for (_, name), service in services.items()}
    assert images == {
        "trainer-gpu": "registry.example.org/kit/trainer:next-cuda",
    } | {
        name: f"registry.example.org/kit/{role}:next"
        for name, role in {
            **{name: name for name in ("superlink", "gateway", "serverapp", "trainer", "supernode")},
            **{name: name for name in ("prometheus", "grafana", "evaluator")},
            "keeper": "superlink",
            "exporter": "superlink",
            "relay": "gateway",
            "credentials": "supernode",
            "model": "trainer",
            "benchmarks": "evaluator",
            "backup": "superlink",
            "restore": "superlink",
        }.items()
    }


def test_only_the_gateway_publishes_and_the_apis_without_login_only_on_loopback(services, files):
    published = {key: service["ports"] for key, service in services.items() if "ports" in service}
    assert published == {
        ("coordinator", "gateway"): ["${FLEET_PORT}:9092", "127.0.0.1:${HTTP_PORT}:8000"],
        ("coordinator", "prometheus"): ["127.0.0.1:${PROMETHEUS_PORT}:9090"],
        ("coordinator", "grafana"): ["127.0.0.1:${GRAFANA_PORT}:3000"],
    }
    assert services["coordinator", "prometheus"]["profiles"] == ["monitoring", "grafana"]
    assert services["coordinator", "grafana"]["profiles"] == ["grafana"]
    settings = {"FLEET_PORT": "9192", "HTTP_PORT": "8000", "PROMETHEUS_PORT": "9090", "GRAFANA_PORT": "3000"}
    settings |= {"BENCHMARKS": "./benchmarks", "BENCHMARK_ROUNDS": "5", "BENCHMARK_LIMIT": "0", "BACKUPS": "./backups"}
    assert environment(files["coordinator/.env"]) == {**settings, "MODEL": "./model", "HELD_OUT": "./held-out"}


def test_gateway_relays_and_who_brings_the_model_have_a_way_out(composed, services):
    closed = dict.fromkeys(("inside", "runtime", "control", "metrics"), True)
    for party, document in composed.items():
        assert {name: network.get("internal", False) for name, network in document["networks"].items()} == (
            {"outside": False, **closed, "monitoring": False}
            if party == "coordinator"
            else {"outside": False, "inside": True}
        )
        for network in document["networks"].values():  # else the machine's own programs are within reach
            inhibited = network.get("driver_opts") == {"com.docker.network.bridge.inhibit_ipv4": "true"}
            assert inhibited is network.get("internal", False)
    assert composed["coordinator"]["networks"]["monitoring"] == {
        "driver_opts": {"com.docker.network.bridge.enable_ip_masquerade": "false"}  # no way beyond the machine
    }
    assert [key for key, service in services.items() if "outside" in service.get("networks", ())] == [
        ("coordinator", "gateway"),
        *((site, name) for site in ("site-a", "site-b") for name in ("model", "relay")),
    ]
    networks = {key[1]: list(service["networks"]) for key, service in services.items() if "networks" in service}
    assert networks == {
        "superlink": ["inside"],
        "gateway": ["outside", "inside", "runtime", "control", "metrics"],
        "prometheus": ["metrics", "monitoring"],
        "grafana": ["monitoring"],
        "model": ["outside"],
        "serverapp": ["runtime"],
        "keeper": ["control"],
        "exporter": ["metrics"],
        "relay": ["outside", "inside"],
        "supernode": ["inside"],
    }
    for (_, name), service in services.items():
        closed = "networks" in service and "outside" not in service["networks"]
        assert service.get("dns") == (["192.0.2.1"] if closed else None), name


def test_the_trainer_has_no_network_and_alone_sees_records_and_model(services):
    for (party, name), service in services.items():
        seen = {target for target in mounts(service) if target.startswith(("/shard", "/model"))}
        if name in ("evaluator", "benchmarks", "model"):
            assert seen == {"/model"}
        elif name in ("trainer", "trainer-gpu"):
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


def test_one_trainer_or_the_other(services, files):
    plain, gpu = (dict(services["site-a", name]) for name in ("trainer", "trainer-gpu"))
    assert (plain.pop("profiles"), gpu.pop("profiles")) == (["cpu"], ["gpu"])
    assert (plain.pop("image"), gpu.pop("image"))[1].endswith("-cuda")
    assert gpu.pop("shm_size") == "1g"
    limits, reserved = plain.pop("deploy")["resources"], gpu.pop("deploy")["resources"]
    assert reserved.pop("reservations") == {"devices": [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}
    assert limits == reserved
    assert plain.pop("volumes")[1:] == gpu.pop("volumes")[1:]
    assert plain == gpu
    assert 'device = "cpu"' in files["site-b/trainer.toml"]
    assert 'device = "cuda"' in files["site-b/trainer-gpu.toml"]
    assert [environment(files[f"site-{site}/.env"])["COMPOSE_PROFILES"] for site in "ab"] == ["cpu", "gpu"]


def test_a_process_computes_on_what_the_file_says(file):
    federation = read_federation(file).federation
    places = SitePlaces(*(Path("/") / place for place in SitePlaces.__dataclass_fields__))
    model = BaseModel("small", Path("/model"))
    devices = [trainer_settings(federation, site, places, model)["device"] for site in federation.site]
    assert devices == ["cpu", "cuda"]


def test_only_one_service_writes_the_model_and_it_sees_nothing_else(services):
    writable = {
        (party, name, volume["target"])
        for (party, name), service in services.items()
        for volume in service.get("volumes", ())
        if isinstance(volume, dict) and not volume["read_only"]
    }
    own = {("coordinator", "backup", "/backups")}
    assert writable == {("site-a", "model", "/model"), ("site-b", "model", "/model"), *own}
    model = services["site-a", "model"]
    assert mounts(model) == {"/model": "${MODEL}"}
    assert "secrets" not in model
    assert model["profiles"] == ["model"]


@pytest.mark.parametrize(
    ("source", "sha256", "role", "command"),
    [
        ("HuggingFaceTB/SmolLM2-360M", "", "trainer", "fetch HuggingFaceTB/SmolLM2-360M --into /model"),
        ("o/n", "ab" * 32, "trainer", f"fetch o/n --into /model --sha256 {'ab' * 32}"),
        ("SmolLM2-135M-Instruct", "", "model", "fetch SmolLM2-135M-Instruct --into /model"),
        ("/models/small", "", "trainer", "import /bundle.tar --into /model"),
        ("/models/SmolLM2-135M-Instruct", "", "trainer", "import /bundle.tar --into /model"),
        ("imported", "cd" * 32, "trainer", f"import /bundle.tar --into /model --sha256 {'cd' * 32}"),
    ],
)
def test_the_model_comes_from_a_hub_or_in_a_bundle(source, sha256, role, command, file):
    lines = f'base-model = "{source}"\nbase-model-sha256 = "{sha256}"\n'
    file.write_text(file.read_text().replace('base-model = "/models/small"\n', lines))
    rendered = compose_files(read_federation(file).federation)
    model = yaml.safe_load(rendered["site-a/compose.yaml"])["services"]["model"]
    assert model["command"] == ["fedlora", "model", *command.split()]
    assert model["image"] == f"registry.example.org/kit/{role}:next"
    readme = rendered["site-a/README.md"].decode()
    hash_option = f" --sha256 {sha256}" if sha256 else ""
    assert f"model fedlora model import /bundle.tar --into /model{hash_option}\n" in readme
    assert ('--user "$(id -u):$(id -g)" model\n' in readme) is command.startswith("fetch")


def test_the_evaluator_has_no_network_and_reads_alone(services):
    evaluator = services["coordinator", "evaluator"]
    assert evaluator["network_mode"] == "none"
    assert "secrets" not in evaluator
    assert evaluator["profiles"] == ["evaluator"]
    assert evaluator["entrypoint"] == [*("tini", "--", "python", "-m", "evaluator", "/etc/fedlora/evaluation.toml")]
    assert all(one["read_only"] if isinstance(one, dict) else one.endswith(":ro") for one in evaluator["volumes"])
    assert mounts(evaluator) == {
        "/etc/fedlora/evaluation.toml": "./evaluation.toml",
        "/model": "${MODEL}",
        "/held-out": "${HELD_OUT}",
        "/var/lib/fedlora": "runs",
    }


def test_who_follows_runs_has_no_network_and_what_the_others_leave(services):
    follower = services["coordinator", "benchmarks"]
    assert follower["network_mode"] == "none"
    assert "secrets" not in follower
    assert follower["profiles"] == ["benchmarks"]
    assert follower["cpu_shares"] < 1024  # which a container has of which nothing is said
    assert follower["oom_score_adj"] > 0
    assert not [name for (_, name), one in services.items() if "cpu_shares" in one and name != "benchmarks"]
    assert mounts(follower) == {
        "/model": "${MODEL}", "/benchmarks": "${BENCHMARKS:-./benchmarks}", "/var/lib/fedlora": "runs"
    }  # fmt: skip
    assert all(one["read_only"] for one in follower["volumes"] if isinstance(one, dict))
    exporter = services["coordinator", "exporter"]
    assert mounts(exporter)["/var/lib/fedlora"] == "runs"  # where the scores come from


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_who_copies_the_coordinator_sees_both_volumes_and_no_key_and_no_network(name, services):
    service = services["coordinator", name]
    assert service["network_mode"] == "none"
    assert service["secrets"] == ["ca.crt"]
    assert service["profiles"] == ["backup"]
    assert service["entrypoint"] == ["tini", "--", "fedlora", name]
    assert mounts(service) == {
        "/var/lib/superlink": "superlink",
        "/var/lib/fedlora": "runs",
        "/etc/fedlora/federation.toml": "./federation.toml",
        "/backups": "${BACKUPS:-./backups}",
    }


def test_a_site_can_hold_the_ca_to_its_fingerprint(files, services, authority, file):
    sha256 = certificate_sha256(authority.certificate)
    assert environment(files["site-a/.env"])["CA_SHA256"] == sha256
    assert services["site-a", "credentials"]["command"][-2:] == ["--ca-sha256", "${CA_SHA256}"]
    assert f"| SHA-256 of `ca.crt` | {sha256} |\n" in files["site-a/README.md"]
    assert "| SuperLink | 10.1.2.3:9292 |\n" in files["site-b/README.md"]
    unknown = compose_files(read_federation(file).federation)
    assert b"\nCA_SHA256=\n" in unknown["site-a/.env"]
    assert b"write it into `.env` as CA_SHA256 |\n" in unknown["site-a/README.md"]


def test_prometheus_asks_the_coordinators_exporters_alone(files, services):
    configuration = yaml.safe_load(files["coordinator/prometheus.yml"])
    asked = {job["job_name"]: job["static_configs"] for job in configuration["scrape_configs"]}
    through = {"targets": ["gateway-metrics:8405"]}
    assert asked == {
        "coordinator": [{"targets": ["exporter:9464"]}],
        "parts": [
            {**through, "labels": {"__metrics_path__": f"/{part}/metrics", "instance": part}}
            for part in ("superlink", "serverapp", "keeper")
        ],
        "gateway": [through],
    }
    assert configuration["global"]["scrape_interval"] == "15s"
    assert configuration["rule_files"] == ["/etc/fedlora/rules/*.yml"]  # where docker/Dockerfile puts them
    assert "bind gateway-metrics:8405\n" in files["coordinator/haproxy.cfg"]
    assert "    bind :9092\n    option contstats\n" in files["coordinator/haproxy.cfg"]  # connections stay for days
    assert services["coordinator", "gateway"]["networks"]["metrics"] == {"aliases": ["gateway-metrics"]}
    assert "metrics" not in files["site-a/haproxy.cfg"]


def test_the_cas_key_is_nowhere(files):
    assert not any("ca.key" in text for name, text in files.items() if not name.endswith("README.md"))


def test_secrets_go_only_to_those_who_need_them(services):
    assert {name: service["secrets"] for (_, name), service in services.items() if "secrets" in service} == {
        "superlink": ["ca.crt", "server.crt", "server.key", "superexec.secret"],
        "gateway": ["ca.crt", "server.crt", "server.key"],
        "serverapp": ["ca.crt", "superexec.secret"],
        "keeper": ["ca.crt", "admin.crt", "admin.key"],
        "exporter": ["ca.crt", "server.crt"],
        "backup": ["ca.crt"],
        "restore": ["ca.crt"],
        "grafana": ["grafana.password"],
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
        "prometheus": {"gateway": "service_healthy"},
        "grafana": {"prometheus": "service_healthy"},
        "supernode": {
            "credentials": "service_completed_successfully",
            "relay": "service_healthy",
            "trainer": "service_healthy",
            "trainer-gpu": "service_healthy",
        },
    }


def test_a_supernode_waits_for_the_trainer_that_the_profile_has(services):
    optional = {
        name
        for name, needed in services["site-a", "supernode"]["depends_on"].items()
        if needed.get("required") is False
    }
    assert optional == {"trainer", "trainer-gpu"}


def test_the_parts_can_read_their_settings(files, tmp_path):
    def settings(schema, name):
        (tmp_path / "settings.toml").write_text(files[name])
        return read_toml(schema, tmp_path / "settings.toml")

    trainer = settings(TrainerSettings, "site-b/trainer.toml")
    assert (str(trainer.shard), str(trainer.base_model), trainer.base_model_name) == (
        *("/shard/b.jsonl", "/model", "small"),
    )
    assert settings(TrainerSettings, "site-b/trainer-gpu.toml").device == "cuda"
    evaluation = settings(EvaluationSettings, "coordinator/evaluation.toml")
    assert (evaluation.recipe.name, evaluation.base_model, str(evaluation.runs)) == (
        *("medical/default", trainer.base_model, "/var/lib/fedlora/runs"),
    )
    assert (evaluation.recipe.template, evaluation.recipe.question) == ("alpaca", "input")  # those of the recipe
    supernode = settings(NodeSettings, "site-b/supernode.toml")
    assert (supernode.superlink, supernode.trainer) == ("superlink:9092", trainer.socket)
    assert (supernode.domain, supernode.metrics) == ("medical", "0.0.0.0:9465")  # published nowhere, like all of a site
    assert supernode.figures == trainer.policy.figures == ("traffic", "health")
    keeper = settings(KeeperSettings, "coordinator/keeper.toml")
    assert (keeper.superlink, str(keeper.admin)) == ("superlink:8000", "/run/secrets")
    (tmp_path / "federation.toml").write_text(files["coordinator/federation.toml"])
    assert read_federation(tmp_path / "federation.toml").federation.coordinator.runs == keeper.runs


def test_site_files_are_toml(files):
    for name, text in files.items():
        if name.endswith(".toml"):
            tomllib.loads(text)
