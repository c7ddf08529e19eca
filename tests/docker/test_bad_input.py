"""What people get wrong: a named error in the log that says what to do, and `docker compose ps` shows it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployment import COORDINATOR, USER, Deployment, docker, give_away, sample_records, wait_until

import fedlora
from fedlora import pki
from fedlora.processes import free_ports

RECIPE = '[[recipe]]\ndomain = "finance"\npreset = "quick"\nrank = 2\nlength = 64\n'
SITE = "finance"
OFTEN = {"interval": "1s", "start_period": "1s", "retries": 2}
ANOTHER = "0.0.9"  # version of the kit
IMAGE = f"fedlora-supernode:{fedlora.__version__}"  # of any, where one is needed to look into volumes


class Party:
    """A party's folder, of which single services are started.

    Parameters
    ----------
    deployment : Deployment
        What it belongs to.
    name : str
        The coordinator or a site.
    """

    def __init__(self, deployment: Deployment, name: str) -> None:
        self.deployment, self.name = deployment, name
        self.folder = deployment.party(name)

    def set(self, key: str, value: object) -> None:
        """Write a value into ``.env``."""
        file = self.folder / ".env"
        kept = [line for line in file.read_text().splitlines() if not line.startswith(f"{key}=")]
        file.write_text("\n".join([*kept, f"{key}={value}"]) + "\n")

    def override(self, **document: Any) -> None:
        """Let compose add this to what was rendered."""
        (self.folder / "compose.override.yaml").write_text(json.dumps(document))

    def start(self, service: str) -> str:
        """Start one service without those that it depends on; return what compose says if it refuses."""
        asked = ("compose", "--project-directory", str(self.folder), "up", "--detach", "--no-deps", service)
        done = docker(*asked, check=False)
        return done.stderr if done.returncode else ""

    def shows(self, service: str, status: str) -> None:
        """Wait until `docker compose ps` shows a status."""
        asked = ("ps", "--all", "--format", "{{.Status}}", service)
        wait_until(lambda: status in self.deployment.compose(self.name, *asked), f"{service} is shown as {status}", 60)

    def log(self, service: str) -> str:
        """Return what a service has written so far, stdout and stderr."""
        done = docker("logs", self.deployment.container(self.name, service))
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def rendered(engine: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A federation with a tiny base model, rendered and never started."""
    folder = tmp_path_factory.mktemp("bad")
    made = Deployment(folder / "deploy", "bad-input")
    fleet, http = free_ports(2)
    made.render(tiny_model, sample_records(folder / "records"), RECIPE, (fleet, http))
    try:
        yield made
    finally:
        made.remove()


def party_of(rendered: Deployment, name: str) -> Iterator[Party]:
    party = Party(rendered, name)
    override, environment = party.folder / "compose.override.yaml", (party.folder / ".env").read_bytes()
    override.unlink(missing_ok=True)  # of a site, which is about other machines
    try:
        yield party
    finally:
        rendered.down(name)
        (party.folder / ".env").write_bytes(environment)


@pytest.fixture
def site(rendered: Deployment) -> Iterator[Party]:
    yield from party_of(rendered, SITE)


@pytest.fixture
def coordinator(rendered: Deployment) -> Iterator[Party]:
    yield from party_of(rendered, COORDINATOR)


def small(volume: str, size: str) -> dict[str, Any]:
    """Return a volume of a size."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={size},uid=49999,gid=49999,mode=0700"}
    return {volume: {"driver": "local", "driver_opts": options}}


def test_a_shard_folder_that_is_empty(site, tmp_path):
    empty = tmp_path / f"{SITE}.jsonl"  # as the file was called that stood there before
    empty.mkdir()
    site.set("SHARD", empty)
    site.start("trainer")
    site.shows("trainer", "Restarting (11)")
    said = f"ShardError: /shard/{SITE}.jsonl/manifest.json: there is no manifest; a shard folder is made with: fedlora"
    assert said in site.log("trainer")


def test_records_that_the_containers_user_cannot_read(site, tmp_path):
    records = tmp_path / "records.jsonl"
    records.write_text('{"instruction": "a", "output": "b"}\n')
    records.chmod(0o600)
    site.set("SHARD", records)
    site.start("trainer")
    site.shows("trainer", "Restarting (11)")
    log = site.log("trainer")
    assert f"ShardError: /shard/{SITE}.jsonl: cannot be read: [Errno 13] Permission denied" in log
    assert "this program is user 49999 and must be let in" in log


def test_a_base_model_that_the_containers_user_cannot_read(site, tmp_path):
    shutil.copytree(site.deployment.folder / "model", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").chmod(0o600)
    site.set("MODEL", tmp_path / "model")
    site.start("trainer")
    site.shows("trainer", "Restarting (12)")
    log = site.log("trainer")
    assert "BaseModelError: /model/model.safetensors cannot be read: [Errno 13] Permission denied" in log
    assert "this program is user 49999 and must be let in" in log


def test_records_on_another_path(site):
    site.set("SHARD", "/nowhere/records.jsonl")
    assert "bind source path does not exist: /nowhere/records.jsonl" in site.start("trainer")


def test_a_socket_that_a_crash_left_behind(site):
    site.override(services={"trainer": {"healthcheck": OFTEN}})
    site.start("trainer")
    site.shows("trainer", "(healthy)")
    trainer = site.deployment.container(SITE, "trainer")
    docker("kill", trainer)
    left = docker("run", "--rm", "--volumes-from", trainer, "--entrypoint", "ls", IMAGE, "/run/fedlora/trainer").stdout
    assert left == "trainer.sock\n"
    docker("start", trainer)
    site.shows("trainer", "(healthy)")


def test_a_state_volume_that_is_too_small(site):
    site.override(volumes=small("trainer", "512k"))
    site.start("trainer")
    site.shows("trainer", "Restarting (40)")
    assert "TrainerError: the disk of /var/lib/fedlora is full: 0.5 MB free, " in site.log("trainer")


def test_a_state_volume_that_gets_full(site):
    site.override(volumes=small("trainer", "8m"), services={"trainer": {"healthcheck": OFTEN}})
    site.start("trainer")
    site.shows("trainer", "(healthy)")
    trainer = site.deployment.container(SITE, "trainer")
    fill = "open('/var/lib/fedlora/ballast', 'wb').write(bytes(7_900_000))"
    docker("exec", trainer, "python", "-c", fill)
    site.shows("trainer", "(unhealthy)")
    checks = json.loads(docker("inspect", trainer).stdout)[0]["State"]["Health"]["Log"]
    assert "TrainerError: the disk of /var/lib/fedlora is full: " in checks[-1]["Output"]
    assert "Make room on it, or give it more" in checks[-1]["Output"]


def test_a_gpu_that_is_not_there(site):
    # As rendered for the other trainer, which an engine without GPUs does not start.
    site.override(services={"trainer": {"volumes": ["./trainer-gpu.toml:/etc/fedlora/trainer.toml:ro"]}})
    site.start("trainer")
    site.shows("trainer", "Restarting (40)")
    assert "TrainerError: device is cuda, and torch " in (log := site.log("trainer"))
    assert 'or write device = "cpu" (containers: COMPOSE_PROFILES=cpu in .env)' in log


def test_a_gpu_that_the_engine_cannot_give(site):
    site.override(services={"trainer-gpu": {"image": f"fedlora-trainer:{fedlora.__version__}"}})
    assert 'could not select device driver "nvidia" with capabilities: [[gpu]]' in site.start("trainer-gpu")


def test_a_volume_of_the_runs_that_is_full(coordinator):
    coordinator.override(volumes=small("runs", "1m"), services={"keeper": {"healthcheck": OFTEN}})
    coordinator.start("keeper")
    coordinator.shows("keeper", "(unhealthy)")
    assert "RunError: the disk of /var/lib/fedlora/runs is full: 1.0 MB free, " in coordinator.log("keeper")


def test_secrets_that_the_containers_user_cannot_read(coordinator):
    secrets = coordinator.folder / "secrets"
    give_away(secrets, "0:0")  # back to who made them
    try:
        coordinator.start("keeper")
        coordinator.shows("keeper", "Restarting (20)")
        assert "CredentialError: " in (log := coordinator.log("keeper"))
        assert "this program is user 49999 and must be let in" in log
    finally:
        give_away(secrets, USER)


def test_an_image_of_another_version_is_shown(site):
    site.override(services={"trainer": {"environment": {"FEDLORA_RENDERED": ANOTHER}}})
    site.start("trainer")
    site.shows("trainer", "Restarting (10)")
    assert f"ConfigurationError: this image holds fedlora {fedlora.__version__}, and its" in site.log("trainer")


@pytest.mark.parametrize(
    ("role", "module"),
    [
        ("superlink", "superlink.keeper"),
        ("supernode", "supernode"),
        ("trainer", "supernode.trainer"),
        ("evaluator", "evaluator"),
    ],
)
def test_every_program_refuses_a_file_of_another_version(role, module, engine):
    image = f"fedlora-{role}:{fedlora.__version__}"
    environment = ("--env", f"FEDLORA_RENDERED={ANOTHER}")
    run = ("run", "--rm", "--network", "none", *environment, "--entrypoint", "python", image, "-m", module, "none.toml")
    done = docker(*run, check=False)
    assert done.returncode == 10
    assert f"rendered by fedlora {ANOTHER}. Use the images of {ANOTHER}, or render the folder anew" in done.stderr


def test_a_certificate_of_another_federation(deployment, tmp_path):
    """A site that has been given another CA's certificate: its relay reaches the coordinator, and it trusts nobody."""
    other = pki.create_authority(pki.private_directory(tmp_path / "ca"), federation="other").certificate_file
    name = "code"
    stranger = deployment.party("stranger")
    shutil.copytree(deployment.party(name), stranger)
    rendered = (stranger / "compose.yaml").read_text()
    (stranger / "compose.yaml").write_text(
        rendered.replace(f"name: {deployment.name}-site-{name}\n", "name: stranger\n")
    )
    party = Party(deployment, "stranger")
    outside = {"networks": {"outside": {"external": True, "name": deployment.link(name)}}}
    party.override(**outside, services={"supernode": {"healthcheck": OFTEN}})
    try:
        deployment.compose("stranger", "run", "--rm", "credentials")
        (stranger / "ca.crt").write_bytes(other.read_bytes())
        party.start("relay")
        party.start("supernode")
        party.shows("supernode", "(unhealthy)")
        wait_until(lambda: "CredentialError" in party.log("supernode"), "the log names the error", 60)
        said = (
            "CredentialError: the SuperLink's certificate was not issued by the CA in ca.crt: compare its fingerprint"
        )
        assert said in party.log("supernode")
    finally:
        deployment.down("stranger")
