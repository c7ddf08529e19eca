"""Flower's supernode behind our seam: ``python -m supernode.node supernode.toml BELL``.

The bell is the file descriptor of a pipe: written into when a message has come, on which the worker waits.
"""

import os
import sys
from pathlib import Path

from fedlora import flower
from fedlora.config import read_toml
from fedlora.folders import replace_durably
from fedlora.log import show
from supernode.settings import NodeSettings


def main(arguments: list[str]) -> None:
    """Run Flower's supernode until it ends; its exit code says nothing, see `supernode.__main__`."""
    show()
    settings = read_toml(NodeSettings, Path(arguments[0]))
    os.environ.update(flower.environment(settings.state / "flower"))  # read when Flower is imported
    from flwr.supernode.cli import flower_supernode

    from supernode.client_app import SETTINGS_KEY
    from supernode.guard import Guard
    from supernode.seam import install

    known = frozenset({flower.app_bundle().sha256, *settings.fab_hashes})
    install(settings, Guard(known) if settings.guard else None, bell=int(arguments[1]))
    sys.argv = [
        *flower.supernode_arguments(
            superlink=settings.superlink,
            ca_certificate=_loaded(settings),
            node_key=settings.node_key,
            runtime_port=settings.runtime_port,
            superexec_secret=settings.superexec_secret,
        ),
        *("--node-config", f'{SETTINGS_KEY}="{Path(arguments[0]).absolute()}"'),
    ]
    flower_supernode()


def _loaded(settings: NodeSettings) -> Path:
    """Return a copy of the CA's certificate for Flower to load: what the node tells of it is what it has loaded."""
    try:
        replace_durably(settings.ca_in_use, settings.ca_certificate.read_bytes())
    except OSError:  # Flower says what is wrong with the file
        return settings.ca_certificate
    return settings.ca_in_use


if __name__ == "__main__":
    main(sys.argv[1:])
