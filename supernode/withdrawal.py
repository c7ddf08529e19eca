"""A site's own word that it does not take part: for a while, or for good.

It is a small file in the node's state folder, so it outlives the process and can be written while the process runs or
not. The ClientApp reads it for each message, before anything reaches the trainer, and answers with it.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fedlora.config import from_mapping
from fedlora.errors import ConfigurationError, WithdrawalError
from fedlora.folders import make_durable, replace_durably

__all__ = ["FILE", "LONGEST_REASON", "Withdrawal", "clean", "end_withdrawal", "refuse_left", "withdraw", "withdrawal"]

FILE = "withdrawal.json"
LONGEST_REASON = 200


@dataclass(frozen=True)
class Withdrawal:
    """Why a site does not take part.

    Attributes
    ----------
    kind : str
        ``paused``, until its owner says otherwise; or ``left``, for good.
    site : str
        Its name.
    reason : str
        What the owner says to the coordinator.
    since : str
        When that was said.
    public_key_sha256 : str
        The key that a site which has left was known by; empty where it is not known, or the site is paused.
    """

    kind: Literal["paused", "left"]
    site: str
    reason: str
    since: str
    public_key_sha256: str = ""

    def __str__(self) -> str:
        return f"{self.site} {'has left' if self.left else 'is paused by its owner'}: {self.reason}"

    @property
    def left(self) -> bool:
        """Whether it is for good."""
        return self.kind == "left"


def withdrawal(state: Path) -> Withdrawal | None:
    """Return what stands in the node's state folder; None if the site takes part.

    Raises
    ------
    ConfigurationError
        If the file is there and cannot be read: whoever asks must not take that for consent.
    """
    file = state / FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{file} is a {type(values).__name__}, not an object with fields")
    return from_mapping(Withdrawal, {key.replace("_", "-"): values[key] for key in values}, origin=str(file))


def withdraw(state: Path, kind: Literal["paused", "left"], site: str, reason: str, key: str = "") -> Withdrawal:
    """Write down that `site` does not take part from now on, and return it; see `Withdrawal`.

    Raises
    ------
    ConfigurationError
        If the reason cannot be one, or the disk does not take it.
    """
    said = Withdrawal(kind, site, clean(reason), datetime.now(UTC).isoformat(timespec="seconds"), key)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_durably(state / FILE, (json.dumps(asdict(said), indent=2) + "\n").encode())
    except OSError as error:
        raise ConfigurationError(f"{state / FILE} cannot be written: {error}; nothing was changed") from error
    return said


def end_withdrawal(state: Path) -> None:
    """Let the site take part again.

    Raises
    ------
    ConfigurationError
        If the disk does not let go of the file.
    """
    try:
        (state / FILE).unlink()
        make_durable(state)
    except OSError as error:
        raise ConfigurationError(f"{state / FILE} cannot be removed: {error}") from error


def refuse_left(state: Path) -> Withdrawal | None:
    """Return `withdrawal`, unless the site has left: it has no key any more to start with.

    Raises
    ------
    WithdrawalError
        If it has left; says how it comes back.
    """
    said = withdrawal(state)
    if said is not None and said.left:
        raise WithdrawalError(
            f"{said} (since {said.since}). To come back it needs a new key (fedlora node keygen DIR --force), which "
            "the coordinator registers, and then: fedlora node resume SITE"
        )
    return said


def clean(reason: str) -> str:
    """Return `reason` in printable characters and single blanks.

    Raises
    ------
    ConfigurationError
        If nothing is left, or too much.
    """
    cleaned = " ".join("".join(letter if letter.isprintable() else " " for letter in reason).split())
    if not 1 <= len(cleaned) <= LONGEST_REASON:
        raise ConfigurationError(f"--reason has {len(cleaned)} printable characters; allowed: 1 to {LONGEST_REASON}")
    return cleaned
