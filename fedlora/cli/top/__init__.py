"""``fedlora top``: a federation live in a terminal, from its coordinator's metrics alone."""

from fedlora.cli.top.command import top

__all__ = ["top"]
