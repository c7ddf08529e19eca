"""One service of a compose file: what all have in common, so that none is without it."""

from collections.abc import Sequence
from typing import Any

import yaml

import fedlora
from fedlora.federation import Federation

__all__ = [
    "NO_DNS",
    "USER",
    "USER_ID",
    "compose_text",
    "health",
    "image",
    "internal",
    "kit_service",
    "mount",
    "once",
    "service",
    "unrouted",
]

USER_ID = 49999
USER = f"{USER_ID}:{USER_ID}"
Service = dict[str, Any]
# Services without a way out get an upstream that is nowhere (RFC 5737): Docker's own name server would otherwise carry
# questions, and what is hidden in them, to the host's.
NO_DNS: dict[str, Any] = {"dns": ["192.0.2.1"]}


def image(federation: Federation, role: str, variant: str = "") -> str:
    """Return the name of the image of `role`; `variant` ends its tag."""
    own = federation.containers
    return f"{own.images}{role}:{own.tag or fedlora.__version__}{variant}"


def service(
    name: str, command: Sequence[str], *, memory: int, cpus: float, pids: int, scratch: int = 64, **more: Any
) -> Service:
    """Return a service that may do as little as possible.

    Parameters
    ----------
    name : str
        The image.
    command : sequence of str
        What runs in it, under its init.
    memory, scratch : int
        Limit, and size of the temporary folder, in MiB.
    cpus : float
        Cores.
    pids : int
        Processes and threads.
    **more
        Further keys, as compose has them.
    """
    return {
        "image": name,
        "entrypoint": ["tini", "--"],
        "command": [str(part) for part in command],
        "user": USER,
        "read_only": True,
        "tmpfs": [f"/tmp:mode=1777,size={scratch}m"],  # noqa: S108 - of the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "deploy": {"resources": {"limits": {"memory": f"{memory}m", "cpus": f"{cpus:g}", "pids": pids}}},
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        "restart": "unless-stopped",
        "stop_grace_period": "15s",
        **more,
    }


def kit_service(name: str, command: Sequence[str], *, environment: Service | None = None, **more: Any) -> Service:
    """Return a `service` that runs the kit's code, and is told which version its settings were rendered for."""
    return service(name, command, environment={"FEDLORA_RENDERED": fedlora.__version__, **(environment or {})}, **more)


def once(one: Service) -> Service:
    """Return a service that is run when somebody asks for it, and is not started again."""
    return one | {"restart": "no"}


def health(command: Sequence[str], *, start: int = 60, interval: int = 10) -> dict[str, Any]:
    """Return a health check; `start` is how many seconds the service may take until it is ready."""
    return {
        "test": ["CMD", *command],
        "interval": f"{interval}s",
        "timeout": "10s",
        "retries": 3,
        "start_period": f"{start}s",
    }


def mount(source: str, target: str, *, read_only: bool = True) -> dict[str, Any]:
    """Return a file or folder of the machine; one that is missing is an error and is not made."""
    return {
        "type": "bind",
        "source": source,
        "target": target,
        "read_only": read_only,
        "bind": {"create_host_path": False},
    }


def internal() -> dict[str, Any]:
    """Return a network without a way out: the machine itself has no address on it either."""
    return {"internal": True, "driver_opts": {"com.docker.network.bridge.inhibit_ipv4": "true"}}


def unrouted() -> dict[str, Any]:
    """Return a network that reaches the machine, so that a port can be published, and nothing beyond it."""
    return {"driver_opts": {"com.docker.network.bridge.enable_ip_masquerade": "false"}}


def compose_text(federation: Federation, part: str, document: dict[str, Any]) -> str:
    """Return ``compose.yaml``."""
    head = (
        f"# {part} of the federation {federation.name}, rendered by fedlora {fedlora.__version__}.\n"
        "# An edited file is not overwritten; what should last belongs into federation.toml.\n"
    )
    return head + yaml.dump(document, Dumper=_Plain, sort_keys=False, width=110)


class _Plain(yaml.SafeDumper):
    """Writes a value that stands twice a second time, not as a reference."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True
