"""A federation of two sites, and what is rendered from it."""

import pytest
import yaml

from fedlora.federation import read_federation
from fedlora.rendering import compose_files

PARTIES = ("coordinator", "site-a", "site-b")
TEXT = """\
name = "clinics"
base-model = "/models/small"
[coordinator]
host = "superlink.example.org"
fleet-port = 9192
memory = 1024
[[site]]
name = "a"
domain = "medical"
shard = "/data/a"
resources.threads = 2
resources.memory = 3000
[[site]]
name = "b"
domain = "medical"
shard = "/data/b.jsonl"
superlink = "10.1.2.3:9292"
resources.device = "cuda"
policy.figures = ["traffic", "health"]
[[recipe]]
domain = "medical"
[containers]
images = "registry.example.org/kit/"
tag = "next"
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "federation.toml"
    file.write_text(TEXT)
    return file


@pytest.fixture
def files(file, authority):
    """The text of each file by name."""
    rendered = compose_files(read_federation(file).federation, authority.certificate_file.read_bytes())
    return {name: content.decode() for name, content in rendered.items()}


@pytest.fixture
def composed(files):
    """The compose file of each party."""
    return {party: yaml.safe_load(files[f"{party}/compose.yaml"]) for party in PARTIES}


@pytest.fixture
def services(composed):
    """Each service by party and name."""
    return {
        (party, name): service for party, document in composed.items() for name, service in document["services"].items()
    }
