"""How the base model gets into its claim."""

from pathlib import Path

from fedlora.federation import Federation
from fedlora.language_model import DEFAULT_BASE_MODEL
from fedlora.rendering.compose.base_model import is_fetched, model_name
from fedlora.rendering.helm.values import Values

__all__ = ["BASE_MODEL", "fetched"]

BASE_MODEL = Path("/model/base")  # below the claim's own folder, in which file systems have folders of theirs


def fetched(federation: Federation, blocks: tuple[str, ...]) -> Values:
    """Return how an init container gets it: of the image that holds it, of a hub at `blocks`, or not at all."""
    if not is_fetched(federation):
        return {"enabled": False}
    packaged = federation.base_model == DEFAULT_BASE_MODEL
    return {
        "enabled": True,
        "model": model_name(federation),
        "image": "model" if packaged else "trainer",
        "sha256": federation.base_model_sha256,
        "addressBlocks": [] if packaged else list(blocks),
    }
