"""``fedlora pki rotate``."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import Format, FormatOption, RunsOption, runs_folder

if TYPE_CHECKING:
    from fedlora.pki.rotation import Rotation
    from superlink.trust import Trust

__all__ = ["rotate"]


class Step(StrEnum):
    """What to do."""

    STATUS = "status"
    BEGIN = "begin"
    SWITCH = "switch"
    END = "end"


AFTERWARDS = {
    Step.BEGIN: "give ca.crt, which holds both CAs, to every party, start the coordinator's parts and each site's "
    "supernode anew with it, and let each site answer in a run; then: switch",
    Step.SWITCH: "start the SuperLink anew; sites go on as they are. Where its pair is not in this folder, make it "
    "anew: fedlora pki coordinator, or sign; and certificates of other admins with: fedlora pki admin. Then: end",
    Step.END: "give ca.crt to every party; each may be started anew with it when it likes. Destroy the old CA's key: "
    "ca.key.previous",
}


def rotate(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The CA's folder.", show_default=False),
    ],
    step: Annotated[Step, typer.Argument(help="What to do.")] = Step.STATUS,
    runs: RunsOption = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the runs are on another machine: what `fedlora pki trust --format json` said there.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Exchange the CA while runs go on: begin, then switch once every site trusts the new one, then end.

    What a site trusts it says in its answers. `switch` is refused while one of those that are registered has not said
    that it trusts the new CA, and names it.
    """
    from fedlora.pki.rotation import rotation
    from fedlora.pki.secret_files import private_directory

    folder = runs_folder(runs)
    if step is Step.STATUS:
        found = rotation(directory)
        _show(found, _known(folder, trust) if found else [], output)
        return
    private_directory(directory)
    if not yes:
        typer.echo(f"afterwards: {AFTERWARDS[step]}")
        typer.confirm(f"Exchange the CA in {directory}: {step}?", abort=True)
    done = _do(directory, step, folder, trust)
    if output is Format.JSON:
        _show(done, [], output)
        return
    typer.echo(f"the new CA has the SHA-256 {done.new_sha256}")
    typer.echo(AFTERWARDS[step])


def _do(directory: Path, step: Step, runs: Path, trust: Path | None) -> "Rotation":
    from fedlora.audit import CA, FILE, Audit, Event, person
    from fedlora.pki.reading import certificate_sha256, key_sha256
    from fedlora.pki.rotation import begin_rotation, end_rotation, rotation, switch_rotation
    from superlink.trust import take_over_runs

    if step is Step.BEGIN:
        done = begin_rotation(directory)
    elif step is Step.SWITCH:
        under_way = rotation(directory)
        if under_way is not None and not under_way.switched:
            _refuse_missing(under_way, _known(runs, trust))
        done = switch_rotation(directory)
    else:
        done = end_rotation(directory)
        take_over_runs(runs, *(key_sha256(one.public_key()) for one in (done.old, done.new)))
    if runs.is_dir():
        Audit(runs / FILE, person()).note(
            Event.KEY_CHANGED,
            of=f"{CA}, {step}",
            sha256=done.new_sha256,
            before=certificate_sha256(done.old),
        )
    return done


def _known(runs: Path, trust: Path | None) -> "list[Trust]":
    from superlink.trust import read_trust, registered_trust

    return registered_trust(runs) if trust is None else read_trust(trust)


def _refuse_missing(under_way: "Rotation", known: "list[Trust]") -> None:
    from fedlora.errors import CredentialError

    missing = [trust for trust in known if under_way.new_sha256 not in trust.authorities]
    if missing:
        listed = "; ".join(f"{trust.site} ({_said(trust, under_way)})" for trust in missing)
        raise CredentialError(
            f"not every site trusts the new CA {under_way.new_sha256[:16]}...: {listed}. With a SuperLink that it has "
            "signed they would be cut off. Give them the new ca.crt, have them start their supernodes anew, and let "
            "them answer in a run; or unregister them"
        )


def _said(trust: "Trust", under_way: "Rotation") -> str:
    if under_way.new_sha256 in trust.authorities:
        return "trusts the new CA"
    there = "online" if trust.online else "offline"
    return f"{there}, {'trusts the old CA alone' if trust.authorities else 'has not said what it trusts'}"


def _show(found: "Rotation | None", known: "list[Trust]", output: Format) -> None:
    from fedlora.pki.reading import certificate_sha256

    if output is Format.JSON:
        about = {} if found is None else {"old": certificate_sha256(found.old), "new": found.new_sha256}
        stage = "none" if found is None else "switched" if found.switched else "begun"
        sites = [
            {"site": one.site, "online": one.online, "told_at": one.told_at, "authorities": one.authorities}
            for one in known
        ]
        typer.echo(json.dumps({"stage": stage, **about, "sites": sites}, indent=2))
        return
    if found is None:
        typer.echo("the CA is not being exchanged")
        return
    typer.echo(f"old CA {certificate_sha256(found.old)}\nnew CA {found.new_sha256}")
    typer.echo(f"the {'new' if found.switched else 'old'} one signs")
    for one in known:
        typer.echo(f"  {one.site}: {_said(one, found)}")
