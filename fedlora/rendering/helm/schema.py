"""The schema and the README of a chart: ``python -m fedlora.rendering.helm.schema`` writes both, a test compares.

What a value means stands as a comment above it, in the chart's ``values.yaml`` or, for what several charts have, in
the library's. A comment that begins with ``@`` is JSON, and adds to the value's schema. A key without a meaning is an
error.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fedlora.errors import ConfigurationError

__all__ = ["CHARTS", "chart_pages", "chart_readme", "chart_schema"]

CHARTS = ("fedlora-superlink", "fedlora-supernode", "fedlora-evaluator")
LIBRARY = "fedlora-library"
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
ANY = "*"
Keys = tuple[str, ...]


def chart_pages(charts: Path) -> dict[Path, str]:
    """Return the content of schema and README of every chart, by their paths below the folder `charts`."""
    pages = {}
    for chart in CHARTS:
        schema = chart_schema(charts, chart)
        pages[Path(chart) / "values.schema.json"] = json.dumps(schema, indent=2) + "\n"
        pages[Path(chart) / "README.md"] = chart_readme(charts, chart, schema)
    return pages


def chart_schema(charts: Path, chart: str) -> dict[str, Any]:
    """Return the JSON schema of a chart's values.

    Raises
    ------
    ConfigurationError
        If a value has no meaning.
    """
    text = (charts / chart / "values.yaml").read_text()
    said = _comments((charts / LIBRARY / "values.yaml").read_text()) | _comments(text)
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"Values of {chart}"}
    schema = {**head, **_schema(yaml.safe_load(text), (), said)}
    # Helm itself puts these beside a chart's own values.
    schema["properties"][LIBRARY] = {"description": "Values of the library: it has none.", "type": "object"}
    return schema


def _schema(value: Any, path: Keys, said: dict[Keys, list[str]]) -> dict[str, Any]:
    about = _about(path, said)
    if not isinstance(value, dict) or not value or (path[:1] == ("resources",) and len(path) == 3):
        kind = {"type": TYPES[type(value)]} if value is not None else {"type": ["integer", "null"]}
        return {**about, **kind, **_added(path, said), "default": value} if path else kind
    properties = {str(key): _schema(item, (*path, str(key)), said) for key, item in value.items()}
    closed = {"type": "object", "additionalProperties": False}
    return {**about, **closed, **_added(path, said), "properties": properties}


def _about(path: Keys, said: dict[Keys, list[str]]) -> dict[str, Any]:
    if not path:
        return {}
    words = " ".join(line for line in _said(path, said) if not line.startswith("@"))
    if not words:
        raise ConfigurationError(f"the value {'.'.join(path)} has no meaning: write a comment above it in values.yaml")
    return {"description": words}


def _added(path: Keys, said: dict[Keys, list[str]]) -> dict[str, Any]:
    added: dict[str, Any] = {}
    for line in _said(path, said):
        if line.startswith("@"):
            added |= json.loads(line[1:])
    return added


def _said(path: Keys, said: dict[Keys, list[str]]) -> list[str]:
    """Return what is said of a value: by its own name, else by that of any."""
    found = said.get(path)
    for place in range(len(path)):
        found = found or said.get((*path[:place], ANY, *path[place + 1 :]))
    return found or []


def _comments(text: str) -> dict[Keys, list[str]]:
    """Return the lines of comment above each key."""
    lines = text.splitlines()
    found = {}
    for path, line in _places(yaml.compose(text), ()):
        above: list[str] = []
        while line and lines[line - 1].strip().startswith("#"):
            line -= 1
            above.insert(0, lines[line].strip().lstrip("#").strip())
        if above:
            found[path] = above
    return found


def _places(node: Any, path: Keys) -> Iterator[tuple[Keys, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key.start_mark.line
            yield from _places(value, (*path, key.value))


def chart_readme(charts: Path, chart: str, schema: dict[str, Any]) -> str:
    """Return a chart's README: what it is, how it is installed, and each of its values."""
    about = yaml.safe_load((charts / chart / "Chart.yaml").read_text())
    intro = (charts / chart / "README.head.md").read_text()
    rows = "\n".join(_rows(schema, ()))
    return f"""\
# {chart}

{about["description"]} For Kubernetes {about["kubeVersion"]}; the whole way is in \
[docs/kubernetes.md](../../docs/kubernetes.md).

{intro.strip()}

## Values

| value | type | default | meaning |
|---|---|---|---|
{rows}
"""


def _rows(schema: dict[str, Any], path: Keys) -> Iterator[str]:
    for key, about in schema["properties"].items():
        here = (*path, key.replace(".", "\\."))
        if "properties" in about:
            yield from _rows(about, here)
        elif key != LIBRARY:
            kind = about["type"] if isinstance(about["type"], str) else " or ".join(about["type"])
            default = f"`{json.dumps(about['default'])}`" if "default" in about else "see values.yaml"
            yield f"| `{'.'.join(here)}` | {kind} | {default} | {about['description']} |"


def main(arguments: list[str]) -> int:
    """Write the files below the folder of charts that is named, or ``helm``."""
    charts = Path(*arguments or ("helm",))
    for path, text in chart_pages(charts).items():
        (charts / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
