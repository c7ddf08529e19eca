"""A federation's parts as processes on this machine."""

import sys
import time
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from fedlora import flower, pki
from fedlora.cli.local.credentials import complete_coordinator, complete_site
from fedlora.domains import domain
from fedlora.errors import ConfigurationError, CredentialError
from fedlora.federation import Federation, Site
from fedlora.federation.settings import (
    SitePlaces,
    exporter_settings,
    keeper_settings,
    supernode_settings,
    trainer_settings,
)
from fedlora.language_model import BaseModel
from fedlora.pki.node_keys import public_key_sha256
from fedlora.processes import Parts, check_ports_free
from fedlora.settings_file import write_settings
from fedlora.shards import iterate_records
from superlink.control import Control
from supernode.heartbeat import node_heartbeat

__all__ = ["COORDINATOR", "LocalFederation", "http_address"]

COORDINATOR = "coordinator"
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - sites are elsewhere; TLS and their keys decide who comes in
START_SECONDS = 120.0
ENGINE = (sys.executable, "-m", "superlink.engine", "-")  # the exporter finds these processes by itself
TRAINER_START_SECONDS = 600.0


class LocalFederation:
    """Those parts of a federation that run on this machine.

    Parameters
    ----------
    federation : Federation
        What is to run.
    parts : Parts
        The processes, which the caller stops.
    sockets : Path
        Folder for the trainers' sockets; its path must be short, for a Unix socket's has at most 108 bytes.
    only : collection of str
        ``coordinator`` and names of sites; without any, all of the federation.

    Raises
    ------
    ConfigurationError
        If `only` names what the federation does not have, or nothing is named although the file spreads the parts over
        several machines.
    """

    def __init__(self, federation: Federation, parts: Parts, sockets: Path, only: Collection[str] = ()) -> None:
        here = _here(federation, only)
        self.federation = federation
        self.parts = parts
        self.sockets = sockets
        self.coordinates = COORDINATOR in here
        self.sites = tuple(site.name for site in federation.site if site.name in here)
        self.started_at = time.time()

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.federation.coordinator.runs

    @property
    def coordinator(self) -> Path:
        """The coordinator's folder."""
        return self.federation.paths.state / COORDINATOR

    @property
    def ca_certificate(self) -> Path:
        """The federation's CA certificate, as the coordinator has it."""
        return self.coordinator / "ca.crt"

    def site(self, name: str) -> Path:
        """Return a site's folder."""
        return self.federation.paths.state / name

    def check(self) -> None:
        """Check what can be checked before anything is written: the ports, and the shards.

        Raises
        ------
        PortInUseError
            Names those that are taken.
        ShardError
            If a shard is not there, has changed, or is of another domain.
        """
        own = self.federation.coordinator
        local = {f"supernode of {site.name}": site.runtime_port for site in self._sites()}
        local |= {f"metrics of {site.name}": site.metrics_port for site in self._sites() if site.metrics_port}
        if self.coordinates:
            check_ports_free({"SuperLink, gRPC": own.fleet_port}, self._fleet_host)
            local["SuperLink, HTTPS"] = own.http_port
            if own.metrics_port:
                local["exporter, metrics"] = own.metrics_port
        check_ports_free(local, LOOPBACK)
        for site in self._sites():
            deque(iterate_records(site.shard, domain(site.domain)), maxlen=0)  # read to the end, and kept nowhere

    def create_credentials(self) -> list[str]:
        """Make the keys and certificates that are missing and examine the others; return what was made."""
        made = complete_coordinator(self.federation, self.coordinator) if self.coordinates else []
        for name in self.sites:
            made += complete_site(self.site(name), self._ca_certificate_of(name))
        return made

    def start_superlink(self) -> None:
        """Start the SuperLink and the SuperExec that runs its ServerApps, and admit this machine's sites.

        Raises
        ------
        CredentialError
            If another key is registered under the name of one of these sites.
        """
        own = flower.SuperLinkFiles(
            ca_certificate=self.ca_certificate,
            certificate=self.coordinator / "server.crt",
            private_key=self.coordinator / "server.key",
            superexec_secret=self.coordinator / "superexec.secret",
            database=self.coordinator / "superlink.sqlite",
        )
        coordinator = self.federation.coordinator
        variables = flower.environment(self.coordinator / "flower")
        command = flower.superlink_command(
            own,
            fleet=f"{self._fleet_host}:{coordinator.fleet_port}",
            http=f"{LOOPBACK}:{coordinator.http_port}",
        )
        self.parts.start("superlink", [*ENGINE, *command], variables)
        with self.control() as control:
            self.parts.wait_until(control.answers, "the SuperLink", START_SECONDS)
            self._admit(control)
        command = flower.superexec_command(
            ca_certificate=self.ca_certificate, superexec_secret=own.superexec_secret, superlink=self.http_address
        )
        self.parts.start("superexec", [*ENGINE, *command], {**variables, "FEDLORA_RUNS": str(self.runs)})

    def start_keeper(self, name: str = "keeper") -> None:
        """Start a keeper, which brings submitted runs to their end; of several, one is awake."""
        settings = keeper_settings(self.federation, superlink=self.http_address, ca_certificate=self.ca_certificate)
        file = write_settings(settings, self.coordinator / "keeper.toml")
        self.parts.start(name, [sys.executable, "-m", "superlink.keeper", str(file)], {})

    def start_exporter(self) -> None:
        """Start the exporter, which Prometheus asks for all that the coordinator knows, unless the file has none."""
        own = self.federation.coordinator
        if own.metrics_port:
            settings = exporter_settings(
                self.federation,
                listen=f"{LOOPBACK}:{own.metrics_port}",
                ca_certificate=self.ca_certificate,
                server_certificate=self.coordinator / "server.crt",
            )
            file = write_settings(settings, self.coordinator / "exporter.toml")
            self.parts.start("exporter", [sys.executable, "-m", "superlink.exporter", str(file)], {})

    def start_trainer(self, name: str, base_model: BaseModel) -> None:
        """Start a site's trainer; `wait_for_sites` waits until it has loaded everything."""
        site = self._site(name)
        settings = trainer_settings(self.federation, site, self._places(site), base_model)
        file = write_settings(settings, self.site(name) / "trainer.toml")
        self.parts.start(f"{name}-trainer", [sys.executable, "-m", "supernode.trainer", str(file)], {})

    def start_supernode(self, name: str) -> None:
        """Start a site's supernode, which brings its worker."""
        site = self._site(name)
        settings = supernode_settings(self._as_seen_here(), site, self._places(site), metrics_host=LOOPBACK)
        file = write_settings(settings, self.site(name) / "supernode.toml")
        self.parts.start(f"{name}-supernode", [sys.executable, "-m", "supernode", str(file)], {})

    def wait_for_sites(self) -> None:
        """Wait until every trainer of this machine listens and every node of it is online."""
        for name in self.sites:
            self.parts.wait_until(self._socket(name).is_socket, f"the trainer of {name}", TRAINER_START_SECONDS)
        if self.coordinates:
            with self.control() as control:
                online = lambda: all(control.nodes().get(name) == "online" for name in self.sites)  # noqa: E731
                self.parts.wait_until(online, "a supernode", START_SECONDS)
            return
        for name in self.sites:  # the SuperLink answers to nodes alone, so the node's own word must do
            self.parts.wait_until(lambda name=name: self._has_called(name), f"the supernode of {name}", START_SECONDS)  # type: ignore[misc]

    @property
    def http_address(self) -> str:
        """HOST:PORT of the SuperLink's HTTP APIs."""
        return http_address(self.federation)

    def control(self) -> Control:
        """Return a client of the SuperLink's Control API."""
        return Control(self.http_address, self.ca_certificate)

    @property
    def _fleet_host(self) -> str:
        """Where the SuperLink listens for sites."""
        return LOOPBACK if self.federation.coordinator.host in (LOOPBACK, "localhost") else EVERYWHERE

    def _admit(self, control: Control) -> None:
        """Register the nodes of this machine's sites that are not."""
        registered = {node.name: public_key_sha256(node.public_key) for node in control.node_list() if node.registered}
        for name in self.sites:
            pem = pki.public_key_pem(self.site(name) / "node.key.pub")
            if name not in registered:
                control.register_node(pem, name)
            elif registered[name] != public_key_sha256(pem):
                raise CredentialError(
                    f"{self.site(name) / 'node.key.pub'} is not the key that is registered for {name}; bring that one "
                    f"back, or first: fedlora node unregister {name}"
                )

    def _has_called(self, name: str) -> bool:
        last_call = node_heartbeat(self._places(self._site(name)).supernode_state)
        return time.time() - last_call.seconds_ago() > self.started_at

    def _as_seen_here(self) -> Federation:
        """Return the federation as its sites beside the SuperLink see it: on loopback."""
        if not self.coordinates:
            return self.federation
        return replace(self.federation, coordinator=replace(self.federation.coordinator, host=LOOPBACK))

    def _sites(self) -> list[Site]:
        return [self._site(name) for name in self.sites]

    def _site(self, name: str) -> Site:
        return next(site for site in self.federation.site if site.name == name)

    def _ca_certificate_of(self, name: str) -> Path:
        return self.ca_certificate if self.coordinates else self.site(name) / "ca.crt"

    def _places(self, site: Site) -> SitePlaces:
        folder = self.site(site.name)
        return SitePlaces(
            shard=site.shard,
            trainer_state=folder / "trainer",
            supernode_state=folder / "supernode",
            socket=self._socket(site.name),
            ca_certificate=self._ca_certificate_of(site.name),
            node_key=folder / "node.key",
            worker_secret=folder / "worker.secret",
        )

    def _socket(self, name: str) -> Path:
        return self.sockets / f"{name}.sock"


def http_address(federation: Federation) -> str:
    """Return HOST:PORT of the SuperLink's HTTP APIs, which only its own machine reaches."""
    return f"{LOOPBACK}:{federation.coordinator.http_port}"


def _here(federation: Federation, only: Collection[str]) -> set[str]:
    """Return the names of the parts that are to run on this machine."""
    machines = {COORDINATOR: federation.coordinator.machine, **{site.name: site.machine for site in federation.site}}
    if unknown := sorted(set(only) - set(machines)):
        raise ConfigurationError(f"{', '.join(unknown)} is no part of this federation; it has {', '.join(machines)}")
    if only:
        return set(only)
    if len(set(machines.values())) > 1 or (len(machines) > 1 and "" in machines.values()):
        placed = "; ".join(f"{name} on {machine or 'a machine of its own'}" for name, machine in machines.items())
        raise ConfigurationError(
            f"the file spreads this federation over several machines ({placed}); name those parts that run here: "
            "--only coordinator, --only SITE"
        )
    return set(machines)
