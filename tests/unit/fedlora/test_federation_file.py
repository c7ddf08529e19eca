"""`federation.toml`: what is read, and everything that is wrong at once, with its place."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlora.errors import ConfigurationError
from fedlora.federation import Resources, Site, SitePolicy, read_federation
from fedlora.federation.lines import key_lines, line_of
from fedlora.federation.settings import SitePlaces, supernode_settings
from fedlora.recipes import Recipe
from fedlora.recipes import recipe as recipe_of

GOOD = """\
name = "clinics"
[coordinator]
host = "superlink.example.org"
[[site]]
name = "a"
domain = "finance"
shard = "tweets"
machine = "m"
[[site]]
name = "b"
domain = "medical"
shard = "/data/notes"
[site.policy]
fewest-examples = 32
[[recipe]]
domain = "finance"
rounds = 5
"""


def write(directory: Path, text: str) -> Path:
    file = directory / "federation.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(directory: Path, text: str) -> list[str]:
    file = write(directory, text)
    with pytest.raises(ConfigurationError) as caught:
        read_federation(file)
    assert caught.value.exit_code == 10
    head, *lines = str(caught.value).split("\n")
    assert head == f"{file} has {len(lines)} problem(s):"
    return [line.removeprefix("  - ") for line in lines]


def test_a_small_file(tmp_path):
    federation = read_federation(write(tmp_path, GOOD)).federation
    a, b = federation.site
    assert a == Site("a", "finance", tmp_path / "tweets", machine="m")
    assert b == Site("b", "medical", Path("/data/notes"), policy=SitePolicy(fewest_examples=32))
    assert (b.resources, b.runtime_port) == (Resources(1, 512), 9094)
    assert federation.recipe == (Recipe("finance", rounds=5),)
    assert federation.coordinator.runs == tmp_path / "runs"
    assert (federation.run_recipe, federation.participants) == (Recipe("finance", rounds=5), (a,))
    assert (federation.recipes_of(a), federation.superlink_of(a)) == (federation.recipe, "superlink.example.org:9092")


@pytest.mark.parametrize(("port", "served"), [(9465, "127.0.0.1:9465"), (9700, "127.0.0.1:9700"), (0, "")])
def test_a_site_serves_its_metrics_where_the_file_says(tmp_path, port, served):
    text = GOOD.replace('machine = "m"', f'machine = "m"\nmetrics-port = {port}')
    federation = read_federation(write(tmp_path, text)).federation
    places = SitePlaces(*(Path("/") / place for place in SitePlaces.__dataclass_fields__))
    assert supernode_settings(federation, federation.site[0], places, metrics_host="127.0.0.1")["metrics"] == served


def test_a_base_model_beside_the_file_is_found_from_everywhere(tmp_path):
    text = f'base-model = "models/own"\n{GOOD}'
    assert read_federation(write(tmp_path, text)).federation.base_model == "models/own"  # as a hub id would be
    (tmp_path / "models" / "own").mkdir(parents=True)
    (tmp_path / "models" / "own" / "config.json").touch()
    assert read_federation(write(tmp_path, text)).federation.base_model == str(tmp_path / "models" / "own")


def test_a_base_model_with_a_name_beyond_a_files_is_no_folder(tmp_path):
    assert read_federation(write(tmp_path, f'base-model = "{"m" * 300}"\n{GOOD}')).federation.base_model == "m" * 300


def test_what_a_federation_says_of_its_sites(tmp_path):
    text = GOOD.replace('name = "b"', 'name = "b"\nsuperlink = "relay:443"')
    text += '[[recipe]]\ndomain = "medical"\n[run]\nrecipe = "medical/default"\ndomains = ["medical", "finance"]\n'
    text = text.replace("fewest-examples", 'recipes = ["medical/default"]\nfewest-examples')
    federation = read_federation(write(tmp_path, text)).federation
    assert federation.run_recipe == recipe_of("medical")
    assert [site.name for site in federation.participants] == ["a", "b"]
    assert federation.recipes_of(federation.site[1]) == (recipe_of("medical"),)
    assert len(federation.recipes_of(federation.site[0])) == 2
    assert federation.superlink_of(federation.site[1]) == "relay:443"


LAW = "'law' is not one of general-nlp, finance, medical, code"
NO_NAME = "is not a name: 1 to 64 of a-z, 0-9 and -, with a letter or digit at both ends"
HOST = "is not a host name or IPv4 address, without scheme and port"
PAYLOAD = 'is not a number of MB of at least 0, or "board"'
AREAS = "'tokens' is not one of traffic, training, resources, health"
ADDRESS = 'is not HOST:PORT, without a scheme, with a port from 1 to 65535; or ""'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "b"', 'name = "a"', "line 10: site[1].name: 'a' is that of site[0] already"),
        ('name = "b"', 'name = "B_1"', f"line 10: site[1].name: 'B_1' {NO_NAME}"),
        (
            'name = "b"',
            'name = "logs"',
            "line 10: site[1].name: 'logs' is no name for a site: a folder beside is called so",
        ),
        ('"clinics"', '"Clinics!"', f"line 1: name: 'Clinics!' {NO_NAME}"),
        ('name = "clinics"\n', "", f"name: missing; it must be{NO_NAME.removeprefix('is not')}"),
        ('host = "superlink', 'host = "https://x', f"line 3: coordinator.host: 'https://x.example.org' {HOST}"),
        ('.org"', '.org:9092"', f"line 3: coordinator.host: 'superlink.example.org:9092' {HOST}"),
        ('machine = "m"', 'superlink = "relay"', f"line 8: site[0].superlink: 'relay' {ADDRESS}"),
        ('machine = "m"', 'superlink = "grpc://r:1"', f"line 8: site[0].superlink: 'grpc://r:1' {ADDRESS}"),
        ('machine = "m"', 'superlink = "r:65536"', f"line 8: site[0].superlink: 'r:65536' {ADDRESS}"),
        ('machine = "m"', "runtime-port = 0", "line 8: site[0].runtime-port: 0 is not a whole number from 1 to 65535"),
        (
            "[[site]]",
            "http-port = 9092\n[[site]]",
            "line 4: coordinator.http-port: 9092 is that of coordinator.fleet-port already, on the same machine; "
            "take another port",
        ),
        (
            '"/data/notes"',
            '"n"\nmachine = "m"',
            "line 9: site[1].runtime-port: 9094 is that of site[0].runtime-port already, on machine m; "
            "take another port",
        ),
        (
            '"/data/notes"',
            '"n"\nmachine = "m"\nruntime-port = 9095',
            "line 9: site[1].metrics-port: 9465 is that of site[0].metrics-port already, on machine m; "
            "take another port",
        ),
        ('machine = "m"', 'policy.figures = ["tokens"]', f"line 8: site[0].policy.figures[0]: {AREAS}"),
        (
            "[coordinator]",
            '[coordinator]\nhttp-port = 9094\nmachine = "m"',
            "line 6: site[0].runtime-port: 9094 is that of coordinator.http-port already, on machine m; "
            "take another port",
        ),
        ('"medical"', '"law"', f"line 11: site[1].domain: {LAW}"),
        (
            '"medical"',
            '"medcal"',
            f"line 11: site[1].domain: {LAW.replace('law', 'medcal')}; did you mean 'medical'?",
        ),
        ("rounds = 5", "rounds = 0", "line 17: recipe[0].rounds: 0 is not a whole number of at least 1"),
        ("rounds = 5", 'rounds = "5"', "line 17: recipe[0].rounds: '5' is not a whole number of at least 1"),
        ("rounds = 5", "round = 5", "line 17: recipe[0].round: unknown key; did you mean 'rounds'?"),
        (
            "rounds = 5",
            "final-learning-rate = 1",
            "line 15: recipe[0]: final-learning-rate 1.0 is above learning-rate 5e-05",
        ),
        (
            'domain = "finance"\nrounds',
            'domain = "code"\nrounds',
            "run.recipe: 'code/default' trains for 'code', which no site holds; they hold finance, medical",
        ),
        (
            "rounds = 5",
            '[[recipe]]\ndomain = "finance"',
            "line 17: recipe[1].preset: 'finance/default' is that of recipe[0] already",
        ),
        ("shard = ", "shards = ", "line 4: site[0].shard: missing"),
        ('[coordinator]\nhost = "superlink.example.org"', "coordinator = 5", "line 2: coordinator: 5 is not a table"),
        ("[coordinator]", "[coordinater]", "line 2: coordinater: unknown key; did you mean 'coordinator'?"),
    ],
)
def test_one_problem(tmp_path, old, new, problem):
    assert old in GOOD
    assert problem in problems(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        ("min-sites = 2", "min-sites: 2 is more than the 1 site(s) of finance"),
        (
            "min-sites = 3\ndomains = ['finance', 'medical']",
            "min-sites: 3 is more than the 2 site(s) of finance, medical",
        ),
        ("domains = ['code']", "domains[0]: 'code', which no site holds; they hold finance, medical"),
        ("required-domains = ['medical']", "required-domains[0]: no site of 'medical' takes part; there are: finance"),
        ("required-domains = ['law']", f"required-domains[0]: {LAW}"),
        ("budget = -1", f"budget: -1 {PAYLOAD}"),
        ("budget = 'bord'", f"budget: 'bord' {PAYLOAD}; did you mean 'board'?"),
        ("budget = inf", f"budget: inf {PAYLOAD}"),
        ("budget-rounds = -1", "budget-rounds: -1 is not a whole number of at least 0"),
        ("budget-hours = nan", "budget-hours: nan is not a number of at least 0"),
        ("fraction = 0", "fraction: 0 is not a number above 0 and at most 1"),
        ("deadline = true", "deadline: True is not a number above 0"),
        (
            "recipe = 'finanse/default'",
            "recipe: 'finanse/default' is not a recipe of this file: finance/default; did you mean 'finance/default'?",
        ),
    ],
)
def test_one_problem_of_runs(tmp_path, run, problem):
    assert problems(tmp_path, f"{GOOD}[run]\n{run}\n") == [f"line 19: run.{problem}"]


def test_a_site_must_not_allow_a_part_of_a_dora_adapter(tmp_path):
    text = GOOD.replace("fewest-examples", "most-rank = 16\nfewest-examples")
    found = problems(tmp_path, text + 'preset = "flowertune-paper"\n')
    most = "site[1].policy.most-rank: 16 is below the rank 32 of 'finance/flowertune-paper', and a DoRA adapter is"
    assert found == [f"line 14: {most} trained whole"]
    for good in ('preset = "flowertune-paper"\nrank = 16\n', 'preset = "flowertune"\n'):
        (tmp_path / "federation.toml").write_text(text + good)
        read_federation(tmp_path / "federation.toml")


def test_noise_that_would_hide_nothing_is_named(tmp_path):
    for keys, reason in (
        ("noise-multiplier = 2", "noise-multiplier is 2 and clip-norm is 0: noise hides nothing of unbounded updates"),
        ("epsilon-limit = 8", "epsilon-limit is 8 and noise-multiplier is 0: without noise there is no epsilon"),
    ):
        found = problems(tmp_path, GOOD.replace("fewest-examples", f"{keys}\nfewest-examples"))
        assert [problem.partition(": ")[2] for problem in found] == [f"site[1].policy: {reason}"]
    good = "clip-norm = 1\nnoise-multiplier = 2\nepsilon-limit = 8\nfewest-examples"
    read_federation(write(tmp_path, GOOD.replace("fewest-examples", good)))


def test_pauses_of_the_keeper_that_shrink(tmp_path):
    expected = ["line 19: keeper.most-pause: 0.5 is below first-pause 1.0"]
    assert problems(tmp_path, f"{GOOD}[keeper]\nmost-pause = 0.5\n") == expected


def test_a_site_that_takes_part_must_allow_the_recipe_of_runs(tmp_path):
    text = GOOD + '[[recipe]]\ndomain = "medical"\n[run]\ndomains = ["finance", "medical"]\n'
    text = text.replace("[site.policy]", '[site.policy]\nrecipes = ["medical/default"]')
    assert problems(tmp_path, text) == [
        "line 14: site[1].policy.recipes: ['medical/default'] does not have 'finance/default', which runs train; "
        "add it, or take another recipe"
    ]
    read_federation(write(tmp_path, text.replace('domains = ["finance", "medical"]', "")))  # b takes no part


def test_sites_that_take_part_must_allow_the_codecs_of_runs(tmp_path):
    text = GOOD.replace("fewest-examples", 'codecs = ["fp32", "bf16"]\nfewest-examples')
    wanted = '[run]\ndomains = ["finance", "medical"]\nupload-codec = "int4"\nbroadcast-codec = "{}"\n'
    listed = "line 14: site[1].policy.codecs: ['fp32', 'bf16'] does not have"
    assert problems(tmp_path, text + wanted.format("bf16z")) == [
        f"{listed} 'int4', which is run.upload-codec; add it, or take another",
        f"{listed} 'bf16z', which is run.broadcast-codec; add it, or take another",
    ]
    read_federation(write(tmp_path, GOOD + wanted.format("bf16z")))  # without a list, a site takes them all
    read_federation(write(tmp_path, text + wanted.format("bf16z").replace(', "medical"', "")))  # it takes no part
    unknown = problems(tmp_path, GOOD + wanted.format("int3"))
    assert len(unknown) == 1
    assert "run.broadcast-codec: 'int3' is not one of fp32, fp16, bf16, int8, int4, fp32z, " in unknown[0]


def test_a_recipe_whose_domain_is_wrong_is_not_missed_elsewhere(tmp_path):
    text = (
        GOOD.replace('domain = "finance"\nrounds', 'domain = "finanse"\nrounds') + '[run]\nrecipe = "finance/default"\n'
    )
    expected = f"line 16: recipe[0].domain: {LAW.replace('law', 'finanse')}; did you mean 'finance'?"
    assert problems(tmp_path, text) == [expected]


def test_every_problem_at_once_and_what_follows_from_another_is_none(tmp_path):
    text = GOOD.replace('"finance"', '"finanse"', 1).replace('name = "b"', 'name = "a"').replace("rounds", "rond")
    text += '[run]\nmin-sites = 9\ndomains = ["finance"]\nrequired-domains = ["finance"]\nseed = -1\n'
    text = text.replace("superlink.example.org", "http://x").replace("fewest-examples = 32", "fewest-examples = '32'")
    assert problems(tmp_path, text) == [
        f"line 3: coordinator.host: 'http://x' {HOST}",
        f"line 6: site[0].domain: {LAW.replace('law', 'finanse')}; did you mean 'finance'?",
        "line 10: site[1].name: 'a' is that of site[0] already",
        "line 14: site[1].policy.fewest-examples: '32' is not a whole number of at least 1",
        "line 17: recipe[0].rond: unknown key; did you mean 'rounds'?",
        "line 19: run.min-sites: 9 is more than the 1 site(s) of finance",
        "line 22: run.seed: -1 is not a whole number of at least 0",
    ]


@pytest.mark.parametrize("text", ["", "site = []\nrecipe = 'x'\nrun = 3\n", "site = [1, {}]\n[recipe]\nx = 1\n"])
def test_files_that_are_nothing_like_one(tmp_path, text):
    found = problems(tmp_path, text)
    assert any("name: missing" in problem for problem in found)
    assert any("coordinator.host: missing" in problem for problem in found)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('name = "a"\nport == 1\n', "at line 2, column 7"),
        ('name = "a"\nname = "b"\n', "at line 2, column 11"),
        ('name = "a"\nlist = [', "at line 2, column 9, the end of the file"),
    ],
)
def test_a_file_that_is_not_toml_says_where(tmp_path, text, place):
    file = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_federation(file)
    assert str(caught.value).startswith(f"{file} is not TOML: ")
    assert str(caught.value).endswith(f"({place})")


def test_lines_of_keys():
    text = (
        '# c [x]\nname = "x # ["  # [[site]]\n"quoted key" = 1\na.b . c = """\n[site]\nx = 1\n"""\n'
        "list = [\n  1, # ]\n  2]\n"
        "[coordinator]\r\nport = 9\n[[site]]\n  name = '''\n[[site]]\n'''\nresources = { threads = [\n2] }\n"
        '[site.policy]\nfewest = 1\n[[site]]\npolicy.norm = 3\nx = "\\"["\ny = """a\\""" ["""\nz = 1'
    )
    tomllib.loads(text)
    expected = """
        name 2, quoted key 3, a 4, a.b 4, a.b.c 4, list 8, coordinator 11, coordinator.port 12, site 13, site[0] 13,
        site[0].name 14, site[0].resources 17, site[0].policy 19, site[0].policy.fewest 20, site[1] 21,
        site[1].policy 22, site[1].policy.norm 22, site[1].x 23, site[1].y 24, site[1].z 25
    """
    assert [f"{path} {line}" for path, line in key_lines(text).items()] == " ".join(expected.split()).split(", ")
    around = {"site[0].resources.threads[1]": 17, "list[1]": 8, "site[1].none": 21, "none": None, "q]b]": None}
    assert {path: line_of(path, key_lines(text)) for path in around} == around


@given(st.text(alphabet="[]{}=\"'#\n\\.a1 ,"))
def test_no_text_stops_the_search_for_lines(text):
    lines = key_lines(text) if _is_toml(text) else {}
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def test_no_torch_and_no_network_are_needed(tmp_path):
    program = (
        "import sys, socket; socket.socket = None; from fedlora.cli.main import application; "
        f"application(['config', 'validate', {str(write(tmp_path, GOOD))!r}], standalone_mode=False); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'flwr', 'grpc', 'transformers'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["[]"]), done.stderr
