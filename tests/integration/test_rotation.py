"""The CA of a federation is exchanged in the middle of a run, which loses nothing; who lacks the new one is named."""

import json
import ssl
import time

import pytest
from typer.testing import CliRunner

from fedlora.audit import read_entries
from fedlora.cli.main import application
from fedlora.errors import CredentialError
from fedlora.pki.reading import ca_fingerprints, certificate_sha256, read_certificate
from superlink.runs import RunState
from tests.integration.test_survival import HELD, assert_undisturbed, at_work, finish, hold, submit, wait

ROUNDS = 5
ASKING = ("keeper", "superexec")


def rotate(made, *arguments: str):
    return CliRunner().invoke(
        application, ["pki", "rotate", str(made.coordinator), *arguments, "--runs", str(made.runs), "--yes"]
    )


def done(made, *arguments: str) -> dict:
    result = rotate(made, *arguments, "--format", "json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def restarted(made, *parts: str) -> None:
    for name in parts:
        part = made.part(name)
        part.process.terminate()
        part.process.wait(30)
        made.parts.restart(part)


def served(made, authority: bytes) -> bool:
    """Whether who trusts `authority` alone accepts the SuperLink."""
    import socket

    context = ssl.create_default_context(cadata=authority.decode())
    try:
        with socket.create_connection(("127.0.0.1", made.ports.http), 10) as plain:
            context.wrap_socket(plain, server_hostname="127.0.0.1").close()
    except ssl.SSLCertVerificationError:
        return False
    return True


@pytest.mark.timeout(500)
def test_the_ca_is_exchanged_in_the_middle_of_a_run(new_federation, figure):
    made = new_federation
    made.start()
    made.start_keeper()
    old = made.ca_certificate.read_bytes()
    hold(made, 2)
    folder = submit(made, rounds=ROUNDS)
    wait(made, folder, at_work(made, folder, 2))
    began = time.monotonic()

    begun = done(made, "begin")
    assert ca_fingerprints(made.ca_certificate) == [begun["old"], begun["new"]]
    refused = rotate(made, "switch")
    assert isinstance(refused.exception, CredentialError)
    lacks = "(online, trusts the old CA alone)"
    assert f"site-1 {lacks}; site-2 {lacks}" in str(refused.exception)

    # One site alone has the new one, and has said so in round 2; then it is the other that is named.
    restarted(made, *ASKING, "site-1-supernode")
    for site in made.sites:
        made.behave(site, seconds=HELD, from_round=4)
    wait(made, folder, at_work(made, folder, 4), revive=False)
    refused = rotate(made, "switch")
    assert isinstance(refused.exception, CredentialError)
    assert f"site-2 {lacks}" in str(refused.exception)
    assert "site-1 (" not in str(refused.exception)
    assert certificate_sha256(read_certificate(made.ca_certificate)) == begun["old"]

    restarted(made, "site-2-supernode")
    for site in made.sites:
        made.behave(site, seconds=HELD, from_round=5)
    wait(made, folder, at_work(made, folder, 5), revive=False)
    assert {tuple(site["authorities"]) for site in done(made, "status")["sites"]} == {
        tuple(sorted((begun["old"], begun["new"])))
    }
    assert done(made, "switch")["stage"] == "switched"
    restarted(made, "superlink")
    for site in made.sites:
        made.behave(site)
    assert finish(made, folder).state is RunState.COMPLETED
    figure(f"CA exchanged under a run of {ROUNDS} rounds: begun to completed in {time.monotonic() - began:.1f} s")

    attempts = assert_undisturbed(made, folder, ROUNDS)  # to the bit
    assert [outcome for _, outcome, _ in attempts].count("failed") == 0
    new = made.ca_certificate.read_bytes().partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"
    assert (served(made, old), served(made, new)) == (False, True)

    # The end: the old one is out, and everything that was begun under it still belongs here.
    done(made, "end")
    assert ca_fingerprints(made.ca_certificate) == [begun["new"]]
    restarted(made, *ASKING, "site-1-supernode", "site-2-supernode")
    second = submit(made, "after", rounds=1)
    assert finish(made, second).state is RunState.COMPLETED
    folder.resume(epoch=99)
    assert finish(made, folder).state is RunState.COMPLETED  # and is not given up as another federation's
    said = [entry.about["of"] for entry in read_entries(made.runs / "audit.jsonl") if entry.what == "key.changed"]
    assert [of for of in said if "," in of] == [f"the CA's certificate, {step}" for step in ("begin", "switch", "end")]
