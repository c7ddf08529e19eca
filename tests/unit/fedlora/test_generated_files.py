"""Whatever is generated is the same bytes each time: in another process, with another order of hashes."""

import os
import subprocess
import sys

import pytest

EVERYTHING = """
import json, sys
from pathlib import Path
from fedlora.cli.commands_page import page
from fedlora.federation import read_federation
from fedlora.federation.presets import PRESETS
from fedlora.federation.schema import json_schema, key_tables
from fedlora.federation.settings import SitePlaces, keeper_settings, supernode_settings, trainer_settings
from fedlora.federation.writing import new_file, preset_text, to_toml
from fedlora.language_model import BaseModel
from fedlora.rendering import compose_files
from fedlora.rendering.helm.coordinator import coordinator_values
from fedlora.settings_file import settings_text

print(json.dumps(json_schema()), key_tables(), page())
for name in PRESETS:
    print(preset_text(name))
    federation = read_federation(new_file(Path(sys.argv[1]) / name, preset_text(name))).federation
    print(to_toml(federation))
    print(settings_text(keeper_settings(federation, superlink="localhost:8000", ca_certificate=Path("/ca.crt"))))
    for site in federation.site:
        places = SitePlaces(*(Path("/") / place for place in SitePlaces.__dataclass_fields__))
        print(settings_text(trainer_settings(federation, site, places, BaseModel("model", Path("/model")))))
        print(settings_text(supernode_settings(federation, site, places, metrics_host="127.0.0.1")))
    print(compose_files(federation), coordinator_values(federation))
"""


@pytest.fixture
def generated(tmp_path):
    def in_a_process(seed: str) -> bytes:
        folder = tmp_path / "federations"
        done = subprocess.run(
            [sys.executable, "-c", EVERYTHING, str(folder)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        folder.rename(tmp_path / f"federations-{seed}")
        return done.stdout

    return in_a_process


def test_the_same_bytes_in_every_process(generated):
    first = generated("1")
    assert first == generated("2")
    assert first.count(b"superexec-secret") == 24  # two settings files for each site of the three presets
