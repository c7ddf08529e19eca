"""Names of runs, sites, machines and federations: one rule, for they become folders, host names and labels."""

import re

from fedlora.errors import FedloraError

__all__ = ["NAME", "NAME_RULE", "check_name", "is_name"]

NAME = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
NAME_RULE = "1 to 64 of a-z, 0-9 and -, with a letter or digit at both ends"
_NAME = re.compile(NAME)


def is_name(text: str) -> bool:
    """Whether `text` can be a name."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str, error: type[FedloraError]) -> str:
    """Return `name` if it can be one.

    Raises
    ------
    FedloraError
        Of the kind `error`, if it cannot.
    """
    if not is_name(name):
        raise error(f"{name!r} is no name: {NAME_RULE}")
    return name
