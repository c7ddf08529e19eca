"""``fedlora model fetch``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.model.arguments import IntoOption, Sha256Option, place, standing, told

if TYPE_CHECKING:
    from fedlora.language_model.manifest import ModelManifest

__all__ = ["fetch"]


def fetch(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="OWNER/NAME on a hub, or SmolLM2-135M-Instruct, the default.", show_default=False
        ),
    ],
    revision: Annotated[str, typer.Option(help="Branch, tag or commit; else the newest.", show_default=False)] = "",
    mirror: Annotated[
        str, typer.Option(metavar="URL", help="Address of a mirror; else HF_ENDPOINT, or the hub.", show_default=False)
    ] = "",
    sha256: Sha256Option = "",
    into: IntoOption = None,
) -> None:
    """Get a base model from a hub or a mirror of one: safetensors, configuration and tokenizer, all of one commit."""
    directory = place(_checked(model, revision, mirror), into)
    manifest = standing(directory, sha256)
    if manifest is not None:
        _check_same(manifest, directory, model, revision, mirror)
        typer.echo(f"{told(manifest, directory)}, where it was already")
        return
    typer.echo(told(_fetched(model, directory, revision, mirror, sha256), directory))


def _checked(model: str, revision: str, mirror: str) -> str:
    from fedlora.errors import BaseModelError
    from fedlora.language_model.cache import DEFAULT_BASE_MODEL
    from fedlora.language_model.manifest import is_model_name

    if model == DEFAULT_BASE_MODEL:
        if revision or mirror:
            raise BaseModelError(f"{model} comes in a package, not from a hub; leave out --revision and --mirror")
    elif not is_model_name(model) or "/" not in model:
        raise BaseModelError(
            f"{model!r} is no hub id; allowed: OWNER/NAME, or {DEFAULT_BASE_MODEL}. A folder or a bundle gets here "
            "with: fedlora model import"
        )
    return model


def _fetched(model: str, directory: Path, revision: str, mirror: str, sha256: str) -> "ModelManifest":
    from fedlora.language_model.cache import DEFAULT_BASE_MODEL, convert_default
    from fedlora.language_model.hub import fetch as download

    if model == DEFAULT_BASE_MODEL:
        return convert_default(directory, sha256)
    say = lambda line: typer.echo(line, err=True)  # noqa: E731
    return download(model, directory, revision=revision, mirror=mirror, sha256=sha256, say=say)


def _check_same(manifest: "ModelManifest", directory: Path, model: str, revision: str, mirror: str) -> None:
    """Check that what stands in the place is the model and the revision that are asked for."""
    from fedlora.errors import BaseModelError
    from fedlora.language_model.hub import resolve

    if manifest.name != model:
        raise BaseModelError(f"{directory} holds {manifest.name}; name another folder with --into, or move it away")
    if revision in ("", manifest.revision):
        return
    commit = resolve(model, revision=revision, mirror=mirror)
    if commit != manifest.revision:
        raise BaseModelError(
            f"{directory} holds {model} at revision {manifest.revision or 'unknown'}; {revision} is {commit}. Name "
            "another folder with --into, or move the old one away"
        )
