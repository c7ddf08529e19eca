"""A values file, and what those of all parties have in common."""

from typing import Any

import yaml

import fedlora
from fedlora.federation import Federation

__all__ = ["Values", "limits", "shared_values", "values_text"]

Values = dict[str, Any]


def shared_values(federation: Federation) -> Values:
    """Return what every chart is told: which version the values are for, and which images there are."""
    own = federation.containers
    return {"rendered": fedlora.__version__, "image": {"prefix": own.images, **({"tag": own.tag} if own.tag else {})}}


def limits(memory: int, cpus: int) -> Values:
    """Return the resources of a container that uses what it is given: `memory` in MiB."""
    return {
        "requests": {"cpu": str(cpus), "memory": f"{memory}Mi"},
        "limits": {"cpu": str(cpus), "memory": f"{memory}Mi"},
    }


def values_text(federation: Federation, party: str, values: Values) -> str:
    """Return a values file; texts of several lines stand there as they are."""
    head = (
        f"# Values of {party} in the federation {federation.name}, rendered by fedlora {fedlora.__version__}.\n"
        "# What should last belongs into federation.toml; what is this cluster's own, into a second file (-f).\n"
    )
    return head + yaml.dump(values, Dumper=_Readable, sort_keys=False, width=110)


class _Readable(yaml.SafeDumper):
    """Writes a value that stands twice a second time, and lines as lines."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)
