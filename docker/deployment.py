"""A federation of three sites in containers on one Docker engine, each party's folder as if it were on its own machine.

The steps are those of the READMEs that `fedlora render compose` writes. One thing is added: each site's way out is a
network on which there is nobody but its own relay and the coordinator's gateway, as between two machines.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

from fedlora import __version__
from fedlora.errors import NotReadyError, ProcessDiedError

__all__ = [
    "COORDINATOR",
    "HOST",
    "SITES",
    "USER",
    "Deployment",
    "docker",
    "fedlora",
    "give_away",
    "remove_abandoned",
    "sample_records",
    "wait_until",
]

SITES = ("finance", "medical", "code")
COORDINATOR = "coordinator"
HOST = "coordinator.example"  # as the sites call it
USER = "49999:49999"
COMMAND_SECONDS = 600.0


def docker(
    *arguments: str, check: bool = True, timeout: float | None = COMMAND_SECONDS, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Call docker with `given` as its standard input, and return what became of it.

    Raises
    ------
    ProcessDiedError
        If it fails and `check` is set; says what docker said.
    NotReadyError
        If it has not ended after `timeout` seconds.
    """
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout, input=given)
    except subprocess.TimeoutExpired as error:
        raise NotReadyError(f"docker {' '.join(arguments)}: not within {timeout:.0f} s") from error
    return _checked(done) if check else done


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait until `holds` returns true.

    Raises
    ------
    NotReadyError
        After `seconds`, naming `what`.
    """
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise NotReadyError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)


class Deployment:
    """A coordinator and three sites, in a folder each.

    Parameters
    ----------
    folder : Path
        Folder for everything.
    name : str
        Name of the federation; containers, networks and volumes are named after it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.ca = folder / "ca"
        self.admin = folder / "admin"

    def render(self, model: Path, records: Mapping[str, Path], recipes: str, ports: tuple[int, int]) -> None:
        """Write the federation's file, render it, with the coordinator's credentials, as its README says.

        Parameters
        ----------
        model : Path
            Folder of the base model; it is copied, so that every user can read it.
        records : mapping
            File of records of each site; every user can read it.
        recipes : str
            The recipes, as tables of TOML; runs take the first.
        ports : tuple of int
            Of this machine: the coordinator's fleet-port and http-port.
        """
        model = _readable_copy(model, self.folder / "model")
        file = self.folder / "federation.toml"
        file.write_text(_federation(self.name, model, records, recipes, ports))
        fedlora("render", "compose", file, "--out", self.folder, "--ca", self.ca)
        fedlora("pki", "admin", self.ca, "--name", "admin", "--to", self.admin)
        give_away(self.party(COORDINATOR) / "secrets", USER)
        for name in SITES:
            environment = self.party(name) / ".env"
            environment.write_text(re.sub("(?m)^MODEL=.*$", f"MODEL={model}", environment.read_text()))
            outside = {"networks": {"outside": {"external": True, "name": self.link(name)}}}
            (self.party(name) / "compose.override.yaml").write_text(json.dumps(outside))

    def party(self, name: str) -> Path:
        """Return a party's folder: the coordinator's, or a site's."""
        return self.folder / (name if name == COORDINATOR else f"site-{name}")

    def link(self, name: str) -> str:
        """Return the name of the network between a site and the coordinator."""
        return f"{self.name}-link-{name}"

    @property
    def ports(self) -> tuple[int, int]:
        """The coordinator's ports on this machine: for SuperNodes, and for admins."""
        lines = (self.party(COORDINATOR) / ".env").read_text().splitlines()
        found = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return int(found["FLEET_PORT"]), int(found["HTTP_PORT"])

    def start(self) -> None:
        """Start the coordinator and all sites, and wait until every part is healthy."""
        self.start_coordinator()
        self.connect()
        self.start_sites()

    def start_coordinator(self) -> None:
        """Start the coordinator's part, and wait until it is healthy."""
        self.compose(COORDINATOR, "up", "--detach", "--wait")

    def connect(self) -> None:
        """Make each site's link."""
        for name in SITES:
            docker("network", "create", "--internal", self.link(name))
        self.join_links()

    def join_links(self) -> None:
        """Join the coordinator's gateway to each site's link: a container made anew is on none."""
        gateway = self.container(COORDINATOR, "gateway")
        for name in SITES:
            docker("network", "connect", "--alias", HOST, self.link(name), gateway)

    def start_sites(self) -> None:
        """Have each site make its key, admit it, start the sites, and wait until they have come in."""
        with ThreadPoolExecutor(len(SITES)) as pool:
            for name, key in zip(SITES, pool.map(self._key, SITES), strict=True):
                self.admit(name, key)
            list(pool.map(lambda name: self.compose(name, "up", "--detach"), SITES))
        for name in SITES:
            healthy = f"supernode of {name} is healthy"
            wait_until(lambda name=name: self.health(name, "supernode") == "healthy", healthy, 240)

    def _key(self, name: str) -> str:
        return self.compose(name, "run", "--rm", "credentials")

    def admit(self, name: str, public_key: str) -> None:
        """Register a site's key at the SuperLink."""
        self.compose(COORDINATOR, "exec", "-T", "keeper", "fedlora", "node", "register", name, "-", given=public_key)

    def submit(self, run: str, *options: str) -> None:
        """Submit a run, with further options of `fedlora run submit`."""
        self.ask("run", "submit", run, "/etc/fedlora/federation.toml", *options)

    def run(self, run: str, *, service: str = "serverapp") -> dict[str, Any]:
        """Return what is known of a run, from the coordinator's container `service`, which sees its folder."""
        return dict(json.loads(self.ask("run", "show", run, "--format", "json", service=service)))

    def end(self, run: str) -> dict[str, Any]:
        """Wait until a run has ended, and return what is known of it."""
        watch = ("exec", "-T", "keeper", "fedlora", "run", "watch", run)
        self.compose(COORDINATOR, *watch, check=False, timeout=None)
        return self.run(run)

    def ask(self, *command: str, service: str = "keeper") -> str:
        """Return what a command of fedlora says in one of the coordinator's containers."""
        return self.compose(COORDINATOR, "exec", "-T", service, "fedlora", *command)

    def compose(self, party: str, *arguments: str, **more: Any) -> str:
        """Call docker compose in a party's folder, with more of what `docker` takes, and return what it printed."""
        return docker("compose", "--project-directory", str(self.party(party)), *arguments, **more).stdout

    def container(self, party: str, service: str) -> str:
        """Return the id of a service's container, whether it runs or not."""
        return self.compose(party, "ps", "--all", "--quiet", service).strip()

    def services(self) -> list[tuple[str, str]]:
        """Return party and service of each container that runs."""
        return [(one, service) for one in (COORDINATOR, *SITES) for service in self._running(one)]

    def _running(self, party: str) -> list[str]:
        return self.compose(party, "ps", "--services", "--status", "running").split()

    def inside(self, party: str, service: str, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in a container as its user, and return what became of it."""
        return docker("exec", self.container(party, service), *command, check=False)

    def health(self, party: str, service: str) -> str:
        """Return what a container's health check says; empty if there is no container."""
        asked = ("inspect", "--format", "{{.State.Health.Status}}", self.container(party, service))
        return docker(*asked, check=False).stdout.strip()

    def condition(self) -> str:
        """Return what the containers of all parties are doing, and the ends of their logs."""
        asked = (("ps", "--all"), ("logs", "--no-color", "--tail", "15"))
        said = [self.compose(party, *one, check=False) for party in (COORDINATOR, *SITES) for one in asked]
        return "\n".join(said)

    def remove(self) -> None:
        """Remove containers, volumes and networks, and give the folder back to who calls."""
        with ThreadPoolExecutor(len(SITES)) as pool:
            list(pool.map(self.down, SITES))
        self.down(COORDINATOR)
        for name in SITES:
            docker("network", "rm", self.link(name), check=False)
        give_away(self.folder, f"{os.getuid()}:{os.getgid()}")

    def down(self, party: str) -> None:
        """Remove a party's containers, of whichever profile, and volumes, as far as there are any."""
        self.compose(party, "--profile", "*", "down", "--volumes", "--timeout", "3", check=False)


def remove_abandoned(names: str) -> None:
    """Remove the networks and volumes that nothing uses, of federations named like ``test-0a1b2c``.

    Parameters
    ----------
    names : str
        What stands before the six hex digits, as a regular expression.

    Notes
    -----
    A program that is killed leaves them behind. An engine's own address pools are enough for 30 networks, and a
    federation takes 12 of them: after the second one that was left behind, no other starts.
    """
    left = re.compile(rf"({names})-[0-9a-f]{{6}}-")
    for kind in ("network", "volume"):
        for name in docker(kind, "ls", "--format", "{{.Name}}").stdout.split():
            if left.match(name):
                docker(kind, "rm", name, check=False)  # refused where a container uses it


def sample_records(folder: Path) -> dict[str, Path]:
    """Write each site's sample records into a new folder, where every user can read them, and return the files."""
    folder.mkdir(parents=True)
    found = {}
    for name in SITES:
        found[name] = folder / f"{name}.jsonl"
        found[name].write_bytes((files("fedlora") / "samples" / name / "train.jsonl").read_bytes())
        found[name].chmod(0o644)
    return found


def _federation(name: str, model: Path, records: Mapping[str, Path], recipes: str, ports: tuple[int, int]) -> str:
    """Return the federation's file."""
    coordinator = f'host = "{HOST}"\nfleet-port = {ports[0]}\nhttp-port = {ports[1]}\n'
    sites = "".join(
        f'[[site]]\nname = "{site}"\ndomain = "{site}"\nshard = "{records[site]}"\nsuperlink = "{HOST}:9092"\n'
        for site in SITES
    )
    run = f"domains = {json.dumps(SITES)}\nmin-sites = {len(SITES)}\ndeadline = 300\n"
    return f'name = "{name}"\nbase-model = "{model}"\n\n[coordinator]\n{coordinator}\n{sites}\n{recipes}\n[run]\n{run}'


def _readable_copy(source: Path, target: Path) -> Path:
    """Copy a folder of files so that every user may read it, and return the copy."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    target.chmod(0o755)
    for file in target.iterdir():
        file.chmod(0o644)
    return target


def give_away(folder: Path, owner: str) -> None:
    """Give a folder to another user, which only root may: root of a container will do."""
    docker(
        *("run", "--rm", "--network", "none", "--user", "0", "--volume", f"{folder}:/given", "--entrypoint", "chown"),
        *(f"fedlora-gateway:{__version__}", "--recursive", owner, "/given"),
    )


def fedlora(*arguments: object) -> str:
    """Call the command line as a user does, and return what it printed.

    Raises
    ------
    ProcessDiedError
        If it fails; says what it said.
    """
    command = [sys.executable, "-m", "fedlora", *map(str, arguments)]
    return _checked(subprocess.run(command, capture_output=True, text=True)).stdout


def _checked(done: "subprocess.CompletedProcess[str]") -> "subprocess.CompletedProcess[str]":
    if done.returncode != 0:
        command: Sequence[str] = done.args
        said = f"{done.stdout}{done.stderr}".strip()
        raise ProcessDiedError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{said}")
    return done
