"""A mirror of a run's checkpoints on the evaluator's machine, from the coordinator's `superlink.checkpoint_server`.

A checkpoint appears in its place in one step, once every file has the hash that was announced. What a cut has left
half-done lies beside it under another name, and is gone on with, not begun again.
"""

import hashlib
import logging
import os
import random
import shutil
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx

from fedlora.adapters.checkpoint import CHECKPOINTS, NOTE, checkpoint_folders, file_sha256
from fedlora.adapters.mirror import MIRROR, OfferedCheckpoint, OfferedFile, OfferedRun, read_offer
from fedlora.config import hold_to_rules
from fedlora.errors import CheckpointError, ControlError, CredentialError, EvaluationError, FedloraError
from fedlora.folders import check_room, make_durable, replace_durably
from fedlora.names import HOST, NAME, NAME_RULE, PORT
from fedlora.rules import between, matching

__all__ = ["Mirror"]

TIMEOUT_SECONDS = 30.0
LOOK_SECONDS = 5.0  # between looks at a run that goes on
Progress = Callable[[str], None]
log = logging.getLogger("fedlora.mirror")


@dataclass(frozen=True)
class Mirror:
    """What is mirrored, from where, and into which folder.

    Attributes
    ----------
    source : str
        ``HOST:PORT`` of the checkpoint server.
    runs : Path
        The folder of runs at this machine; that of the run is made in it.
    run : str
        The run.
    ca_certificate, certificate, key : Path
        The federation's CA; the evaluator's pair. Read at each look, so that renewed ones count at once.
    every : int
        Rounds divisible by this are fetched, and the last of a run that has ended.
    keep : int
        How many of the newest stay here; 0 for all.

    Raises
    ------
    ConfigurationError
        If a value is not allowed.
    """

    source: Annotated[str, matching(f"{HOST}:{PORT}", "HOST:PORT, with a port from 1 to 65535")]
    runs: Path
    run: Annotated[str, matching(NAME, NAME_RULE)]
    ca_certificate: Path
    certificate: Path
    key: Path
    every: Annotated[int, between(1, 10**6)] = 1
    keep: Annotated[int, between(0, 10**6)] = 0

    def __post_init__(self) -> None:
        hold_to_rules(self)

    @property
    def directory(self) -> Path:
        """The run's folder at this machine."""
        return self.runs / self.run

    def look(self, progress: Progress = log.info) -> OfferedRun:
        """Fetch what is offered, wanted and not here; return the offer.

        Raises
        ------
        ControlError
            If the server does not answer, or breaks off: the next look goes on from there.
        CredentialError
            If it refuses this evaluator, or is not the federation's.
        EvaluationError
            If it has no such run.
        CheckpointError
            If what it sends is not what it has announced, or the disk does not take it.
        """
        try:
            with self._client() as client:
                offer = read_offer(_read(client, f"/v1/runs/{self.run}"), f"the answer of {self.source}")
                for checkpoint in sorted(offer.checkpoints, key=lambda one: one.round):
                    if self._wanted(checkpoint, offer):
                        self._fetch(client, checkpoint)
                        progress(f"{self.run}: {checkpoint.name}, {checkpoint.bytes:,} bytes")
            self._remove_old()
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_durably(self.directory / MIRROR, offer.to_json().encode())  # last: who reads it finds all of it
        except httpx.HTTPError as error:
            raise _unanswered(self.source, error) from error
        except OSError as error:
            raise CheckpointError(f"the mirror {self.directory} cannot be written: {error}") from error
        return offer

    def follow(self, progress: Progress = log.info, pause: Callable[[float], None] = time.sleep) -> OfferedRun:
        """Look again and again until the run has ended; what may pass is logged, once, and tried again.

        Raises
        ------
        CredentialError
            As `look`: that does not pass by itself.
        """
        said = ""
        while True:
            try:
                offer = self.look(progress)
                if offer.ended:
                    return offer
                said = ""
            except CredentialError:
                raise
            except FedloraError as error:
                if str(error) != said:
                    log.warning("%s; it is tried again", error)
                    said = str(error)
            pause(LOOK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - so that many do not ask at once

    def _client(self) -> httpx.Client:
        try:
            context = ssl.create_default_context(cafile=self.ca_certificate)
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            raise CredentialError(
                f"{self.ca_certificate}, {self.certificate} or {self.key} cannot be used: {error}"
            ) from error
        return httpx.Client(base_url=f"https://{self.source}", verify=context, timeout=TIMEOUT_SECONDS, trust_env=False)

    def _wanted(self, checkpoint: OfferedCheckpoint, offer: OfferedRun) -> bool:
        newest = max(one.round for one in offer.checkpoints)
        if checkpoint.round % self.every and not (offer.ended and checkpoint.round == newest):
            return False
        note = self.directory / CHECKPOINTS / checkpoint.name / NOTE
        return (
            not note.exists() or file_sha256(note) != checkpoint.files[NOTE].sha256
        )  # else an attempt has made it anew

    def _fetch(self, client: httpx.Client, checkpoint: OfferedCheckpoint) -> None:
        """Fetch a checkpoint; one that stands in its place is replaced in the end."""
        final = self.directory / CHECKPOINTS / checkpoint.name
        unfinished = final.with_name(f".{checkpoint.name}.mirrored")
        at = f"/v1/runs/{self.run}/{CHECKPOINTS}/{checkpoint.name}"
        note = unfinished / NOTE
        if note.exists() and file_sha256(note) != checkpoint.files[NOTE].sha256:
            shutil.rmtree(unfinished)  # of another attempt
        unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_room(unfinished, checkpoint.bytes, CheckpointError)
        for name in sorted(checkpoint.files, key=lambda name: name != NOTE):
            if not (unfinished / name).exists():
                _fetch_file(client, f"{at}/{name}", checkpoint.files[name], unfinished / name)
        shutil.rmtree(final, ignore_errors=True)
        make_durable(unfinished)
        unfinished.rename(final)
        make_durable(final.parent)

    def _remove_old(self) -> None:
        if self.keep:
            for _, old in checkpoint_folders(self.directory / CHECKPOINTS)[self.keep :]:
                shutil.rmtree(old, ignore_errors=True)


def _read(client: httpx.Client, path: str) -> bytes:
    answer = client.get(path)
    _check(answer, answer.content)
    return answer.content


def _fetch_file(client: httpx.Client, path: str, offered: OfferedFile, target: Path) -> None:
    """Fetch a file, or what is missing of it, and give it its name once its hash is right."""
    part = target.with_name(f"{target.name}.part")
    begin = part.stat().st_size if part.exists() else 0
    if begin > offered.bytes:
        begin = 0
    if begin < offered.bytes or not part.exists():
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        with client.stream("GET", path, headers=headers) as answer:
            if answer.status_code >= 400:
                _check(answer, answer.read())
            if answer.status_code != 206:
                begin = 0
            with part.open("r+b" if begin else "wb") as stream:
                stream.seek(begin)
                _write(answer, stream.write, offered.bytes - begin, path)
                stream.truncate()
                stream.flush()
                os.fsync(stream.fileno())
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != offered.sha256:
        part.unlink()
        raise CheckpointError(
            f"{path} has the SHA-256 {found}, and {offered.sha256} was announced: it was changed at the coordinator or "
            "on the way; it is fetched again as a whole next time"
        )
    part.rename(target)


def _write(answer: httpx.Response, write: Callable[[bytes], object], most: int, path: str) -> None:
    for piece in answer.iter_bytes():
        if len(piece) > most:
            raise CheckpointError(f"{path} is longer than was announced")
        write(piece)
        most -= len(piece)


def _check(answer: httpx.Response, content: bytes) -> None:
    """Raise what a refusal means."""
    if answer.status_code < 400:
        return
    said = content[:300].decode(errors="replace").strip()
    if answer.status_code == 403:
        raise CredentialError(f"{answer.url.netloc.decode()} refuses this evaluator: {said}")
    if answer.status_code == 404 and CHECKPOINTS not in answer.url.path:
        raise EvaluationError(f"{answer.url.netloc.decode()}: {said}")
    raise CheckpointError(f"{answer.url.path} cannot be fetched: {said}")


def _unanswered(source: str, error: httpx.HTTPError) -> FedloraError:
    """Return the error for a connection that failed: one for certificates, one for all that may pass by itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CredentialError(
                f"{source} is not this federation's: {cause.verify_message}; look at ca.crt, and at the name that it "
                "is called by"
            )
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            return CredentialError(
                f"{source} does not accept this evaluator's certificate: {cause.reason}; look at it with: fedlora pki "
                "show, and make another with: fedlora pki evaluator"
            )
        cause = cause.__cause__ or cause.__context__
    return ControlError(f"the checkpoints at {source} could not be fetched: {error or type(error).__name__}")
