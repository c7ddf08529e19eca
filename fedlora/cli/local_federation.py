"""A federation on this machine: the processes that the kit runs in containers on separate machines."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlora import flower, pki
from fedlora.cli.settings_file import write_settings
from fedlora.language_model import BaseModel
from fedlora.processes import Parts, check_ports_free, free_ports
from fedlora.recipes import Recipe
from superlink.control import Control
from superlink.run_config import RunConfig

__all__ = ["LocalFederation", "Ports"]

HOST = "127.0.0.1"
START_SECONDS = 120.0
TRAINER_START_SECONDS = 600.0


@dataclass(frozen=True)
class Ports:
    """Where the federation's parts listen on 127.0.0.1.

    Attributes
    ----------
    fleet : int
        SuperLink, for SuperNodes: TLS gRPC.
    http : int
        SuperLink, for its ServerApp and for us: HTTPS.
    runtime : tuple of int
        Each site's supernode, for its worker.
    """

    fleet: int
    http: int
    runtime: tuple[int, ...]

    @classmethod
    def free(cls, sites: int) -> "Ports":
        """Return ports that are free at this moment."""
        fleet, http, *runtime = free_ports(2 + sites, HOST)
        return cls(fleet, http, tuple(runtime))

    def check(self) -> None:
        """Check that nobody else listens on any of them.

        Raises
        ------
        PortInUseError
            Names those that are taken.
        """
        purposes = {"SuperLink, gRPC": self.fleet, "SuperLink, HTTPS": self.http}
        check_ports_free({**purposes, **{f"supernode {i}": port for i, port in enumerate(self.runtime, 1)}}, HOST)


class LocalFederation:
    """One SuperLink, its SuperExec, and a supernode and a trainer for each site, as processes.

    Parameters
    ----------
    directory : Path
        Gets everything: credentials, states, logs, runs.
    sites : sequence of str
        Names of the sites.
    ports : Ports
        Where the parts listen.
    parts : Parts
        The processes, which the caller stops.
    sockets : Path
        Folder for the trainers' sockets; its path must be short, for a Unix socket's has at most 108 bytes.
    """

    def __init__(self, directory: Path, sites: Sequence[str], ports: Ports, parts: Parts, sockets: Path) -> None:
        self.directory = directory
        self.sites = tuple(sites)
        self.ports = ports
        self.parts = parts
        self.sockets = sockets
        self.coordinator = directory / "coordinator"
        self.ca_certificate = self.coordinator / "ca.crt"

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.coordinator / "runs"

    def site(self, name: str) -> Path:
        """Return a site's folder."""
        return self.directory / name

    def create_credentials(self, federation: str) -> None:
        """Make the CA, the SuperLink's certificate and secret, and each site's node key and secret."""
        pki.private_directory(self.coordinator)
        authority = pki.create_authority(self.coordinator, federation=federation)
        pki.issue_server_certificate(authority, self.coordinator, names=("localhost", HOST))
        pki.create_secret(self.coordinator / "superexec.secret")
        for name in self.sites:
            pki.private_directory(self.site(name))
            pki.create_node_key(self.site(name) / "node.key")
            pki.create_secret(self.site(name) / "worker.secret")

    def start_superlink(self) -> None:
        """Start the SuperLink and the SuperExec that runs its ServerApps, wait for them, and admit every site."""
        own = flower.SuperLinkFiles(
            ca_certificate=self.ca_certificate,
            certificate=self.coordinator / "server.crt",
            private_key=self.coordinator / "server.key",
            superexec_secret=self.coordinator / "superexec.secret",
            database=self.coordinator / "superlink.sqlite",
        )
        variables = flower.environment(self.coordinator / "flower")
        command = flower.superlink_command(own, host=HOST, fleet_port=self.ports.fleet, http_port=self.ports.http)
        self.parts.start("superlink", command, variables)
        with self.control() as control:
            self.parts.wait_until(control.answers, "the SuperLink", START_SECONDS)
            for name in self.sites:
                control.register_node(pki.public_key_pem(self.site(name) / "node.key.pub"), name)
        command = flower.superexec_command(
            ca_certificate=self.ca_certificate,
            superexec_secret=own.superexec_secret,
            superlink=f"{HOST}:{self.ports.http}",
        )
        self.parts.start("superexec", command, {**variables, "FEDLORA_RUNS": str(self.runs)})

    def start_trainer(
        self, name: str, *, shard: Path, base_model: BaseModel, recipe: Recipe, threads: int, seed: int
    ) -> None:
        """Start a site's trainer; `wait_for_sites` waits until it has loaded everything."""
        settings = {
            "site": name,
            "domain": recipe.domain,
            "shard": shard,
            "base-model": base_model.directory,
            "base-model-name": base_model.name,
            "state": self.site(name) / "trainer",
            "socket": self._socket(name),
            "threads": threads,
            "seed": seed,
            "policy": {"recipes": [recipe], "fewest-examples": 1},
        }
        file = write_settings(settings, self.site(name) / "trainer.toml")
        self.parts.start(f"{name}-trainer", [sys.executable, "-m", "supernode.trainer", str(file)], {})

    def start_supernode(self, name: str) -> None:
        """Start a site's supernode, which brings its worker."""
        site = self.site(name)
        settings = {
            "site": name,
            "superlink": f"{HOST}:{self.ports.fleet}",
            "ca-certificate": self.ca_certificate,
            "node-key": site / "node.key",
            "runtime-port": self.ports.runtime[self.sites.index(name)],
            "superexec-secret": site / "worker.secret",
            "trainer": self._socket(name),
            "state": site / "supernode",
        }
        file = write_settings(settings, site / "supernode.toml")
        self.parts.start(f"{name}-supernode", [sys.executable, "-m", "supernode", str(file)], {})

    def wait_for_sites(self) -> None:
        """Wait until every trainer listens and every node is online."""
        for name in self.sites:
            socket = self._socket(name)
            self.parts.wait_until(socket.is_socket, f"the trainer of {name}", TRAINER_START_SECONDS)
        with self.control() as control:
            online = lambda: all(control.nodes().get(name) == "online" for name in self.sites)  # noqa: E731
            self.parts.wait_until(online, "a supernode", START_SECONDS)

    def submit(self, config: RunConfig) -> int:
        """Submit a run; return Flower's id of it."""
        with self.control() as control:
            return control.start_run(flower.app_bundle(), config.to_flower())

    def control(self) -> Control:
        """Return a client of the SuperLink's Control API."""
        return Control(f"{HOST}:{self.ports.http}", self.ca_certificate)

    def _socket(self, name: str) -> Path:
        return self.sockets / f"{name}.sock"
