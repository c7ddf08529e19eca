"""`fedlora model bundle|import|show|list`: whole outputs, and what is refused."""

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from fedlora.errors import BaseModelError, ConfigurationError
from fedlora.language_model import BaseModel, obtain
from fedlora.language_model.cache import new_model
from fedlora.language_model.manifest import describe

CARD = "---\nlicense: mit\n---\n"


@pytest.fixture
def fetched(tiny_model, tmp_path):
    """A base model as `fedlora model fetch` leaves it, outside the cache."""
    directory = tmp_path / "elsewhere" / "tiny"
    with new_model(directory) as unfinished:
        for file in tiny_model.iterdir():
            shutil.copyfile(file, unfinished / file.name)
        (unfinished / "README.md").write_text(CARD)
        manifest = describe(unfinished, "owner/tiny", revision="c" * 40)
        (unfinished / "model.json").write_text(manifest.to_json())
    return directory


@pytest.fixture
def bundle(model, fetched, tmp_path):
    assert model("bundle", fetched, tmp_path / "tiny.tar").exit_code == 0
    return tmp_path / "tiny.tar"


def sha256_of(directory: Path) -> str:
    return BaseModel("", directory).sha256


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def kept(tmp_path: Path) -> list[str]:
    cache = tmp_path / "cache" / "models"
    return sorted(entry.name for entry in cache.iterdir()) if cache.exists() else []


def test_the_hash_is_that_of_configuration_weights_and_tokenizer(fetched):
    before = sha256_of(fetched)
    expected = hashlib.sha256()
    for name in (
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        expected.update(f"{name}\0".encode() + hashlib.sha256((fetched / name).read_bytes()).digest())
    assert before == expected.hexdigest()
    (fetched / "README.md").unlink()
    (fetched / "notes.txt").touch()
    assert sha256_of(fetched) == before
    for name in ("config.json", "tokenizer.json"):
        (fetched / name).write_bytes((fetched / name).read_bytes() + b"\n")
        assert sha256_of(fetched) != before
        before = sha256_of(fetched)


def test_a_bundle_carries_a_model_to_another_machine(model, fetched, bundle, tmp_path):
    size = sum(len(body) for name, body in contents(fetched).items() if name != "model.json")
    again = model("bundle", fetched, tmp_path / "again.tar")
    assert again.stdout == (
        f"{tmp_path}/again.tar holds owner/tiny, {size:,} bytes. Tell those who import it, by another way:\n"
        f"SHA-256 {sha256_of(fetched)}\n"
    )
    assert bundle.read_bytes() == (tmp_path / "again.tar").read_bytes()
    result = model("import", bundle, "--sha256", sha256_of(fetched))
    made = tmp_path / "cache" / "models" / "owner--tiny"
    said = (
        f"owner/tiny at revision {'c' * 40}: LlamaForCausalLM, 37,088 parameters, {size:,} bytes\n"
        f"SHA-256 {sha256_of(fetched)}\nin {made}"
    )
    assert (result.exit_code, result.stdout) == (0, f"{said}\n"), result.exception
    assert contents(made) == contents(fetched)
    assert obtain("owner/tiny") == BaseModel("owner/tiny", made)
    again = model("import", bundle)
    assert (again.exit_code, again.stdout) == (0, f"{said}, where it was already\n")


def test_a_folder_without_a_manifest_gets_one(model, tiny_model, tmp_path):
    source = tmp_path / "my-llm"
    shutil.copytree(tiny_model, source)
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    (source / "modeling.py").write_bytes(b"code")
    assert model("import", source).exit_code == 0
    assert model("import", source, "--name", "us/llm").exit_code == 0
    assert kept(tmp_path) == ["my-llm", "us--llm"]
    made = contents(tmp_path / "cache" / "models" / "us--llm")
    assert made.keys() == contents(tiny_model).keys() | {"model.json"}
    assert json.loads(made["model.json"])["name"] == "us/llm"
    assert obtain("my-llm").sha256 == sha256_of(tiny_model)


def rewrite(bundle: Path, change) -> None:
    """Write the bundle anew, with its members, names and contents, as `change` makes them."""
    with tarfile.open(bundle) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive]
    with tarfile.open(bundle, "w") as archive:
        for member, body in change(members):
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


def member(name: str, body: bytes = b"", **fields: object):
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, body


def edited(members, name: str, old: bytes, new: bytes):
    return [(info, body.replace(old, new) if info.name == name else body) for info, body in members]


def without(members, name: str):
    return [one for one in members if one[0].name != name]


def unlisted(members, *names: str):
    """Return the members without some, of which the manifest says nothing either; its hash is made to fit."""
    from fedlora.language_model.base_model import model_sha256

    note = json.loads(members[0][1])
    note["files"] = [file for file in note["files"] if file["name"] not in names]
    note["sha256"] = model_sha256({file["name"]: file["sha256"] for file in note["files"]})
    rest = [one for one in members[1:] if one[0].name not in names]
    return [member("model.json", json.dumps(note).encode()), *rest]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda parts: edited(parts, "config.json", b"llama", b"LLAMA"),
            "written for: config.json changed, missing or",
        ),
        (lambda parts: [*parts, member("../evil", b"x")], "has '../evil', which its model.json does not list"),
        (lambda parts: [*parts, member("/tmp/evil", b"x")], "has '/tmp/evil', which its model.json does not list"),
        (
            lambda parts: [*parts, member("pytorch_model.bin", b"x")],
            "has 'pytorch_model.bin', which its model.json does",
        ),
        (
            lambda parts: [*parts, parts[-1]],
            "has 'tokenizer_config.json', which its model.json does not list, or has it twice",
        ),
        (
            lambda parts: [
                *without(parts, "config.json"),
                member("config.json", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            ],
            "config.json is a link, a folder or a device; allowed: plain files",
        ),
        (
            lambda parts: [
                *without(parts, "config.json"),
                member("config.json", type=tarfile.LNKTYPE, linkname="model.json"),
            ],
            "config.json is a link, a folder or a device",
        ),
        (
            lambda parts: [*without(parts, "config.json"), member("config.json", b"{}")],
            "config.json has 2 bytes; its model.json",
        ),
        (lambda parts: without(parts, "tokenizer.json"), "lacks tokenizer.json: it was cut off; copy it again"),
        (lambda parts: unlisted(parts, "tokenizer.json"), "tiny.tar is not a base model: no tokenizer"),
        (lambda parts: parts[1:], "does not begin with model.json; a bundle is made with: fedlora model bundle"),
        (
            lambda parts: edited(parts, "model.json", b'"model.safetensors"', b'"../m.safetensors"'),
            "no file of a base model",
        ),
        (
            lambda parts: edited(parts, "model.json", b'"model.safetensors"', b'"pytorch_model.bin"'),
            "no file of a base model",
        ),
        (
            lambda parts: edited(parts, "model.json", b"owner/tiny", b"../../tiny"),
            "name '../../tiny' is not OWNER/NAME",
        ),
        (lambda parts: edited(parts, "model.json", b'"layout": 1', b'"layout": 2'), "layout is 2; this kit reads 1"),
        (lambda parts: edited(parts, "model.json", b'"sha256"', b'"sha"'), "unknown key; did you mean 'sha256'?"),
        (lambda parts: [member("model.json", b"[" * 100_000), *parts[1:]], "model.json in"),
    ],
)
def test_a_bundle_that_was_tampered_with_leaves_nothing(model, bundle, tmp_path, change, reason):
    rewrite(bundle, change)
    result = model("import", bundle)
    assert isinstance(result.exception, BaseModelError), result.exception
    assert reason in str(result.exception)
    assert ".fedlora-" not in str(result.exception)
    assert kept(tmp_path) == []
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name != "cache") == ["elsewhere", "tiny.tar"]


def test_a_bundle_that_was_cut_off_or_is_none(model, bundle, tmp_path):
    whole = bundle.read_bytes()
    for bad in (whole[: len(whole) // 2], b"", b"no tar" * 1000):
        bundle.write_bytes(bad)
        assert isinstance(model("import", bundle).exception, BaseModelError)
    assert "there is no none.tar; give a folder, or a file made with" in str(model("import", "none.tar").exception)
    assert kept(tmp_path) == []


def test_a_changed_folder_is_refused_by_the_names_of_its_files(model, fetched, tmp_path):
    (fetched / "tokenizer.json").write_bytes(b"{}")
    (fetched / "README.md").unlink()
    said = str(model("import", fetched).exception)
    assert f"{fetched} is not what its model.json was written for: README.md, tokenizer.json changed, missing" in said
    assert "is not what its model.json was written for: README.md, tok" in str(
        model("bundle", fetched, tmp_path / "x.tar").exception
    )
    assert kept(tmp_path) == []
    assert not (tmp_path / "x.tar").exists()


def test_links_in_a_folder_are_refused(model, fetched, tmp_path):
    (fetched / "config.json").rename(tmp_path / "config.json")
    (fetched / "config.json").symlink_to(tmp_path / "config.json")
    said = str(model("import", fetched).exception)
    assert f"{fetched}/config.json is a link, or no plain file; copy what it names (cp -rL)" in said
    assert kept(tmp_path) == []


def test_another_hash_than_the_coordinator_told(model, bundle, fetched, tmp_path):
    said = str(model("import", bundle, "--sha256", "0" * 64).exception)
    assert f"{bundle} has SHA-256 {sha256_of(fetched)}; {'0' * 64} is asked for" in said
    assert kept(tmp_path) == []


def test_another_model_of_the_name_is_left_alone(model, bundle, fetched, tmp_path):
    assert model("import", bundle).exit_code == 0
    other = tmp_path / "other"
    shutil.copytree(fetched, other)
    (other / "model.json").unlink()
    (other / "config.json").write_bytes((other / "config.json").read_bytes() + b"\n")
    said = str(model("import", other, "--name", "owner/tiny").exception)
    assert f"holds owner/tiny with SHA-256 {sha256_of(fetched)}; that in {other} has {sha256_of(other)}" in said
    assert model("import", other, "--name", "owner/tiny", "--into", tmp_path / "second").exit_code == 0


def test_a_bundle_overwrites_nothing(model, fetched, bundle, tmp_path):
    before = bundle.read_bytes()
    assert "exists and is not overwritten" in str(model("bundle", fetched, bundle).exception)
    assert bundle.read_bytes() == before
    assert "none/x.tar cannot be written" in str(model("bundle", fetched, tmp_path / "none" / "x.tar").exception)
    assert "base model 'no' is not on this machine; there are: none. Get it" in str(
        model("bundle", "no", tmp_path / "x.tar").exception
    )


def test_show_in_both_formats(model, fetched, bundle, tmp_path):
    model("import", bundle)
    made = tmp_path / "cache" / "models" / "owner--tiny"
    size = sum(len(body) for name, body in contents(fetched).items() if name != "model.json")
    assert model("show", "owner/tiny").stdout.splitlines() == [
        "base model    owner/tiny",
        f"revision      {'c' * 40}",
        "licence       mit",
        "architecture  LlamaForCausalLM",
        "parameters    37,088 of bf16",
        f"bytes         {size:,} in 6 files",
        f"SHA-256       {sha256_of(fetched)}",
        "files         as they came",
        "memory        0 MiB to train, an adapter of rank 16 included; activations come on top",
        f"folder        {made}",
    ]
    document = json.loads(model("show", "owner/tiny", "--format", "json").stdout)
    memory = document.pop("memory")
    values = 2 * 16 * (4 * (32 + 32) + 3 * (32 + 64))  # two layers: four square modules, three of 32 by 64
    assert memory == {"rank": 16, "adapter_values": values, "bytes": 2 * 37_088 + 16 * values}
    note = json.loads((made / "model.json").read_text())
    assert document == {"directory": str(made), **note, "changed": []}
    (made / "config.json").write_bytes((made / "config.json").read_bytes() + b"\n")
    assert "files         changed: config.json" in model("show", "owner/tiny").stdout
    assert "not on this machine; there are: owner/tiny." in str(model("show", "none").exception)


def test_list_in_both_formats(model, bundle, tiny_model, tmp_path):
    assert json.loads(model("list", "--format", "json").stdout) == []
    model("import", bundle)
    (tmp_path / "cache" / "models" / "empty").mkdir()
    rows = json.loads(model("list", "--format", "json").stdout)
    note = json.loads((tmp_path / "cache" / "models" / "owner--tiny" / "model.json").read_text())
    shown = {key: value for key, value in note.items() if key not in ("layout", "files")}
    assert rows[1] == {"directory": str(tmp_path / "cache" / "models" / "owner--tiny"), **shown, "problem": None}
    assert (rows[0]["name"], "is not a base model" in rows[0]["problem"]) == ("empty", True)
    lines = [line.split() for line in model("list").stdout.splitlines() if line.strip()]
    assert lines[-1] == [
        *("owner/tiny", "cccccccc", "LlamaForCausalLM", "0.0", "M", "0.1", "MB", "mit", sha256_of(tiny_model)[:12])
    ]


def test_presets_in_both_formats(model):
    rows = {row["name"]: row for row in json.loads(model("presets", "--format", "json").stdout)}
    linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    products = 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536)
    adapter = 30 * 32 * (576 + 576 + 576 + 192)
    assert rows["HuggingFaceTB/SmolLM2-135M-Instruct"] == {
        "name": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "family": "llama",
        "licence": "apache-2.0",
        "layers": 30,
        "hidden": 576,
        "intermediate": 1536,
        "heads": 9,
        "key_value_heads": 3,
        "head_size": 64,
        "vocabulary": 49152,
        "tied": True,
        "chat_template": True,
        "gated": False,
        "parameters": 134_515_008,
        "modules": {"default": ["q_proj", "v_proj"], "all-linear": linear},
        "rank": 32,
        "adapter_values": {"default": adapter, "all-linear": 30 * 32 * (2 * 1152 + 2 * 768 + 3 * 2112)},
        "memory": {
            precision: products * sixteenths // 16 + (134_515_008 - products) * rest + 16 * adapter
            for precision, sixteenths, rest in (
                *(("fp4", 9, 2), ("nf4", 9, 2), ("int8", 16, 2)),
                *(("bf16", 32, 2), ("fp32", 64, 4)),
            )
        },
    }
    assert len(rows) == 25
    shown = [" ".join(line.split()) for line in model("presets", "--rank", 8).stdout.splitlines()]
    assert "google/gemma-2-9b-it gemma2 gemma, gated 9,242 M 4.5 M 6.1 GiB 17.3 GiB q_proj, v_proj yes" in shown
    assert (
        "mistralai/Mistral-7B-v0.3 mistral apache-2.0, gated 7,248 M 3.4 M 4.2 GiB 13.6 GiB q_proj, v_proj no" in shown
    )
    assert shown[-1].startswith("Memory: weights and an adapter of the default modules with its optimiser; activations")


OWN = """
[[model]]
name = "us/llm"
family = "phi3"
licence = "proprietary"
layers = 2
hidden = 32
intermediate = 64
heads = 4
key-value-heads = 2
head-size = 8
vocabulary = 257
tied = true
"""


def test_a_file_adds_models_to_the_presets_or_takes_their_place(model, tmp_path):
    file = tmp_path / "models.toml"
    file.write_text(OWN + OWN.replace("us/llm", "microsoft/phi-4"))
    rows = {row["name"]: row for row in json.loads(model("presets", "--file", file, "--format", "json").stdout)}
    assert len(rows) == 26
    assert rows["us/llm"]["modules"]["all-linear"] == ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    values = 32 * 257 + 2 * (32 * 64 + 32 * 32 + 3 * 32 * 64 + 2 * 32) + 32
    assert rows["us/llm"]["parameters"] == rows["microsoft/phi-4"]["parameters"] == values


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OWN + "heads = 4", "is not TOML: Cannot overwrite a value"),
        (OWN + "rank = 3", "model[0].rank: unknown key; allowed: "),
        (OWN.replace("phi3", "gpt2"), "model[0].family: 'gpt2' is not one of llama, mistral"),
        (OWN.replace("us/llm", "../llm"), "model[0].name: '../llm' is not OWNER/NAME or NAME"),
        (OWN.replace("layers = 2", "layers = 0"), "model[0].layers: 0 is not a whole number of at least 1"),
        (OWN.replace("tied = true", ""), "model[0].tied: missing"),
        (OWN + OWN, "models.toml: us/llm stands there more than once"),
        (OWN.replace("[[model]]", "[[modell]]"), "modell: unknown key; did you mean 'model'?"),
    ],
)
def test_a_file_of_models_that_is_wrong_is_refused_by_its_keys(model, tmp_path, text, reason):
    (tmp_path / "models.toml").write_text(text)
    result = model("presets", "--file", tmp_path / "models.toml")
    assert isinstance(result.exception, ConfigurationError), result.exception
    assert reason in str(result.exception)
