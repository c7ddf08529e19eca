"""The file that describes a federation, ``federation.toml``: its keys, its checks, where each value comes from."""

from fedlora.federation.description import (
    Containers,
    Coordinator,
    Federation,
    Keeper,
    Paths,
    Resources,
    RunDefaults,
    Site,
    SitePolicy,
)
from fedlora.federation.file import FILE, Resolved, read_federation
from fedlora.federation.provenance import Origin, Override, Source

__all__ = [
    "FILE",
    "Containers",
    "Coordinator",
    "Federation",
    "Keeper",
    "Origin",
    "Override",
    "Paths",
    "Resolved",
    "Resources",
    "RunDefaults",
    "Site",
    "SitePolicy",
    "Source",
    "read_federation",
]
