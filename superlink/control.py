"""The SuperLink's Control API: registering nodes, starting runs, asking how they are."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from flwr.common.serde import user_config_from_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.error import FlowerError

from fedlora.errors import ControlError, CredentialError
from fedlora.flower import AppBundle

__all__ = ["Attempt", "Control", "Node"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Attempt:
    """State of a Flower run.

    Attributes
    ----------
    status : str
        ``pending``, ``starting``, ``running`` or ``finished``.
    outcome : str
        Of a finished one: ``completed``, ``failed`` or ``stopped``.
    details : str
        Why it failed.
    bytes_down, bytes_up : int
        What Flower has counted of its messages to nodes, and from them.
    """

    status: str
    outcome: str
    details: str
    bytes_down: int = 0
    bytes_up: int = 0

    @property
    def finished(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self.status == "finished"


@dataclass(frozen=True)
class Node:
    """What the SuperLink knows of a node, unregistered ones included: their keys are spent.

    Attributes
    ----------
    name : str
        The site's.
    id : int
        Flower's id of it.
    status : str
        ``registered`` (was never online), ``online``, ``offline`` or ``unregistered``.
    registered_at, last_activated_at, last_deactivated_at, unregistered_at : str or None
        When, in ISO 8601.
    public_key : bytes
        As it was registered: PEM.
    """

    name: str
    id: int
    status: str
    registered_at: str
    last_activated_at: str | None
    last_deactivated_at: str | None
    unregistered_at: str | None
    public_key: bytes

    @property
    def registered(self) -> bool:
        """Whether it may come in."""
        return self.status != "unregistered"


class Control:
    """A client of the Control API. A context manager.

    Every method raises ControlError if the SuperLink refuses or does not answer.

    Parameters
    ----------
    address : str
        ``host:port`` of the SuperLink's HTTP APIs.
    ca_certificate : Path
        The federation's CA certificate.
    admin : Path, optional
        Folder with ``admin.crt`` and ``admin.key``, where a proxy before the SuperLink asks for them.

    Raises
    ------
    CredentialError
        If one of these files cannot be used.
    """

    def __init__(self, address: str, ca_certificate: Path, *, admin: Path | None = None) -> None:
        self.address = address
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with _usable(ca_certificate):
            context.load_verify_locations(ca_certificate)
        if admin is not None:
            with _usable(admin):
                context.load_cert_chain(admin / "admin.crt", admin / "admin.key")
        self._client = ControlHttpClient(f"https://{address}", verify=context)

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def answers(self) -> bool:
        """Whether the SuperLink answers at all."""
        try:
            self._client.ListNodes(ListNodesRequest())
        except httpx.HTTPError:
            return False
        return True

    def register_node(self, public_key_pem: bytes, name: str) -> int:
        """Admit the node with this key under the site's name; return its id."""
        request = RegisterNodeRequest(public_key=public_key_pem, name=name)
        return int(self._asked("register the node", lambda: self._client.RegisterNode(request).node_id))

    def unregister_node(self, node_id: int) -> None:
        """Turn a node away from now on; its key can never be registered again."""
        request = UnregisterNodeRequest(node_id=node_id)
        self._asked("unregister the node", lambda: self._client.UnregisterNode(request))

    def nodes(self) -> dict[str, str]:
        """Return the state of each registered node (``registered``, ``online``, ``offline``) by its site's name."""
        return {node.name: node.status for node in self.node_list() if node.registered}

    def node_list(self) -> list[Node]:
        """Return all that is known of each node, by name and in the order of registration."""
        found = self._asked("list the nodes", lambda: self._client.ListNodes(ListNodesRequest()))
        nodes = [
            Node(
                name=node.name,
                id=int(node.node_id),
                status=node.status,
                registered_at=node.registered_at,
                last_activated_at=node.last_activated_at or None,
                last_deactivated_at=node.last_deactivated_at or None,
                unregistered_at=node.unregistered_at or None,
                public_key=node.public_key,
            )
            for node in found.nodes_info
        ]
        return sorted(nodes, key=lambda node: (node.name, node.registered_at))

    def start_run(self, app: AppBundle, config: Mapping[str, bool | float | int | str]) -> int:
        """Submit `app` with `config` over its defaults; return Flower's id of the run."""
        request = StartRunRequest(
            fab=Fab(hash_str=app.sha256, content=app.content),
            override_config=user_config_to_proto(dict(config)),
        )
        return int(self._asked("start the run", lambda: self._client.StartRun(request).run_id))

    def attempt(self, run_id: int) -> Attempt | None:
        """Return the state of a run, or None if the SuperLink does not know it."""
        request = ListRunsRequest(run_id=run_id)
        runs = self._asked("show the run", lambda: self._client.ListRuns(request)).run_dict
        if run_id not in runs:
            return None
        run = runs[run_id]
        return Attempt(
            run.status.status, run.status.sub_status, run.status.details, int(run.bytes_sent), int(run.bytes_recv)
        )

    def find(self, **config: str | int) -> int | None:
        """Return the id of the newest run that was started with these values in its configuration, or None."""
        runs = self._asked("list the runs", lambda: self._client.ListRuns(ListRunsRequest())).run_dict.values()
        for run in sorted(runs, key=lambda run: run.pending_at, reverse=True):
            given = user_config_from_proto(run.override_config)
            if all(given.get(key) == value for key, value in config.items()):
                return int(run.run_id)
        return None

    def stop_run(self, run_id: int) -> None:
        """Stop a run."""
        self._asked("stop the run", lambda: self._client.StopRun(StopRunRequest(run_id=run_id)))

    def _asked(self, what: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except httpx.HTTPStatusError as error:
            reason = FlowerError.from_json(error.response.text)
            said = reason.message if reason else error.response.text[:200]
            raise ControlError(f"the SuperLink at {self.address} refused to {what}: {said}") from error
        except httpx.HTTPError as error:
            raise ControlError(f"the SuperLink at {self.address} could not be asked to {what}: {error}") from error


@contextmanager
def _usable(credential: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise CredentialError(f"{credential} cannot be used: {error}") from error
