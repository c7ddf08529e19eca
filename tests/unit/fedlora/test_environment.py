"""The version that a container's compose file was rendered by is that of the image, or nothing starts."""

import os
import subprocess
import sys

import pytest

import fedlora
from fedlora.environment import check_rendered_version
from fedlora.errors import ConfigurationError


@pytest.mark.parametrize("rendered", [None, "", fedlora.__version__])
def test_the_same_version_or_none_is_taken(rendered, monkeypatch):
    monkeypatch.delenv("FEDLORA_RENDERED", raising=False)
    if rendered is not None:
        monkeypatch.setenv("FEDLORA_RENDERED", rendered)
    check_rendered_version()


def test_another_version_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setenv("FEDLORA_RENDERED", "0.0.9")
    with pytest.raises(ConfigurationError) as refused:
        check_rendered_version()
    own = fedlora.__version__
    assert str(refused.value) == (
        f"this image holds fedlora {own}, and its compose file was rendered by fedlora 0.0.9. Use the images of 0.0.9, "
        f"or render the folder anew with fedlora {own}"
    )


@pytest.mark.parametrize(
    "module", ["supernode", "supernode.trainer", "superlink.keeper", "superlink.health", "evaluator"]
)
def test_every_program_of_a_container_checks_it(module):
    done = subprocess.run(
        [sys.executable, "-m", module, "none.toml"],
        env={**os.environ, "FEDLORA_RENDERED": "0.0.9"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if module == "superlink.health" else ConfigurationError.exit_code)
    assert "ConfigurationError: this image holds fedlora" in done.stdout + done.stderr
