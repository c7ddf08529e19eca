"""What is rendered from a federation's file: folders that are deployed as they are, each on its own machine."""

from fedlora.rendering.compose import compose_files
from fedlora.rendering.folder import MANIFEST, write_rendering

__all__ = ["MANIFEST", "compose_files", "write_rendering"]
