"""Names of runs, sites, machines and federations: one rule, for they become folders, host names and labels.

And the pattern of addresses, HOST:PORT.
"""

import re

from fedlora.errors import FedloraError

__all__ = ["HOST", "NAME", "NAME_RULE", "PORT", "check_name", "is_name"]

# Patterns that JSON schema understands as well.
NAME = r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"
NAME_RULE = "1 to 64 of a-z, 0-9 and -, with a letter or digit at both ends"
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST = rf"(?=.{{1,253}}(?::|$)){_LABEL}(?:\.{_LABEL})*"
PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
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
