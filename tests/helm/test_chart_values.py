"""Values of the charts: every key is set somewhere, has a meaning, and shows; what is wrong is refused."""

import copy
import json

import pytest
import yaml
from rendered_charts import APIS, CHART_OF, CHARTS, HERE, REPOSITORY, NotRenderedError, template

import fedlora
from fedlora.errors import ConfigurationError
from fedlora.rendering.helm import schema
from fedlora.rendering.helm.chart_files import chart_files

# What has one allowed value, or is what every key's file must have to be rendered at all.
FIXED = {"replicas", "tls.enabled", "rendered", "networkPolicy.enabled", "podDisruptionBudget.enabled"} | {
    f"monitoring.{one}.enabled" for one in ("podMonitor", "rules", "dashboards")
}
SAME = FIXED | {"checkpoints.enabled", "scores.enabled", "doctor.enabled"}


def every_key(chart):
    """The values that set every key of a chart."""
    own = yaml.safe_load((HERE / "every-key" / f"{chart}.yaml").read_text())
    return {**yaml.safe_load((HERE / "every-key" / "shared.yaml").read_text()), **own, "rendered": fedlora.__version__}


def leaves(values, path=()):
    """Every value that is no table of keys, by its path."""
    if isinstance(values, dict) and values:
        return {name: one for key, item in values.items() for name, one in leaves(item, (*path, key)).items()}
    return {".".join(path): values}


def own_values(chart):
    return yaml.safe_load((CHARTS / chart / "values.yaml").read_text())


@pytest.mark.parametrize("chart", schema.CHARTS)
def test_a_file_sets_every_key_to_something_else(chart):
    defaults, given = leaves(own_values(chart)), leaves(every_key(chart))
    table = {name for name, value in defaults.items() if value == {}}  # of names that are the user's
    missing = {name for name in defaults if name not in given and not any(g.startswith(f"{name}.") for g in given)}
    assert missing == set()
    assert {name for name in defaults.keys() - table - SAME if given.get(name) == defaults[name]} <= {
        name for name in defaults if name.endswith(".existingClaim")
    }


@pytest.mark.parametrize("chart", schema.CHARTS)
def test_every_key_shows_in_what_is_rendered(chart, helm):
    """Each key, put back to its default, changes the rendering: no key is there for nothing."""
    whole = every_key(chart)
    cases = [whole]
    if "certManager" in whole:  # which takes the place of some keys of Secrets
        cases.append({**whole, "certManager": {"enabled": False}})
    idle = set(leaves(own_values(chart)))
    for values in cases:
        rendered = template(helm, chart, values, apis=APIS)
        asked = {name: default for name, default in changeable(chart, values) if name in idle}
        idle = {name for name, default in asked.items() if put_back(helm, chart, values, name, default) == rendered}
    assert idle == set()


def changeable(chart, values):
    """The keys that a file sets to something else than their default, and their default."""
    for name, default in leaves(own_values(chart)).items():
        if name not in SAME and not of_a_claim_that_is_there(name, values):
            keys = split(name, values)
            if keys and at(values, keys) != default:
                yield name, default


def at(values, keys):
    """The value behind several keys."""
    for key in keys:
        values = values[key]
    return values


def put_back(helm, chart, values, name, default):
    """What is rendered when one key has its default; nothing where it cannot be rendered without."""
    changed = copy.deepcopy(values)
    *folders, last = split(name, values)
    at(changed, folders)[last] = default
    try:
        return template(helm, chart, changed, apis=APIS)
    except NotRenderedError:
        return ""


def of_a_claim_that_is_there(name, values):
    """Whether a key says what a claim should be like, and there is one already."""
    kind, _, rest = name.partition(".")
    own, _, key = rest.partition(".")
    return kind == "persistence" and key != "existingClaim" and values[kind][own]["existingClaim"] != ""


def split(name, values):
    """The keys on the way to a value; some of them have a dot."""
    keys, rest = [], name
    while rest:
        key = next((key for key in values if rest == key or rest.startswith(f"{key}.")), "")
        if not key:  # it is not set here
            return []
        keys.append(key)
        values, rest = values[key], rest[len(key) + 1 :]
        if not isinstance(values, dict):
            break
    return keys


def test_schemas_and_readmes_are_those_of_the_values():
    for path, text in schema.chart_pages(CHARTS).items():
        assert (CHARTS / path).read_text() == text, f"{path} is stale: run make docs"


def test_copies_in_charts_are_those_of_their_sources():
    wanted = chart_files(REPOSITORY)
    for path, text in wanted.items():
        assert (REPOSITORY / path).read_text() == text, f"{path} is stale: run make docs"
    files = CHARTS / "fedlora-superlink" / "files"
    assert {file for file in files.rglob("*") if file.is_file()} == {REPOSITORY / path for path in wanted}


def test_a_value_without_a_meaning_is_an_error(tmp_path):
    for chart, text in {"fedlora-library": "# What it is.\nknown: 1\n", "some": "known: 1\nunknown: 2\n"}.items():
        (tmp_path / chart).mkdir()
        (tmp_path / chart / "values.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match="the value unknown has no meaning"):
        schema.chart_schema(tmp_path, "some")


@pytest.mark.parametrize("chart", schema.CHARTS)
def test_the_charts_are_of_the_kits_version(chart):
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    library = yaml.safe_load((CHARTS / "fedlora-library" / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == library["version"] == fedlora.__version__
    assert about["dependencies"][0]["version"] == fedlora.__version__


@pytest.mark.parametrize("party", CHART_OF)
def test_lint_finds_nothing(party, helm, helm_3, values, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values[party]))
    for program in (helm, helm_3):
        done = program.run("lint", "--strict", CHARTS / CHART_OF[party], "--values", file)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("chart", schema.CHARTS)
def test_lint_finds_nothing_where_every_key_is_set(chart, helm, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(every_key(chart) | {"certManager": {"enabled": False}}))
    if chart != "fedlora-superlink":
        file.write_text(json.dumps(every_key(chart)))
    done = helm.run("lint", "--strict", CHARTS / chart, "--values", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_3_renders_the_same(plain, helm_3, values):
    def meant(text):
        return {line for line in text.splitlines() if line.strip()}

    for party, chart in CHART_OF.items():
        assert meant(template(helm_3, chart, values[party])) == meant(plain[party])


@pytest.mark.parametrize("party", CHART_OF)
def test_an_unknown_key_is_refused(party, helm, values):
    with pytest.raises(NotRenderedError, match="additional properties 'netwrokPolicy' not allowed"):
        template(helm, CHART_OF[party], values[party], {"netwrokPolicy": {"enabled": False}})
    with pytest.raises(NotRenderedError, match="additional properties 'tga' not allowed"):
        template(helm, CHART_OF[party], values[party], {"image": {"tga": "next"}})


@pytest.mark.parametrize(
    ("party", "wrong", "where"),
    [
        ("coordinator", {"replicas": 2}, "/replicas"),
        ("site-a", {"replicas": 0}, "/replicas"),
        ("site-a", {"trainer": {"device": "tpu"}}, "/trainer/device"),
        ("site-a", {"superlink": {"addressBlocks": ["superlink.example.org"]}}, "/superlink/addressBlocks/0"),
        ("coordinator", {"user": {"id": 0}}, "/user/id"),
        ("coordinator", {"resources": {"gateway": {"limits": {"memory": None}}}}, "/resources/gateway/limits"),
        ("evaluator", {"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(party, wrong, where, helm, values):
    with pytest.raises(NotRenderedError, match=f"at '{where}'"):
        template(helm, CHART_OF[party], values[party], wrong)
