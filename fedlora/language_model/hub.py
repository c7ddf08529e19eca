"""Fetching a base model from a hub or a mirror of one, with huggingface_hub, which only this needs.

What arrives is weights as safetensors, configuration, tokenizer, licence and card: no code and no pickle. All files are
those of one commit.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedlora.errors import BaseModelError
from fedlora.language_model.base_model import DOCUMENTS, INDEX, choose, hold_to_hash, matches
from fedlora.language_model.cache import new_model
from fedlora.language_model.manifest import MANIFEST, ModelManifest, describe

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

__all__ = ["fetch", "resolve"]

ELSEWHERE = "name a mirror with --mirror or HF_ENDPOINT, or import a folder or a bundle: docs/models.md"
Say = Callable[[str], None]


def resolve(hub_id: str, *, revision: str = "", mirror: str = "") -> str:
    """Return the commit that `revision` of a model is; see `fetch`."""
    api = _api(mirror)
    with _named_errors(hub_id, revision, api.endpoint):
        return _commit(api.model_info(hub_id, revision=revision or None), api.endpoint)


def fetch(
    hub_id: str, directory: Path, *, revision: str = "", mirror: str = "", sha256: str = "", say: Say = lambda _: None
) -> ModelManifest:
    """Download a base model into the new folder `directory`, and return its manifest, which lies there as well.

    Parameters
    ----------
    hub_id : str
        OWNER/NAME.
    directory : Path
        The folder to make.
    revision : str
        Branch, tag or commit; empty for the main branch.
    mirror : str
        Address of a mirror; no token is sent to it. Empty for ``HF_ENDPOINT``, or the public hub.
    sha256 : str
        The hash that the model must have; empty for any.
    say : callable
        Gets a line for each file.

    Raises
    ------
    BaseModelError
        If there is no such model or revision, the hub cannot be reached, the model has no safetensors, the hash is
        another one, or the disk does not take it. Nothing of it is left behind.
    """
    api = _api(mirror)
    with new_model(directory) as unfinished, _named_errors(hub_id, revision, api.endpoint):
        info = api.model_info(hub_id, revision=revision or None, files_metadata=True)
        commit = _commit(info, api.endpoint)
        for name, size in _wanted(api, info, commit, unfinished):
            say(f"{name}: {size:,} bytes" if size is not None else name)
            _download(api, hub_id, name, commit, unfinished)
        shutil.rmtree(unfinished / ".cache", ignore_errors=True)  # the library's notes on what it has loaded
        manifest = describe(unfinished, hub_id, revision=commit)
        _check_announced(info, manifest)
        if sha256:
            hold_to_hash(f"{hub_id} at revision {commit}", manifest.sha256, sha256)
        (unfinished / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _api(mirror: str) -> "HfApi":
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise BaseModelError(
            "fetching a base model needs the package huggingface-hub; run: pip install 'fedlora[train]', or import a "
            "folder or a bundle: docs/models.md"
        ) from error
    if mirror and not re.match("https?://", mirror):
        raise BaseModelError(f"mirror {mirror!r} is no address; allowed: https://HOST or http://HOST:PORT")
    return HfApi(endpoint=mirror.rstrip("/") or None, token=False if mirror else None, library_name="fedlora")


def _commit(info: "ModelInfo", endpoint: str) -> str:
    if not info.sha or not re.fullmatch("[0-9a-f]{40}", info.sha):
        raise BaseModelError(f"{endpoint} says not which commit it has of {info.id}: {info.sha!r}")
    return info.sha


def _wanted(api: "HfApi", info: "ModelInfo", commit: str, unfinished: Path) -> Iterator[tuple[str, int | None]]:
    """Yield name and size of each file to download; which weights they are, the index says if there is one."""
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    index = ""
    if INDEX in sizes:
        _download(api, info.id, INDEX, commit, unfinished)
        index = (unfinished / INDEX).read_text(encoding="utf-8", errors="replace")
    chosen = choose(sizes, index, f"{info.id} at {api.endpoint}")
    documents = sorted(name for name in sizes if "/" not in name and matches(name, DOCUMENTS))
    for name in [*documents, *chosen]:
        yield name, sizes[name]


def _download(api: "HfApi", hub_id: str, name: str, commit: str, directory: Path) -> None:
    api.hf_hub_download(hub_id, name, revision=commit, local_dir=directory)


def _check_announced(info: "ModelInfo", manifest: ModelManifest) -> None:
    """Hold the large files to the hashes that the hub has announced; the library looks at their sizes alone."""
    announced = {file.rfilename: file.lfs.sha256 for file in info.siblings or () if file.lfs is not None}
    if wrong := [file.name for file in manifest.files if announced.get(file.name, file.sha256) != file.sha256]:
        raise BaseModelError(f"{info.id}: {', '.join(wrong)} came with another SHA-256 than announced; try again")


@contextmanager
def _named_errors(hub_id: str, revision: str, endpoint: str) -> Iterator[None]:
    """Turn what the library raises into errors that say what to do; those of the disk pass."""
    from httpx import HTTPError
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise BaseModelError(
            f"{hub_id} at {endpoint} is given to those who accept its terms; do so at {endpoint}/{hub_id}, and set "
            "HF_TOKEN to a token of yours"
        ) from error
    except RepositoryNotFoundError as error:
        raise BaseModelError(
            f"there is no model {hub_id} at {endpoint}, or it is private; check OWNER/NAME, or set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise BaseModelError(
            f"{hub_id} at {endpoint} has no revision {revision!r}; leave it out for the newest"
        ) from error
    except OfflineModeIsEnabled as error:
        raise BaseModelError(
            f"{hub_id} cannot be fetched: HF_HUB_OFFLINE is set; unset it, or import a folder or a bundle"
        ) from error
    except HFValidationError as error:
        raise BaseModelError(f"{hub_id!r} or the revision {revision!r} is none: {error}") from error
    except (HTTPError, HfHubHTTPError, EntryNotFoundError) as error:
        cause = error.__cause__ or error
        first = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise BaseModelError(f"{hub_id} cannot be fetched from {endpoint}: {first}; try again, {ELSEWHERE}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        first = str(error).strip().splitlines()[0]  # how the library says that a file came incomplete
        raise BaseModelError(f"{hub_id} cannot be fetched from {endpoint}: {first}; try again, {ELSEWHERE}") from error
