"""Folders of `fedlora render compose`, whose containers run on this machine, as the field of a drill."""

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fedlora.cli.drill.relay_link import RelayLink
from fedlora.cli.drill.runs import ComposeRuns, Runs
from fedlora.drills import Checkpoints, Field, LinkControl, Place
from fedlora.errors import ConfigurationError, NotReadyError, ProcessDiedError

__all__ = ["ComposeField"]

COORDINATOR, FEDERATION = "coordinator", "/etc/fedlora/federation.toml"
RUNS = "/var/lib/fedlora/runs"
SERVICES = {"superlink": "superlink", "superexec": "serverapp", "serverapp": "serverapp", "keeper": "keeper"}
KIT = {  # what has to run, and all that a blow falls on; a site has one of the trainers besides
    COORDINATOR: ("superlink", "gateway", "serverapp", "keeper", "exporter"),
    "site": ("relay", "supernode"),
}
TRAINERS = ("trainer", "trainer-gpu")
COMMAND_SECONDS = 120.0
# In a container: a signal to every process but its init and this one; with a word, to those that have it in their
# command; with a file, to those that have it open; and, with the last, to no child of the first process.
SEND = """
import os, sys
number, word, file, below = sys.argv[1:]
for name in os.listdir("/proc"):
    if not name.isdigit() or int(name) in (1, os.getpid()):
        continue
    try:
        command = open(f"/proc/{name}/cmdline").read().split("\\0")
        there = [os.path.realpath(f"/proc/{name}/fd/{one}") for one in os.listdir(f"/proc/{name}/fd")] if file else []
        parent = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[1]
        if (not word or word in command) and (not file or file in there) and not (below and parent in ("0", "1")):
            os.kill(int(name), int(number))
            print(name, flush=True)
    except OSError:
        pass
"""


class ComposeField(Field):
    """A coordinator and its sites, as far as their folders lie here and their containers run here.

    Which containers there are is read once, by `check`: a container that is started again keeps its id.

    Parameters
    ----------
    folder : Path
        What `fedlora render compose` was given as --out.
    ca : Path
        The folder of the CA's key, if it is here.

    Raises
    ------
    ConfigurationError
        If no coordinator's folder is in it.
    """

    place = Place.COMPOSE

    def __init__(self, folder: Path, ca: Path) -> None:
        self.folder, self.ca = folder, ca
        self.federation_file = folder / COORDINATOR / "federation.toml"
        if not self.federation_file.exists():
            raise ConfigurationError(f"{folder} is no folder of fedlora render compose: no {self.federation_file}")
        self.sites = tuple(sorted(one.name.removeprefix("site-") for one in folder.glob("site-*") if one.is_dir()))
        self.containers: dict[tuple[str, str], str] = {}

    def runs(self, _file: Path, settings: list[str]) -> Runs:
        """Return the runs, looked at from a container that has the keeper's image and volumes, and no network."""
        keeper = self.containers[COORDINATOR, "keeper"]
        (about,) = json.loads(_call(("docker", "inspect", keeper)))
        confined = ("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        seen = ("--tmpfs", "/tmp", "--volumes-from", keeper, "--user", about["Config"]["User"])  # noqa: S108
        program = ("--", "python", "-m", "fedlora.cli.drill.observer", FEDERATION)
        # By its id: the image's name may be another one's by now.
        asked = ("--rm", "--interactive", *confined, *seen, "--entrypoint", "tini", about["Image"], *program)
        return ComposeRuns(("docker", "run", *asked), settings)

    def check(self) -> None:
        """Check that everything runs."""
        for party in (COORDINATOR, *self.sites):
            listed = _rows(_call(self._command(party, "ps", "--all", "--format", "json")))
            running = {one["Service"]: one["ID"] for one in listed if one["State"] == "running"}
            if missing := _missing(party, set(running)):
                raise NotReadyError(f"{missing} of {party} does not run; start it with docker compose up")
            for service in (*KIT[COORDINATOR if party == COORDINATOR else "site"], *TRAINERS):
                if service in running:
                    self.containers[party, service] = running[service]

    def described(self, part: str, site: str) -> str:
        """Return the services that stand for a part."""
        found = ", ".join(f"service {service} of {party}" for party, service in self._parts(part, site))
        return found + {
            "serverapp": ": of its processes, the one that writes the run's ledger",
            "worker": ": of its processes, supernode.worker",
        }.get(part, "")

    def kill(self, part: str, site: str, run: str) -> None:
        """Send SIGKILL inside the containers: an engine starts nothing again that its user has killed from outside."""
        word = "supernode.worker" if part == "worker" else ""
        file = f"{RUNS}/{run}/ledger.sqlite" if part == "serverapp" else ""
        struck = self._parts(part, site)
        with ThreadPoolExecutor(len(struck)) as pool:
            said = list(pool.map(lambda one: self._send(one, signal.SIGKILL, word, file), struck))
        if not any(said):
            raise NotReadyError(f"no process of {self.described(part, site)} is there at this moment")

    def pause(self, part: str, site: str) -> None:
        """Freeze a part's containers."""
        _call(("docker", "pause", *(self.containers[one] for one in self._parts(part, site))))

    def resume(self, part: str, site: str) -> None:
        """Thaw them."""
        _call(("docker", "unpause", *(self.containers[one] for one in self._parts(part, site))))

    def hang(self, site: str) -> None:
        """Stop the process below the first of a trainer's container."""
        for one in self._parts("trainer", site):
            self._send(one, signal.SIGSTOP, below="yes")

    def link(self, site: str) -> LinkControl:
        """Take hold of the network of a site's relay."""
        (relay,) = self._parts("link", site)
        return RelayLink(*self._looked_at(relay))

    def checkpoints(self, run: str) -> Checkpoints:
        """Return where the ServerApp's container has the checkpoints of a run."""
        about, process = self._looked_at((COORDINATOR, "serverapp"))
        name = f"{RUNS}/{run}/checkpoints"
        return Checkpoints(
            folder=Path(f"/proc/{process}/root{name}"),
            name=name,
            enter=("nsenter", "--target", str(process), "--mount", "--pid"),
            owner=int(about["Config"]["User"].partition(":")[0]),
        )

    def server_certificate(self) -> Path:
        """Return the file of the SuperLink's certificate."""
        return self.folder / COORDINATOR / "secrets" / "server.crt"

    def authority(self) -> Path:
        """Return the folder of the CA's key."""
        return self.ca

    def restart_server(self) -> None:
        """Kill what serves with the certificate; what does not live just now reads it when it starts."""
        for service in ("superlink", "gateway"):
            self._send((COORDINATOR, service), signal.SIGKILL)

    def _send(
        self, part: tuple[str, str], number: signal.Signals, word: str = "", file: str = "", below: str = ""
    ) -> str:
        # The container may end below this call, which has no exit code to speak of.
        program = ("python3", "-c", SEND, str(int(number)), word, file, below)
        return _call(("docker", "exec", self.containers[part], *program), check=False)

    def _parts(self, part: str, site: str) -> list[tuple[str, str]]:
        """Return party and service of all that stand for a part."""
        of_site = {
            "site": (*KIT["site"], *TRAINERS),
            "trainer": TRAINERS,
            "supernode": ("supernode",),
            "worker": ("supernode",),
            "relay": ("relay",),
            "link": ("relay",),
        }
        if part == "everything":
            found = list(self.containers)
        elif part in of_site:
            found = [(site, service) for service in of_site[part] if (site, service) in self.containers]
        else:
            found = [(COORDINATOR, SERVICES.get(part, part))]
        if not found:
            raise ConfigurationError(f"no folder site-{site} is in {self.folder}; a drill strikes what runs here")
        return found

    def _looked_at(self, part: tuple[str, str]) -> tuple[dict[str, Any], int]:
        """Return what the engine knows of a container, and its first process as this machine counts them.

        Raises
        ------
        ConfigurationError
            If the engine is on another machine, where nobody's network and disk are to be laid hands on.
        """
        (about,) = json.loads(_call(("docker", "inspect", self.containers[part])))
        process = int(about["State"]["Pid"])
        name = Path(f"/proc/{process}/root/etc/hostname")
        if not process or not name.exists() or name.read_text().strip() != about["Config"]["Hostname"]:
            raise ConfigurationError(f"the container of service {part[1]} of {part[0]} is not on this machine")
        return about, process

    def _command(self, party: str, *arguments: str) -> tuple[str, ...]:
        folder = self.folder / (party if party == COORDINATOR else f"site-{party}")
        return ("docker", "compose", "--project-directory", str(folder), *arguments)


def _missing(party: str, running: set[str]) -> str:
    wanted = KIT[COORDINATOR if party == COORDINATOR else "site"]
    missing = [service for service in wanted if service not in running]
    if party != COORDINATOR and not running & set(TRAINERS):
        missing.append("trainer")
    return ", ".join(missing)


def _rows(said: str) -> list[dict[str, str]]:
    """Return the rows of JSON that compose prints: one a line, or, before version 2.21, all in one list."""
    if said.startswith("["):
        return list(json.loads(said))
    return [json.loads(line) for line in said.splitlines()]


def _call(command: tuple[str, ...], *, check: bool = True) -> str:
    """Call a command and return what it printed.

    Raises
    ------
    ProcessDiedError
        If it fails and `check` is set; says what it said.
    NotReadyError
        If it does not end in time.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotReadyError(f"{' '.join(command[:6])}: not within {COMMAND_SECONDS:.0f} s") from error
    if check and done.returncode != 0:
        raise ProcessDiedError(f"{' '.join(command)} failed: {done.stderr.strip()[-600:]}")
    return done.stdout
