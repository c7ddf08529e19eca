"""How the base model gets to a site: a service that is run once, by hand, and is the only one to write it."""

from pathlib import Path
from typing import Any

from fedlora.federation import Federation
from fedlora.language_model import DEFAULT_BASE_MODEL
from fedlora.rendering.compose.service import image, kit_service, mount, once

__all__ = ["BUNDLE", "MODEL", "bringing", "is_fetched", "model", "model_name"]

MODEL, BUNDLE = Path("/model"), "/bundle.tar"
# The hub's newer way of loading keeps pieces of the model in the temporary folder, which is small and in memory.
ENVIRONMENT = {"HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": None, "HF_TOKEN": None, "HTTPS_PROXY": None}


def model_name(federation: Federation) -> str:
    """Return the base model's name, as it goes into adapters."""
    source = federation.base_model
    return Path(source).name if source.startswith((".", "/", "~")) else source


def is_fetched(federation: Federation) -> bool:
    """Say whether the base model has a name that it can be fetched by."""
    return federation.base_model == DEFAULT_BASE_MODEL or "/" in model_name(federation)


def bringing(federation: Federation, *source: str) -> list[str]:
    """Return the command that brings the base model; without a `source` that of a network, else that of a bundle."""
    expected = federation.base_model_sha256
    way = ["import", *source] if source else ["fetch", model_name(federation)]
    return ["fedlora", "model", *way, "--into", str(MODEL), *(["--sha256", expected] if expected else [])]


def model(federation: Federation) -> dict[str, Any]:
    """Return the service: it reaches out, and sees neither records nor keys nor the trainer's state."""
    packaged = federation.base_model == DEFAULT_BASE_MODEL
    command = bringing(federation) if is_fetched(federation) else bringing(federation, BUNDLE)
    return once(
        kit_service(
            image(federation, "model" if packaged else "trainer"),
            command,
            memory=4096,
            cpus=1,
            pids=128,
            profiles=["model"],
            environment=ENVIRONMENT,
            volumes=[mount("${MODEL}", str(MODEL), read_only=False)],
            networks=["outside"],
        )
    )
