"""A rendered federation on one Docker engine: each party's folder as if it were a machine of its own."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SITES = ("finance", "medical", "code")
USER = "49999:49999"


def docker(*arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Call docker, and say what it said if it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done


def fedlora(*arguments: object) -> str:
    """Call the command line as a user does."""
    done = subprocess.run([sys.executable, "-m", "fedlora", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.5)


class Deployment:
    """The coordinator and the sites; each site's relay meets the coordinator's gateway on a network of the two."""

    def __init__(self, folder: Path, name: str, ports: tuple[int, int]) -> None:
        self.folder, self.name, self.ports = folder, name, ports
        self.rendered = folder / "deploy"

    def render(self, model: Path, records: dict[str, Path]) -> None:
        """Write the federation's file, render it, and make the coordinator's credentials, as its README says."""
        sites = "".join(
            f'[[site]]\nname = "{name}"\ndomain = "{name}"\nshard = "{records[name]}"\n'
            'superlink = "coordinator.example:9092"\nresources.memory = 3072\n'
            for name in SITES
        )
        file = self.folder / "federation.toml"
        file.write_text(
            f'name = "{self.name}"\nbase-model = "{model}"\n[coordinator]\nhost = "coordinator.example"\n'
            f"fleet-port = {self.ports[0]}\nhttp-port = {self.ports[1]}\n{sites}"
            '[[recipe]]\ndomain = "finance"\nrounds = 3\nsteps = 2\nbatch = 4\nlength = 64\nrank = 4\n'
            f"[run]\ndomains = {json.dumps(SITES)}\nmin-sites = 3\ndeadline = 300\n"
        )
        fedlora("pki", "init", self.folder / "ca", "--federation", self.name)
        certificate = self.folder / "ca" / "ca.crt"
        fedlora("render", "compose", "--out", self.rendered, file, "--ca-certificate", certificate)
        secrets = self.party("coordinator") / "secrets"
        fedlora("pki", "coordinator", self.folder / "ca", "--federation", file, "--to", secrets)
        fedlora("pki", "admin", self.folder / "ca", "--name", "admin", "--to", self.folder / "admin")
        give_away(secrets)
        for name in SITES:
            readable_copy(model, self.party(name) / "model")
            self._join(name)

    def _join(self, name: str) -> None:
        """Let the site's way out be a network that reaches the coordinator alone: another machine's, as it were."""
        outside = {"networks": {"outside": {"external": True, "name": self.link(name)}}}
        (self.party(name) / "compose.override.yaml").write_text(json.dumps(outside))

    def party(self, name: str) -> Path:
        return self.rendered / (name if name == "coordinator" else f"site-{name}")

    def link(self, name: str) -> str:
        return f"{self.name}-link-{name}"

    def compose(self, party: str, *arguments: str, check: bool = True, timeout: float = 600) -> str:
        folder = str(self.party(party))
        return docker("compose", "--project-directory", folder, *arguments, check=check, timeout=timeout).stdout

    def container(self, party: str, service: str) -> str:
        return self.compose(party, "ps", "--all", "--quiet", service).strip()

    def inside(self, party: str, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container as its user, whatever becomes of it."""
        return docker("exec", self.container(party, service), *command, check=False)

    def health(self, party: str, service: str) -> str:
        return docker(
            "inspect", "--format", "{{.State.Health.Status}}", self.container(party, service), check=False
        ).stdout.strip()

    def start(self) -> None:
        """Follow the READMEs: the coordinator, then each site, whose key is registered."""
        self.compose("coordinator", "up", "--detach", "--wait")
        for name in SITES:
            docker("network", "create", "--internal", self.link(name))
            gateway = self.container("coordinator", "gateway")
            docker("network", "connect", "--alias", "coordinator.example", self.link(name), gateway)
            key = self.folder / f"{name}.pub"
            key.write_text(self.compose(name, "run", "--rm", "credentials"))
            fedlora("node", "register", name, key, *self.as_admin())
        for name in SITES:
            self.compose(name, "up", "--detach")
        for name in SITES:
            wait_until(lambda name=name: self.health(name, "supernode") == "healthy", f"{name}'s supernode", 240)

    def as_admin(self) -> list[object]:
        ca = self.folder / "ca" / "ca.crt"
        there = f"localhost:{self.ports[1]}"
        return ["--superlink", there, "--ca-certificate", ca, "--admin", self.folder / "admin"]

    def submit(self, run: str) -> None:
        self.compose(
            "coordinator", "exec", "-T", "keeper", *("fedlora", "run", "submit", run, "/etc/fedlora/federation.toml")
        )

    def run(self, run: str) -> dict[str, object]:
        """Return what is known of a run."""
        shown = self.compose("coordinator", "exec", "-T", "keeper", "fedlora", "run", "show", run, "--format", "json")
        return dict(json.loads(shown))

    def end(self, run: str, seconds: float = 400) -> dict[str, object]:
        """Wait until a run has ended, and return what is known of it."""
        wait_until(lambda: self.run(run)["state"] not in ("queued", "running"), f"run {run}", seconds)
        return self.run(run)

    def remove(self) -> None:
        for party in (*SITES, "coordinator"):
            self.compose(party, "down", "--volumes", "--timeout", "3", check=False)
        for name in SITES:
            docker("network", "rm", self.link(name), check=False)
        give_away(self.folder, "0:0")


def give_away(folder: Path, user: str = USER) -> None:
    """Give a folder to another user, which only root may: root of a container will do."""
    mount = f"{folder}:/given"
    docker(
        *("run", "--rm", "--network", "none", "--user", "0", "--volume", mount, "--entrypoint", "chown"),
        *("fedlora-gateway:0.1.0", "--recursive", user, "/given"),
    )


def readable_copy(source: Path, target: Path) -> None:
    """Copy a folder so that every user may read it."""
    shutil.copytree(source, target)
    target.chmod(0o755)
    for entry in target.rglob("*"):
        entry.chmod(0o755 if entry.is_dir() else 0o644)


@contextmanager
def deployed(deployment: Deployment) -> Iterator[Deployment]:
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.remove()
