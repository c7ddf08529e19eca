"""``fedlora render compose``: the same bytes each time, and nothing over what somebody has edited."""

import json
import os

import pytest
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.errors import BaseModelError, ConfigurationError, CredentialError
from fedlora.federation import read_federation
from fedlora.pki.inspection import inspect
from fedlora.rendering import MANIFEST, compose_files


def render(*arguments, **environment):
    return CliRunner().invoke(
        application, ["render", "compose", *map(str, arguments)], env={"TERM": "dumb", **environment}
    )


def contents(directory):
    return {str(entry.relative_to(directory)): entry.read_bytes() for entry in directory.rglob("*") if entry.is_file()}


@pytest.fixture
def text(file):
    return file.read_text()


def test_the_same_bytes_each_time(file, text, tmp_path):
    assert compose_files(read_federation(file).federation) == compose_files(read_federation(file).federation)
    first = render(file, "--out", tmp_path / "out")
    assert (first.exit_code, first.stdout) == (
        0,
        f"{tmp_path}/out: coordinator, site-a, site-b\n23 files written\n",
    )
    before = {entry: entry.stat().st_mtime_ns for entry in (tmp_path / "out").rglob("*") if entry.name != MANIFEST}
    again = render(file, "--out", tmp_path / "out")
    assert again.stdout == f"{tmp_path}/out: coordinator, site-a, site-b\nnothing has changed\n"
    after = {entry: entry.stat().st_mtime_ns for entry in (tmp_path / "out").rglob("*") if entry.name != MANIFEST}
    assert {entry: time for entry, time in after.items() if entry.is_file()} == {
        entry: time for entry, time in before.items() if entry.is_file()
    }


def test_what_somebody_edited_stays_and_all_of_it_is_named(file, text, tmp_path):
    out = tmp_path / "out"
    render(file, "--out", out)
    edited = [out / "site-a" / ".env", out / "site-b" / "trainer.toml"]
    for one in edited:
        one.write_text("mine\n")
    file.write_text(text.replace("9192", "9193"))
    refused = render(file, "--out", out)
    assert isinstance(refused.exception, ConfigurationError)
    assert str(refused.exception) == (
        f"{edited[0]}, {edited[1]}: not as rendered; somebody has edited or made what would be overwritten. Put the "
        "change into the federation's file and move these away, or replace them with --force"
    )
    assert "9192" in (out / "coordinator" / ".env").read_text()  # nothing was written at all
    assert [one.read_text() for one in edited] == ["mine\n"] * 2
    assert render(file, "--out", out, "--force").exit_code == 0
    assert "9193" in (out / "coordinator" / ".env").read_text()
    assert "mine" not in edited[0].read_text()


def test_what_was_rendered_before_is_rendered_anew(file, text, tmp_path):
    render(file, "--out", tmp_path / "out")
    file.write_text(text.replace("9192", "9193"))
    assert render(file, "--out", tmp_path / "out").stdout.endswith("5 files written\n")
    assert sorted(json.loads((tmp_path / "out" / MANIFEST).read_text())) == sorted(
        compose_files(read_federation(file).federation)
    )


def test_other_files_stay(file, text, tmp_path):
    out = tmp_path / "out"
    (out / "coordinator" / "secrets").mkdir(parents=True)
    (out / "coordinator" / "secrets" / "server.key").write_text("key")
    render(file, "--out", out, "--force")
    assert (out / "coordinator" / "secrets" / "server.key").read_text() == "key"


def test_what_is_no_ca_certificate(file, text, tmp_path):
    refused = render(file, "--out", tmp_path / "out", "--ca-certificate", file)
    assert isinstance(refused.exception, CredentialError)
    assert not (tmp_path / "out").exists()


def test_everybody_may_read_what_is_rendered(file, text, tmp_path):
    render(file, "--out", tmp_path / "out")
    assert {oct(one.stat().st_mode & 0o777) for one in (tmp_path / "out").rglob("*") if one.is_file()} == {"0o644"}


def test_a_site_that_is_no_more_is_named_and_stays(file, text, tmp_path):
    out = tmp_path / "out"
    render(file, "--out", out)
    (out / "site-notes").mkdir()  # somebody's own
    kept = contents(out / "site-b")
    file.write_text(text[: text.index('[[site]]\nname = "b"')] + text[text.index("[[recipe]]") :])
    for _ in range(2):
        again = render(file, "--out", out)
        assert again.exit_code == 0
        assert again.stderr == f"warning: {out}/site-b is of no site of this file any more, and stays; remove it\n"
    assert contents(out / "site-b") == kept


def test_ca_and_secrets_are_made_once(file, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    out, ca = tmp_path / "out", tmp_path / "ca"
    first = render(file, "--out", out, "--ca", ca)
    assert first.exit_code == 0, first.output
    (sha256,) = {one.sha256 for one in inspect(ca) if one.kind == "certificate"}
    secrets = out / "coordinator" / "secrets"
    assert first.stdout == (
        f"CA of clinics made in {ca}; {ca}/ca.key never leaves this machine\n"
        f"{out}: coordinator, site-a, site-b\n25 files written\n"
        f"the coordinator's keys and certificates made in {secrets}\n"
        f"its containers read them once you call: sudo chown -R 49999:49999 {secrets}\n"
        f"read out to each site, by another way: the SHA-256 of ca.crt is {sha256}\n"
    )
    assert [one.problems for one in inspect(secrets)] == [()] * 6
    assert {name.rsplit("/", 1)[-1] for name in contents(out) if name.endswith(".key")} == {"server.key", "admin.key"}
    before = contents(out) | contents(ca)
    again = render(file, "--out", out, "--ca", ca)
    assert f"{secrets} stays as it is\n" in again.stdout
    assert contents(out) | contents(ca) == before


def test_ca_or_its_certificate_and_not_both(file, tmp_path):
    refused = render(file, "--out", tmp_path / "out", "--ca", tmp_path / "ca", "--ca-certificate", file)
    assert refused.exit_code == 2
    assert not (tmp_path / "ca").exists()


def test_the_model_goes_along(file, text, tiny_model, tmp_path):
    file.write_text(text.replace("/models/small", str(tiny_model)))
    out = tmp_path / "out"
    first = render(file, "--out", out, "--with-model")
    assert first.exit_code == 0, first.output
    told = f"base model {tiny_model.name} in the folder `model` of each site, SHA-256 "
    assert told in first.stdout
    for site in ("site-a", "site-b"):
        model = out / site / "model"
        assert (model / "config.json").read_bytes() == (tiny_model / "config.json").read_bytes()
        assert {oct(one.stat().st_mode & 0o777) for one in (model, *model.iterdir())} == {"0o755", "0o644"}
    before = contents(out)
    assert render(file, "--out", out, "--with-model").exit_code == 0
    assert contents(out) == before
    (out / "site-b" / "model" / "config.json").write_text("{}")
    refused = render(file, "--out", out, "--with-model")
    assert isinstance(refused.exception, BaseModelError)
    assert "config.json changed or missing" in str(refused.exception)
