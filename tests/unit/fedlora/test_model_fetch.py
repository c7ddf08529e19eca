"""`fedlora model fetch` against a mirror of a hub on loopback, which speaks what huggingface_hub asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedlora.errors import BaseModelError
from fedlora.language_model import BaseModel, obtain

CARD = b"---\nlicense: apache-2.0\n---\n# Tiny\n"
NOT_NEEDED = {
    "pytorch_model.bin": b"pickle",
    "modeling.py": b"code",
    "onnx/model.safetensors": b"x",
    ".gitattributes": b"",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def commit(mirror, tiny_model):
    return mirror.add("models", "owner/tiny", {**contents(tiny_model), **NOT_NEEDED, "README.md": CARD})


def names(folder: Path) -> list[str]:
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


def test_what_is_fetched_is_the_model_and_nothing_else(model, mirror, commit, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    result = model("fetch", "owner/tiny", "--mirror", mirror.address)
    assert result.exit_code == 0, result.exception
    made = tmp_path / "cache" / "models" / "owner--tiny"
    sha256 = BaseModel("tiny", tiny_model).sha256
    size = sum(len(body) for body in [*contents(tiny_model).values(), CARD])
    assert result.stdout == (
        f"owner/tiny at revision {commit}: LlamaForCausalLM, 37,088 parameters, {size:,} bytes\n"
        f"SHA-256 {sha256}\nin {made}\n"
    )
    own = sorted([*contents(tiny_model), "README.md"])
    assert result.stderr.splitlines() == [f"{name}: {(made / name).stat().st_size:,} bytes" for name in own]
    assert names(made) == sorted([*own, "model.json"])
    note = json.loads((made / "model.json").read_text())
    assert (note["name"], note["revision"], note["licence"], note["sha256"]) == (
        "owner/tiny",
        commit,
        "apache-2.0",
        sha256,
    )
    assert [file["name"] for file in note["files"]] == own
    assert {entry.stat().st_mode & 0o777 for entry in made.iterdir()} == {0o644}
    assert not any("authorization" in headers for _, _, headers in mirror.seen)  # a mirror gets no token
    assert obtain("owner/tiny") == obtain(str(made)) == BaseModel("owner/tiny", made)


def test_a_mirror_is_named_by_the_environment_too(mirror, commit, tmp_path):
    fedlora = str(Path(sys.executable).with_name("fedlora"))
    environment = {**os.environ, "HF_ENDPOINT": mirror.address, "FEDLORA_CACHE": str(tmp_path), "HF_TOKEN": "hf_secret"}
    program = "from fedlora.language_model import obtain; print(obtain('owner/tiny').directory)"  # as the demo does
    for command in ([fedlora, "model", "fetch", "owner/tiny", "--into", "m"], [sys.executable, "-c", program]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for folder in (tmp_path / "m", Path(done.stdout.strip())):
        assert json.loads((folder / "model.json").read_text())["revision"] == commit
    assert {headers.get("authorization") for _, _, headers in mirror.seen} == {"Bearer hf_secret"}


def test_a_revision_is_pinned(model, mirror, commit, tiny_model, tmp_path):
    other = {**contents(tiny_model), "config.json": (tiny_model / "config.json").read_bytes() + b"\n"}
    newer = mirror.add("models", "owner/tiny", other)  # main moves on
    mirror.add("models", "owner/tiny", mirror.files["models", "owner/tiny", commit], branch="v1")
    fetch = ("fetch", "owner/tiny", "--mirror", mirror.address)
    assert model(*fetch, "--revision", "v1").exit_code == 0
    assert all(commit in path for _, path, _ in mirror.seen if "resolve" in path)
    again = model(*fetch, "--revision", commit)
    assert again.stdout.endswith("owner--tiny, where it was already\n")
    assert model(*fetch, "--revision", "v1").exit_code == 0
    refused = model(*fetch, "--revision", "main")
    assert isinstance(refused.exception, BaseModelError)
    assert f"holds owner/tiny at revision {commit}; main is {newer}" in str(refused.exception)
    assert model(*fetch, "--revision", "main", "--into", tmp_path / "newer").exit_code == 0
    assert json.loads((tmp_path / "newer" / "model.json").read_text())["revision"] == newer


def test_a_hash_that_is_asked_for(model, mirror, commit, tiny_model, tmp_path):
    fetch = ("fetch", "owner/tiny", "--mirror", mirror.address, "--sha256")
    sha256 = BaseModel("tiny", tiny_model).sha256
    wrong = model(*fetch, "0" * 64)
    assert isinstance(wrong.exception, BaseModelError)
    assert f"owner/tiny at revision {commit} has SHA-256 {sha256}; {'0' * 64} is asked for" in str(wrong.exception)
    assert names(tmp_path) == ["cache", "cache/models"]
    assert model(*fetch, sha256).exit_code == 0
    asked = len(mirror.seen)
    assert model(*fetch, sha256).stdout.endswith("where it was already\n")
    assert "is asked for" in str(model(*fetch, "0" * 64).exception)
    assert len(mirror.seen) == asked
    assert model(*fetch, "abc").exit_code == 2


def without(*endings):
    return lambda files: {name: body for name, body in files.items() if not name.endswith(endings)}


INDEXED = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without(".safetensors"), "its weights are pickles (pytorch_model.bin), which can run code"),
        (without(".safetensors", ".bin"), "is not a base model: no *.safetensors. A base model is"),
        (without("tokenizer.json"), "is not a base model: no tokenizer. A base model is"),
        (without("/config.json", "config.json"), "is not a base model: no config.json"),
        (lambda files: {**files, "model.safetensors": b"odd"}, "model.safetensors cannot be read"),
        (lambda files: {**files, "config.json": b"[]"}, "config.json is not the configuration of a model"),
        (lambda files: {**files, "model.safetensors.index.json": b"{}"}, "says not which files hold the weights"),
        (
            lambda files: {**files, "model.safetensors.index.json": INDEXED},
            "no model-1.safetensors, no model-2.safetensors, which model.safetensors.index.json names",
        ),
    ],
)
def test_what_is_no_base_model_leaves_nothing(model, mirror, commit, tmp_path, change, reason):
    mirror.add("models", "owner/tiny", change(mirror.files["models", "owner/tiny", commit]))
    result = model("fetch", "owner/tiny", "--mirror", mirror.address)
    assert isinstance(result.exception, BaseModelError), result.exception
    assert reason in str(result.exception)
    assert ".fedlora-" not in str(result.exception)
    assert names(tmp_path) == ["cache", "cache/models"]


def test_weights_in_several_files(model, mirror, commit, tiny_model, tmp_path):
    files = contents(tiny_model)
    files["model-00001-of-00001.safetensors"] = files.pop("model.safetensors")
    files["consolidated.safetensors"] = b"the same in another layout"
    files["model.safetensors.index.json"] = b'{"weight_map": {"a": "model-00001-of-00001.safetensors"}}'
    mirror.add("models", "owner/parts", files)
    assert model("fetch", "owner/parts", "--mirror", mirror.address).exit_code == 0
    made = names(tmp_path / "cache" / "models" / "owner--parts")
    assert [name for name in made if name.endswith((".safetensors", "index.json"))] == [
        *("model-00001-of-00001.safetensors", "model.safetensors.index.json")
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("owner/none",), "there is no model owner/none at http://127.0.0.1:"),
        (("owner/tiny", "--revision", "v9"), "has no revision 'v9'; leave it out for the newest"),
        (("tiny",), "'tiny' is no hub id; allowed: OWNER/NAME, or SmolLM2-135M-Instruct"),
        (("../x",), "'../x' is no hub id"),
        (("SmolLM2-135M-Instruct",), "comes in a package, not from a hub; leave out --revision and --mirror"),
        (("owner/tiny", "--mirror", "example.org"), "mirror 'example.org' is no address; allowed: https://HOST"),
        (
            ("owner/tiny", "--mirror", "http://127.0.0.1:9"),
            "127.0.0.1:9: [Errno 111] Connection refused; try again, name a",
        ),
    ],
)
def test_what_cannot_be_fetched_is_named_and_leaves_nothing(model, mirror, commit, tmp_path, arguments, reason):
    result = model("fetch", "--mirror", mirror.address, *arguments)
    assert isinstance(result.exception, BaseModelError), result.exception
    assert reason in str(result.exception)
    assert [name for name in names(tmp_path) if name not in ("cache", "cache/models")] == []


def test_a_connection_that_breaks_leaves_nothing(model, mirror, commit, tmp_path, caplog):
    mirror.broken["model.safetensors"] = 1000
    result = model("fetch", "owner/tiny", "--mirror", mirror.address)
    assert isinstance(result.exception, BaseModelError)
    assert "received 1000 bytes, expected" in str(result.exception)
    assert "import a folder or a bundle: docs/models.md" in str(result.exception)
    assert names(tmp_path) == ["cache", "cache/models"]


def test_weights_that_are_not_those_announced_are_refused(model, mirror, commit, tmp_path):
    mirror.announced["model.safetensors"] = "0" * 64
    result = model("fetch", "owner/tiny", "--mirror", mirror.address)
    assert "model.safetensors came with another SHA-256 than announced" in str(result.exception)
    assert names(tmp_path) == ["cache", "cache/models"]


def test_what_stands_in_the_place_stays(model, mirror, commit, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    fetch = ("fetch", "owner/tiny", "--mirror", mirror.address, "--into")
    assert "holds something else already" in str(model(*fetch, tmp_path / "mine").exception)
    assert names(tmp_path / "mine") == ["notes.txt"]
    assert model(*fetch, tmp_path / "tiny").exit_code == 0
    (tmp_path / "tiny" / "config.json").write_text("{}")
    damaged = model(*fetch, tmp_path / "tiny")
    assert "is not what its model.json was written for: config.json changed or missing" in str(damaged.exception)
