"""New files, files that set every value, the JSON schema and the page of documentation."""

import dataclasses
import json
import re
import tomllib
import typing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fedlora.cli.init import PresetName
from fedlora.config import examine
from fedlora.domains import DOMAINS
from fedlora.errors import ConfigurationError
from fedlora.federation import Federation, read_federation
from fedlora.federation.presets import PRESETS
from fedlora.federation.provenance import item_table, nested_table
from fedlora.federation.schema import json_schema, key_tables, meanings, shown
from fedlora.federation.writing import new_file, preset_text, to_toml
from fedlora.recipes.recipe import ALL_LINEAR, FAMILY_DEFAULT

REPOSITORY = Path(__file__).parents[3]
NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
PORTS = st.integers(1, 65535)
POSITIVE = st.floats(min_value=1e-9, max_value=1e12)
PATHS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda text: text[0] != "~")


@st.composite
def federations(draw) -> dict:
    """Return the values of a valid file."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    domain = draw(st.sampled_from(list(DOMAINS)))
    count = 2 + 2 * len(names)
    ports = draw(st.lists(PORTS, min_size=count, max_size=count, unique=True))
    sites = [
        {
            "name": name,
            "domain": domain,
            "shard": draw(PATHS),
            "machine": draw(st.sampled_from(["", "m"])),
            "runtime-port": runtime,
            "metrics-port": draw(st.sampled_from([0, metrics])),
            "resources": {"threads": draw(st.integers(1, 64))},
            "policy": {
                "largest-norm": draw(POSITIVE),
                "recipes": draw(st.sampled_from([[], [f"{domain}/default"]])),
                "figures": draw(st.sampled_from([[], ["training", "health"]])),
            },
        }
        for name, runtime, metrics in zip(names, ports[2::2], ports[3::2], strict=True)
    ]
    run = {
        "min-sites": draw(st.integers(1, len(names))),
        "deadline": draw(POSITIVE),
        "budget": draw(st.one_of(st.just("board"), st.floats(min_value=0, max_value=1e9))),
        "required-domains": draw(st.sampled_from([[], [domain]])),
    }
    named = st.text().filter(lambda text: text not in (ALL_LINEAR, FAMILY_DEFAULT))  # which stand alone
    modules = draw(st.lists(named, min_size=1, max_size=3))
    return {
        "name": draw(NAMES),
        "base-model": draw(st.text(min_size=1)),
        "base-model-sha256": draw(st.sampled_from(["", "0a" * 32])),
        "coordinator": {"host": "h", "machine": "m", "fleet-port": ports[0], "http-port": ports[1]},
        "site": sites,
        "recipe": [{"domain": domain, "rounds": draw(st.integers(1, 10**6)), "target-modules": modules}],
        "run": run,
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(values=federations())
def test_a_file_with_every_value_says_the_same_wherever_it_lies(tmp_path, values):
    import tomli_w

    file, other = tmp_path / "federation.toml", tmp_path / "elsewhere" / "federation.toml"
    other.parent.mkdir(exist_ok=True)
    file.write_text(tomli_w.dumps(values), encoding="utf-8")
    federation = read_federation(file).federation
    other.write_text(to_toml(federation), encoding="utf-8")
    again = read_federation(other)
    assert again.federation == federation
    assert to_toml(again.federation) == to_toml(federation)
    assert {str(origin.source) for _, origin in again.values().values()} == {"file"}


@settings(deadline=None)
@given(st.one_of(st.text(st.characters(exclude_categories=("Cs",))), st.booleans(), st.integers(-(2**63), 2**63 - 1)))
@example('say "no" \\ or\n\x7f')
def test_values_are_shown_as_toml_has_them(value):
    assert tomllib.loads(f"value = {shown(value)}") == {"value": value}


@pytest.mark.parametrize("name", PRESETS)
def test_a_new_file_is_valid_as_it_stands_and_says_what_holds(tmp_path, name):
    text = preset_text(name)
    assert text == preset_text(name)
    file = new_file(tmp_path / "new", text)
    assert file.read_text() == text
    federation = read_federation(file).federation
    assert (federation.name, federation.preset) == (name, name)
    # What stands as a comment is what holds: uncommented, it changes nothing. One at a time, and all of them at once.
    comments = re.findall(r"^# [a-z-]+ = .*$", text, re.MULTILINE)
    assert len(comments) > 30
    file.write_text(re.sub(r"^# ([a-z-]+ = )", r"\1", text, flags=re.MULTILINE))
    assert read_federation(file).federation == federation


def test_presets_differ_in_what_they_give(tmp_path):
    made = {name: read_federation(new_file(tmp_path / name, preset_text(name))).federation for name in PRESETS}
    assert {name: (len(one.site), one.run.min_sites, one.run.budget) for name, one in made.items()} == {
        "workstation": (2, 1, 0.0),
        "two-sites": (2, 2, 0.0),
        "four-domains": (8, 2, "board"),
    }
    assert [recipe.domain for recipe in made["four-domains"].recipe] == list(DOMAINS)
    assert [site.name for site in made["four-domains"].participants] == ["general-nlp-1", "general-nlp-2"]
    assert list(map(str, PresetName)) == list(PRESETS)


def test_a_file_that_stands_stays(tmp_path):
    file = new_file(tmp_path, "first\n")
    with pytest.raises(
        ConfigurationError, match=r"federation\.toml exists and is not overwritten; name another folder"
    ):
        new_file(tmp_path, "second\n")
    assert file.read_text() == "first\n"
    with pytest.raises(ConfigurationError, match="is no folder and is not overwritten"):
        new_file(file, "third\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["federation.toml"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigurationError, match=r"federation\.toml cannot be written: .*No space left"):
        new_file(tmp_path, "text\n")
    assert list(tmp_path.iterdir()) == []


def tables(schema: type, about: dict) -> list[tuple[type, dict]]:
    """Return every dataclass with its part of the JSON schema."""
    found = [(schema, about)]
    for name, hint in typing.get_type_hints(schema, include_extras=True).items():
        part = about["properties"][name.replace("_", "-")]
        if below := nested_table(hint):
            found += tables(below, part)
        elif below := item_table(hint):
            found += tables(below, part["items"])
    return found


def test_the_json_schema_has_the_keys_of_the_dataclasses():
    found = tables(Federation, json_schema())
    assert len(found) == 10
    for schema, about in found:
        fields = {field.name.replace("_", "-"): field for field in dataclasses.fields(schema)}
        assert list(about["properties"]) == list(fields)
        assert about["additionalProperties"] is False
        needed = [
            key
            for key, field in fields.items()
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
        assert about["required"] == needed
        assert all(property_["description"] for property_ in about["properties"].values())
        assert list(meanings(schema)) == [field.name for field in dataclasses.fields(schema)]
        for key, field in fields.items():
            if field.default is not dataclasses.MISSING:
                default = about["properties"][key]["default"]
                assert default == json.loads(json.dumps(field.default, default=str))


def fits(value, about: dict) -> bool:
    """Hold a value to the part of JSON schema that ours uses."""
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    assert set(about) <= {
        *("$schema", "title", "description", "default", "type", "enum", "anyOf", "minimum", "maximum", "pattern"),
        *("exclusiveMinimum", "exclusiveMaximum", "minItems", "minLength", "items"),
        *("required", "properties", "additionalProperties"),
    }
    if "type" in about and (not isinstance(value, kinds[about["type"]]) or (isinstance(value, bool))):
        return False
    number = isinstance(value, int | float)
    return (
        ("enum" not in about or value in about["enum"])
        and ("anyOf" not in about or any(fits(value, one) for one in about["anyOf"]))
        and (not number or about.get("minimum", value) <= value <= about.get("maximum", value))
        and (not number or "exclusiveMinimum" not in about or value > about["exclusiveMinimum"])
        and (not number or "exclusiveMaximum" not in about or value < about["exclusiveMaximum"])
        and ("pattern" not in about or re.search(about["pattern"], value) is not None)
        and ("minLength" not in about or len(value) >= about["minLength"])
        and ("minItems" not in about or len(value) >= about["minItems"])
        and ("items" not in about or all(fits(one, about["items"]) for one in value))
        and (
            "properties" not in about
            or (
                (set(about["required"]) <= set(value) <= set(about["properties"]))
                and all(fits(one, about["properties"][key]) for key, one in value.items())
            )
        )
    )


ODD = st.sampled_from(
    ["", "a", "A b", "x:9092", "https://x", "board", "finance", -1, 0, 1, 70000, 0.5, -0.5, [], ["a"], {}]
)


def places(values, path=()):
    if isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield (*path, key)
            yield from places(value, (*path, key))


@settings(deadline=None, max_examples=150)
@given(values=federations(), data=st.data())
def test_the_json_schema_and_the_reader_agree(values, data):
    assert fits(values, json_schema())
    place = data.draw(st.sampled_from(list(places(values))))
    table = values
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = data.draw(ODD)
    _, problems = examine(Federation, values)
    assert fits(values, json_schema()) == (not problems), problems


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('shard = "shards/site-a"', 'shard = ""'),
        ('# base-model = "SmolLM2-135M-Instruct"', 'base-model = ""'),
        ("# base-model-sha256 =", 'base-model-sha256 = "2a22" #'),
        ("# target-modules =", "target-modules = [] #"),
        ("# dropout =", "dropout = 1 #"),
        ("# budget =", 'budget = "bord" #'),
        ("# superlink =", 'superlink = "relay:070" #'),
        ("# runs =", "runs = 3 #"),
        ("# runs =", "run = 3 #"),
        ("# fraction =", "fraction = 0 #"),
    ],
)
def test_the_json_schema_refuses_what_the_reader_refuses(old, new):
    text = preset_text("two-sites")
    assert old in text
    assert fits(tomllib.loads(text), json_schema())
    values = tomllib.loads(text.replace(old, new, 1))
    assert len(examine(Federation, values)[1]) == 1
    assert not fits(values, json_schema())


@pytest.mark.parametrize("key", ["site", "recipe"])
def test_a_federation_without_sites_or_recipes_is_none(key):
    values = {**tomllib.loads(preset_text("two-sites")), key: []}
    assert list(map(str, examine(Federation, values)[1])) == [f"{key}: [] is not a list of at least one"]
    assert not fits(values, json_schema())


def test_the_page_of_documentation_has_the_tables_of_the_dataclasses():
    page = (REPOSITORY / "docs" / "federation-file.md").read_text(encoding="utf-8")
    # To mend it, put the output of `fedlora config schema --format markdown` below the heading.
    assert page.partition("\n## Keys\n\n")[2].rstrip() == key_tables().rstrip()
