"""Folders of `fedlora render compose`, whose containers run on this machine, as the field of a drill."""

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fedlora.drills import Field, LinkControl, Place
from fedlora.errors import ConfigurationError, NotReadyError, ProcessDiedError

__all__ = ["ComposeField"]

COORDINATOR = "coordinator"
SERVICES = {"superlink": "superlink", "superexec": "serverapp", "serverapp": "serverapp", "keeper": "keeper"}
ALWAYS = {COORDINATOR: ("superlink", "gateway", "serverapp", "keeper"), "site": ("relay", "supernode")}
TRAINERS = ("trainer", "trainer-gpu")
COMMAND_SECONDS = 120.0
# In a container: a signal to every process but its init and this one; with a word, to those that have it in their
# command; with a file, to those that have it open; and to the children of its first process alone.
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
        if (not word or word in command) and (not file or file in there) and not (below and parent in "01"):
            os.kill(int(name), int(number))
            print(name, flush=True)
    except OSError:
        pass
"""


class ComposeField(Field):
    """A coordinator and its sites, as far as their folders lie here and their containers run here.

    Parameters
    ----------
    folder : Path
        What `fedlora render compose` was given as --out.

    Raises
    ------
    ConfigurationError
        If no coordinator's folder is in it.
    """

    place = Place.COMPOSE

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.federation_file = folder / COORDINATOR / "federation.toml"
        if not self.federation_file.exists():
            raise ConfigurationError(f"{folder} is no folder of fedlora render compose: no {self.federation_file}")
        self.sites = tuple(sorted(one.name.removeprefix("site-") for one in folder.glob("site-*") if one.is_dir()))

    def ask(self, *command: str) -> str:
        """Call a command in one of the coordinator's containers that see the runs; return what it has printed.

        Raises
        ------
        ProcessDiedError
            If it fails in each of them; says what was said.
        """
        said = ""
        for service in ("keeper", "serverapp"):
            done = self._compose(COORDINATOR, "exec", "-T", service, *command, check=False)
            if done.returncode == 0:
                return done.stdout
            said = done.stderr.strip()
        raise ProcessDiedError(f"{' '.join(command[:4])} failed in the coordinator's containers: {said[-600:]}")

    def check(self) -> None:
        """Check that everything runs."""
        for party in (COORDINATOR, *self.sites):
            running = self._running(party)
            wanted = ALWAYS[COORDINATOR if party == COORDINATOR else "site"]
            missing = [service for service in wanted if service not in running]
            if party != COORDINATOR and not any(service in running for service in TRAINERS):
                missing.append("trainer")
            if missing:
                raise NotReadyError(f"{', '.join(missing)} of {party} does not run; start it with docker compose up")

    def described(self, part: str, site: str) -> str:
        """Return the services that stand for a part."""
        found = ", ".join(f"service {service} of {party}" for party, service in self._services(part, site))
        return found + {
            "serverapp": ": of its processes, the one that writes the run's ledger",
            "worker": ": of its processes, supernode.worker",
        }.get(part, "")

    def kill(self, part: str, site: str, run: str) -> None:
        """Send SIGKILL inside the containers: an engine starts nothing again that its user has killed from outside."""
        word = "supernode.worker" if part == "worker" else ""
        file = f"/var/lib/fedlora/runs/{run}/ledger.sqlite" if part == "serverapp" else ""
        struck = self._services(part, site)
        with ThreadPoolExecutor(len(struck)) as pool:
            said = list(pool.map(lambda one: self._send(one, signal.SIGKILL, word, file), struck))
        if not any(said):
            raise NotReadyError(f"no process of {self.described(part, site)} is there at this moment")

    def pause(self, part: str, site: str) -> None:
        """Freeze a part's containers."""
        for party, service in self._services(part, site):
            self._compose(party, "pause", service)

    def resume(self, part: str, site: str) -> None:
        """Thaw them."""
        for party, service in self._services(part, site):
            self._compose(party, "unpause", service)

    def hang(self, site: str) -> None:
        """Stop the process below the first of a trainer's container."""
        for one in self._services("trainer", site):
            self._send(one, signal.SIGSTOP, below="yes")

    def link(self, site: str) -> LinkControl:
        """Take hold of the network of a site's relay."""
        return _OfRelay(self.container(site, "relay"))

    def checkpoints(self, run: str) -> Path:
        """There is no such folder on this machine."""
        raise ConfigurationError(f"the checkpoints of run {run} lie in a volume, and not on this machine's disk")

    def server_certificate(self) -> Path:
        """Return the file of the SuperLink's certificate."""
        return self.folder / COORDINATOR / "secrets" / "server.crt"

    def restart_server(self) -> None:
        """Restart what serves with the certificate."""
        self._compose(COORDINATOR, "restart", "superlink", "gateway")

    def container(self, party: str, service: str) -> str:
        """Return the id of a service's container."""
        return self._compose(party, "ps", "--all", "--quiet", service).stdout.strip()

    def _send(
        self, part: tuple[str, str], number: signal.Signals, word: str = "", file: str = "", below: str = ""
    ) -> str:
        # The container may end below this call, which has no exit code to speak of.
        asked = ("exec", "-T", part[1], "python3", "-c", SEND, str(int(number)), word, file, below)
        return self._compose(part[0], *asked, check=False).stdout

    def _services(self, part: str, site: str) -> list[tuple[str, str]]:
        if part == "everything":
            return [(party, service) for party in (COORDINATOR, *self.sites) for service in self._running(party)]
        if part == "site":
            return [(site, service) for service in self._running(site)]
        if part == "trainer":
            return [(site, service) for service in self._running(site) if service in TRAINERS]
        if part in ("supernode", "worker", "relay"):
            return [(site, "relay" if part == "relay" else "supernode")]
        return [(COORDINATOR, SERVICES.get(part, part))]

    def _running(self, party: str) -> list[str]:
        return self._compose(party, "ps", "--services", "--status", "running").stdout.split()

    def _compose(self, party: str, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        folder = self.folder / (party if party == COORDINATOR else f"site-{party}")
        return _call("docker", "compose", "--project-directory", str(folder), *arguments, check=check)


class _OfRelay(LinkControl):
    """A link as it leaves a site's relay, whose network this takes hold of."""

    def __init__(self, container: str) -> None:
        (self.about,) = json.loads(_call("docker", "inspect", container).stdout)
        self.container = container
        networks = self.about["NetworkSettings"]["Networks"]
        self.outside = {name: one for name, one in networks.items() if not name.endswith("_inside")}
        self.undo: list[tuple[str, ...]] = []

    def cut(self) -> None:
        for name, network in self.outside.items():
            aliases = [part for alias in network.get("Aliases") or () for part in ("--alias", alias)]
            self.undo.append(("docker", "network", "connect", *aliases, name, self.container))
            _call("docker", "network", "disconnect", name, self.container)

    def slow(self, bits_per_second: float, delay_seconds: float) -> None:  # noqa: ARG002
        # No delay: it takes netem, which many kernels of machines for tests lack.
        bucket = ("tbf", "rate", f"{bits_per_second:.0f}bit", "burst", "32kbit", "latency", "400ms")
        for device in self._devices():
            self.undo.append(self._inside("tc", "qdisc", "del", "dev", device, "root"))
            _call(*self._inside("tc", "qdisc", "add", "dev", device, "root", *bucket))

    def drop(self, share: float) -> None:
        which = ("OUTPUT", "!", "-o", "lo", "-p", "tcp", "-m", "statistic", "--mode", "random")
        rule = (*which, "--probability", f"{share}", "-j", "DROP")
        self.undo.append(self._inside("iptables", "--wait", "-D", *rule))
        _call(*self._inside("iptables", "--wait", "-I", *rule))

    def mend(self) -> None:
        while self.undo:
            _call(*self.undo.pop())

    def close(self) -> None:
        self.mend()

    def _inside(self, *command: str) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self.about["State"]["Pid"]), "--net", *command)

    def _devices(self) -> list[str]:
        links = _call(*self._inside("ip", "-o", "link")).stdout.splitlines()
        names = [line.split(":")[1].strip().partition("@")[0] for line in links]
        return [name for name in names if name != "lo"]


def _call(*command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Call a command.

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
    return done
