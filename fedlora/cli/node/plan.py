"""``fedlora node plan``."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlora.cli.options import Format, FormatOption

if TYPE_CHECKING:
    from supernode.plan import Place, Plan

__all__ = ["plan"]

MEGA, MEBI = 10**6, 2**20


def plan(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SITE", help="The site's folder, or a federation's file, for its sites.", show_default=False
        ),
    ],
    site: Annotated[
        str, typer.Option(metavar="NAME", help="Of a federation's file, this site alone.", show_default=False)
    ] = "",
    memory: Annotated[
        int, typer.Option(metavar="MIB", min=0, help="Memory that there is, where it is not this machine's.")
    ] = 0,
    output: FormatOption = Format.TABLE,
) -> None:
    """Say before the start how much memory each recipe of a site takes, whether it fits, and else what to change.

    Memory is this machine's or its GPU's for a site's folder, and of a federation's file what a site's trainer may use.
    It is estimated from the base model's files; the model is not loaded.
    """
    from fedlora.errors import UnfitSiteError

    plans: list[tuple[Place, list[Plan]]] = _of_folder(source, memory) if _is_folder(source) else []
    if not plans:
        plans = _of_federation(source, site, memory)
    if output is Format.JSON:
        listed = [{**dataclasses.asdict(place), "recipes": [_fields(one) for one in made]} for place, made in plans]
        typer.echo(json.dumps(listed, indent=2))
    else:
        for place, made in plans:
            for line in _lines(place, made):
                typer.echo(line)
    unfit = [f"{one.site}: {one.recipe}" for _, made in plans for one in made if one.fits is False or one.refused]
    if unfit:
        raise UnfitSiteError(f"does not fit: {', '.join(unfit)}")


def _is_folder(source: Path) -> bool:
    return source.name == "trainer.toml" or (source / "trainer.toml").is_file()


def _of_folder(source: Path, memory: int) -> "list[tuple[Place, list[Plan]]]":
    from fedlora.config import read_toml
    from fedlora.language_model import BaseModel
    from supernode.doctor.machine import memory_of
    from supernode.plan import Place
    from supernode.plan import plan as planned
    from supernode.trainer.settings import TrainerSettings

    settings = read_toml(TrainerSettings, source / "trainer.toml" if source.is_dir() else source)
    there, of = (memory * MEBI, "as given") if memory else memory_of(settings.device)
    place = Place(settings.site, settings.device, settings.tokens_at_once, there, of)
    base = BaseModel(settings.base_model_name, settings.base_model).check()
    return [(place, planned(base, place, settings.policy))]


def _of_federation(source: Path, name: str, memory: int) -> "list[tuple[Place, list[Plan]]]":
    from fedlora.cli.federation_file import read
    from fedlora.errors import ConfigurationError
    from fedlora.language_model.cache import cached
    from supernode.plan import Place
    from supernode.plan import plan as planned
    from supernode.trainer.settings import Policy

    federation = read(source / "federation.toml" if source.is_dir() else source, []).federation
    sites = [site for site in federation.site if name in ("", site.name)]
    if not sites:
        known = ", ".join(site.name for site in federation.site)
        raise ConfigurationError(f"{source} has no site {name!r}; it has {known}")
    base, made = cached(federation.base_model), []
    for site in sites:
        resources = site.resources
        there, of = (resources.memory * MEBI, "resources.memory") if resources.device == "cpu" else (None, "its GPU")
        if memory:
            there, of = memory * MEBI, "as given"
        place = Place(site.name, resources.device, resources.tokens_at_once, there, of)
        policy = Policy(federation.recipes_of(site), most_rank=site.policy.most_rank)
        made.append((place, planned(base, place, policy)))
    return made


def _fields(one: "Plan") -> dict[str, object]:
    fields = dataclasses.asdict(one)
    return {**fields, "memory": None if one.needs is None else one.needs.memory}


def _lines(place: "Place", plans: "list[Plan]") -> list[str]:
    there = "unknown; say it with --memory" if place.memory is None else f"{_mega(place.memory)} ({place.of})"
    lines = [f"{place.site}: {place.device}, {place.tokens_at_once} tokens at once, memory {there}"]
    for one in plans:
        if one.needs is None:
            lines.append(f"  refused   {one.recipe}: {one.refused}")
            continue
        parts = ", ".join(
            f"{name} {_mega(getattr(one.needs, name))}"
            for name in ("program", "weights", "adapter", "activations", "logits")
        )
        word = {True: "fits", False: "too much", None: "takes"}[one.fits]
        lines.append(f"  {word:<8}  {one.recipe}: about {_mega(one.needs.memory)} ({parts})")
        for change in one.changes:
            enough = "" if change.memory <= (place.memory or 0) else ", which is still too much"
            lines.append(f"            {change.text}: about {_mega(change.memory)}{enough}")
        if one.fits is False and not any(change.memory <= (place.memory or 0) for change in one.changes):
            lines.append("            take a smaller base model or shorter records, or give it more memory")
    return lines


def _mega(count: int) -> str:
    return f"{count / MEGA:,.0f} MB"
