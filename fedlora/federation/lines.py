"""Where in a TOML file each key stands: the standard library's reader does not tell."""

import re
import tomllib
from collections.abc import Iterator, Mapping

__all__ = ["key_lines", "line_of"]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*")
# A text of three quotes may end in up to two more; what is a comment or a text is passed over as a whole.
_PIECE = re.compile(
    r"""\"{3}(?:\\.|(?!\"{3}).)*\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}\n]""", re.DOTALL
)
_INDEX = re.compile(r"(?:\[\d+\]|\.?[^.\[\]]+)$")


def key_lines(text: str) -> dict[str, int]:
    """Return the line, from 1, of each table and key of a TOML file by its dotted path, as ``site[0].seed``.

    What stands inside an inline table or a list has no line of its own; `line_of` gives it that of the key.
    """
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, statement in _statements(text):
        if statement.startswith("[["):
            path = _within(_parts(statement[2:]), counts)
            counts[path] = counts.get(path, -1) + 1
            lines.setdefault(path, number)
            table = f"{path}[{counts[path]}]"
            lines[table] = number
        elif statement.startswith("["):
            table = _nested("", _parts(statement[1:]), counts)
            lines.setdefault(table, number)
        else:
            path = table
            for part in _parts(statement):
                path = f"{path}.{part}" if path else part
                lines.setdefault(path, number)
    return lines


def line_of(path: str, lines: Mapping[str, int]) -> int | None:
    """Return the line of `path`, or of the nearest table or list around it."""
    while path and path not in lines:
        path = _INDEX.sub("", path, count=1) if _INDEX.search(path) else path[:-1]  # a quoted key may hold anything
    return lines.get(path)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and beginning of each table header and each key with its value."""
    start, depth, position = 0, 0, 0
    while position < len(text):
        found = _PIECE.search(text, position)
        piece = found.group() if found else ""
        position = found.end() if found else len(text)
        if piece in ("[", "{"):
            depth += 1
        elif piece in ("]", "}"):
            depth -= 1
        if (piece == "\n" and depth <= 0) or position == len(text):
            statement = text[start:position].strip()
            if statement and not statement.startswith("#"):
                yield text.count("\n", 0, start) + 1, statement
            start, depth = position, 0


def _parts(statement: str) -> list[str]:
    """Return the parts of the dotted key that a statement begins with."""
    found = _KEY.match(statement)
    parts = re.findall(_PART, found.group(1)) if found else []
    return [_plain(part) for part in parts]


def _plain(part: str) -> str:
    return str(tomllib.loads(f"text = {part}")["text"]) if part[0] in "\"'" else part


def _within(parts: list[str], counts: Mapping[str, int]) -> str:
    """Return the path of a list of tables, below the newest entries of those around it."""
    above = _nested("", parts[:-1], counts)
    return f"{above}.{parts[-1]}" if above else parts[-1]


def _nested(path: str, parts: list[str], counts: Mapping[str, int]) -> str:
    for part in parts:
        path = f"{path}.{part}" if path else part
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path
