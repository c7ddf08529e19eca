"""Values of the charts, and the command that writes them."""

import pytest
import yaml
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import ConfigurationError
from fedlora.federation import read_federation
from fedlora.pki.reading import certificate_sha256
from fedlora.rendering import helm_files

PARTIES = ("coordinator.yaml", "evaluator.yaml", "site-a.yaml", "site-b.yaml")
HOST, BLOCKS = 'host = "superlink.example.org"\n', 'address-blocks = ["203.0.113.0/28"]\n'


@pytest.fixture
def named(file):
    """A file that says in which address blocks the SuperLink lies."""
    file.write_text(file.read_text().replace(HOST, HOST + BLOCKS))
    return file


@pytest.fixture
def rendered(authority):
    def render(file, blocks=()):
        federation = read_federation(file).federation
        files = helm_files(federation, authority.certificate_file.read_bytes(), blocks)
        return {name: yaml.safe_load(content) for name, content in files.items()}

    return render


def test_there_are_values_for_each_party(named, rendered, authority):
    values = rendered(named)
    assert tuple(sorted(values)) == PARTIES
    assert values["coordinator.yaml"]["image"] == {"prefix": "registry.example.org/kit/", "tag": "next"}
    assert values["coordinator.yaml"]["resources"]["superlink"]["limits"] == {"cpu": "2", "memory": "1024Mi"}
    assert values["coordinator.yaml"]["service"]["fleet"] == {"port": 9192}
    site = values["site-a.yaml"]
    assert site["superlink"]["caSha256"] == certificate_sha256(authority.certificate)
    assert site["superlink"]["caCertificate"] == authority.certificate_file.read_text()
    assert site["superlink"]["addressBlocks"] == ["203.0.113.0/28"]
    assert site["resources"]["trainer"]["limits"] == {"cpu": "2", "memory": "3000Mi"}
    assert site["trainer"] == {"device": "cpu", "gpu": {"count": 0}, "shmSize": ""}


def test_a_site_that_goes_by_another_address_calls_it_by_a_name_of_the_certificate(named, rendered):
    superlink = rendered(named)["site-b.yaml"]["superlink"]
    assert superlink["host"] == "superlink"
    assert superlink["port"] == 9292
    assert superlink["addressBlocks"] == ["10.1.2.3/32"]
    assert superlink["hostAliases"] == [{"ip": "10.1.2.3", "hostnames": ["superlink"]}]


def test_without_address_blocks_nothing_is_rendered(file, rendered):
    with pytest.raises(ConfigurationError, match=r"site a .* superlink\.example\.org.*set coordinator\.address-blocks"):
        rendered(file)


def test_an_address_is_its_own_block(file, rendered):
    file.write_text(file.read_text().replace(HOST, 'host = "198.51.100.4"\n'))
    assert rendered(file)["site-a.yaml"]["superlink"]["addressBlocks"] == ["198.51.100.4/32"]


def test_a_name_that_the_certificate_is_not_for_is_refused(named, rendered):
    named.write_text(named.read_text().replace('"10.1.2.3:9292"', '"relay.example.org:9292"'))
    with pytest.raises(
        ConfigurationError, match=r"site b .* relay\.example\.org, and its certificate is for superlink"
    ):
        rendered(named)


@pytest.mark.parametrize("block", ["superlink.example.org", "10.0.0.1", "10.0.0.1/24", "10.0.0.0/33"])
def test_an_address_block_is_a_network(file, block):
    file.write_text(file.read_text().replace(HOST, f'{HOST}address-blocks = ["{block}"]\n'))
    with pytest.raises(ConfigurationError, match=r"an IPv4 address block, as 203\.0\.113\.0/28"):
        read_federation(file)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("/models/small", {"enabled": False}),
        ("SmolLM2-135M-Instruct", {"enabled": True, "image": "model", "addressBlocks": []}),
        ("example/model", {"enabled": True, "image": "trainer", "addressBlocks": ["198.51.100.9/32"]}),
    ],
)
def test_the_base_model_comes_as_it_can(model, wanted, named, rendered):
    named.write_text(named.read_text().replace("/models/small", model))
    for party in ("site-a.yaml", "evaluator.yaml"):
        fetch = rendered(named, ("198.51.100.9/32",))[party]["baseModel"]["fetch"]
        assert {key: fetch[key] for key in wanted} == wanted


def test_the_command_writes_them_and_names_what_is_left_over(named, authority, tmp_path):
    out = tmp_path / "values"

    def render():
        asked = ["render", "helm", named, "--out", out, "--ca-certificate", authority.certificate_file]
        return CliRunner().invoke(application, [str(one) for one in asked], env={"TERM": "dumb"})

    first = render()
    assert "4 files written" in first.stdout
    assert certificate_sha256(authority.certificate) in first.stdout
    assert "nothing has changed" in render().stdout
    named.write_text(named.read_text().replace('name = "b"', 'name = "c"'))
    third = render()
    assert f"{out / 'site-b.yaml'} is of no site of this file any more" in third.stderr
