"""What is rendered from a federation's file: folders that are deployed as they are, each on its own machine."""

from fedlora.rendering.compose import compose_files
from fedlora.rendering.compose.service import USER_ID
from fedlora.rendering.folder import MANIFEST, left_over, write_rendering
from fedlora.rendering.helm import helm_files

__all__ = ["MANIFEST", "USER_ID", "compose_files", "helm_files", "left_over", "write_rendering"]
