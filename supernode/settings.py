"""What a site's owner sets for the supernode."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fedlora.audit import FILE, Audit
from fedlora.federation import SitePolicy
from fedlora.federation.description import Address, DomainName, Figures
from fedlora.names import HOST, PORT
from fedlora.rules import between, matching

__all__ = ["NodeSettings"]


@dataclass(frozen=True)
class NodeSettings:
    """The supernode's file, ``supernode.toml``.

    Attributes
    ----------
    site : str
        Name of the site, for its own log and its own metrics.
    domain : str
        What its records are about.
    superlink : str
        Address of the SuperLink's Fleet API, ``host:port``.
    ca_certificate : Path
        The federation's CA certificate.
    node_key : Path
        This node's private key.
    runtime_port : int
        Port on 127.0.0.1 at which the worker fetches its tasks.
    superexec_secret : Path
        Secret that worker and supernode share.
    trainer : Path
        The trainer's Unix socket.
    state : Path
        Folder that outlives the process: node id, time of the last successful call, and what has passed.
    metrics : str
        ``HOST:PORT`` at which this node's metrics are served to Prometheus; "" for nowhere.
    figures : tuple of str
        Areas of metrics that may leave the site in its answers.
    fab_hashes : tuple of str
        Apps that may run besides the kit's own, by their SHA-256.
    guard : bool
        Whether other apps are refused. Switched off only in the test that shows that no app is opened here anyway.
    """

    site: str
    domain: DomainName
    superlink: Annotated[str, matching(f"{HOST}:{PORT}", "HOST:PORT, without a scheme, with a port from 1 to 65535")]
    ca_certificate: Path
    node_key: Path
    runtime_port: Annotated[int, between(1, 65535)]
    superexec_secret: Path
    trainer: Path
    state: Path
    metrics: Address = ""
    figures: Figures = SitePolicy.figures
    fab_hashes: tuple[Annotated[str, matching("[0-9a-f]{64}", "a SHA-256: 64 of 0-9 and a-f")], ...] = ()
    guard: bool = True

    def audit(self, by: str) -> Audit:
        """Return the site's audit log, to which `by` adds."""
        return Audit(self.state / FILE, by)

    @property
    def ca_in_use(self) -> Path:
        """The CA certificate, or two while it is exchanged, as the running node has loaded it: a copy of the file."""
        return self.state / "ca-in-use.crt"

    @property
    def policy_sha256(self) -> str:
        """What names the supernode's part of the site's policy: the trainer's has a hash of its own."""
        policy = {"fab-hashes": sorted(self.fab_hashes), "figures": sorted(self.figures), "guard": self.guard}
        return hashlib.sha256(json.dumps(policy).encode()).hexdigest()
