"""What a pod runs is what a folder of compose runs: the same images, commands, environment, but for places."""

import tomllib

import pytest
import yaml
from rendered_charts import FEDERATION, containers, objects, pods

from fedlora.config import read_toml
from fedlora.federation import read_federation
from fedlora.rendering import compose_files
from superlink.keeper import KeeperSettings
from supernode.settings import NodeSettings
from supernode.trainer.settings import TrainerSettings

# Where a pod has something else than a container of a folder: its own loopback, one address for three parts, and the
# places of a site's two compartments, which the doctor sees both of.
PLACES = {
    "127.0.0.1:19092": "0.0.0.0:9092",
    "127.0.0.1": "0.0.0.0",
    "18000": "8000",
    "0.0.0.0:9466": "0.0.0.0:9464",
    "https://localhost:18000/": "https://localhost:8000/",
    "grpcs://localhost:19092": "grpcs://localhost:9092",
    "/run/private/own/ca.crt": "/run/secrets/ca.crt",
    "/run/private/own": "/run/secrets",
    "/site/supernode/last-fleet-call": "/var/lib/fedlora/last-fleet-call",
    "/site/supernode/flower": "/var/lib/fedlora/flower",
    "/model/base": "/model",
}
PARTS = {
    "coordinator": ("superlink", "gateway", "serverapp", "keeper", "exporter"),
    "site-a": ("trainer", "model", "supernode"),
}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """The services of each folder."""
    file = tmp_path_factory.mktemp("compose") / "federation.toml"
    file.write_text(FEDERATION)
    files = compose_files(read_federation(file).federation)
    return {party: yaml.safe_load(files[f"{party}/compose.yaml"])["services"] for party in PARTS}


@pytest.fixture(scope="module")
def parts(plain):
    """The containers of each chart that stay, and those that come before."""
    return {
        party: {
            one["name"]: one
            for name, pod in pods(objects(plain[party]))
            if not name.startswith("Pod ")
            for one in containers(pod)
        }
        for party in PARTS
    }


@pytest.mark.parametrize(("party", "name"), [(party, name) for party, names in PARTS.items() for name in names])
def test_a_container_is_that_of_the_folder(party, name, services, parts):
    service, container = services[party][name], parts[party][name]
    assert container["image"] == service["image"]
    assert [*container["command"]] == service["entrypoint"]
    asked = container["args"]
    if name == "supernode":  # which waits for its trainer; a folder's says so by depends_on
        assert asked[:2] == ["sh", "-c"]
        asked = asked[2].splitlines()[-1].removeprefix("exec ").split()
    assert [PLACES.get(word, word) for word in asked] == service["command"]
    variables = {one["name"]: PLACES.get(one["value"], one["value"]) for one in container.get("env", ())}
    wanted = {key: value for key, value in service.get("environment", {}).items() if value is not None}
    assert variables == wanted


@pytest.mark.parametrize("name", ["superlink", "serverapp", "keeper", "trainer", "supernode"])
def test_ready_is_what_healthy_is(name, services, parts):
    party = next(party for party, names in PARTS.items() if name in names)
    asked = parts[party][name]["readinessProbe"]["exec"]["command"]
    healthy = services[party][name]["healthcheck"]["test"]
    assert ["CMD", *(PLACES.get(word, word) for word in asked)] == healthy


@pytest.mark.parametrize("name", ["trainer", "superlink", "serverapp"])
def test_memory_is_the_federations(name, services, parts):
    party = next(party for party, names in PARTS.items() if name in names)
    limit = parts[party][name]["resources"]["limits"]["memory"]
    assert limit.removesuffix("Mi") == services[party][name]["deploy"]["resources"]["limits"]["memory"].removesuffix(
        "m"
    )


def test_the_parts_read_the_settings(values, tmp_path):
    site = values["site-a"]["settings"]
    for name, text in {**site, "keeper": values["coordinator"]["settings"]["keeper"]}.items():
        (tmp_path / f"{name}.toml").write_text(text)
    node = read_toml(NodeSettings, tmp_path / "supernode.toml")
    trainer = read_toml(TrainerSettings, tmp_path / "trainer.toml")
    keeper = read_toml(KeeperSettings, tmp_path / "keeper.toml")
    assert node.superlink == "superlink.example.org:9092"
    assert node.trainer == trainer.socket
    assert node.metrics == "0.0.0.0:9465"
    assert str(trainer.shard) == "/shard/a"
    assert keeper.superlink == "superlink:8000"
    assert keeper.listen == "0.0.0.0:9467"


def test_every_path_of_the_settings_is_mounted(values, parts):
    """A file of a setting lies in a volume of the container that reads it, or is what the container itself makes."""
    for party, name, setting in (
        ("site-a", "supernode", "supernode"),
        ("site-a", "trainer", "trainer"),
        ("coordinator", "keeper", "keeper"),
        ("coordinator", "exporter", "exporter"),
    ):
        told = tomllib.loads(values[party]["settings"][setting])
        paths = [value for value in told.values() if isinstance(value, str) and value.startswith("/")]
        mounted = [mount["mountPath"] for mount in parts[party][name]["volumeMounts"]]
        assert len(paths) >= 3
        for path in paths:
            assert any(path == one or path.startswith(f"{one}/") for one in mounted), (name, path)
