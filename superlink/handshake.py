"""Before round 1: asking each site what it would train, and whether all mean the same."""

import logging

from fedlora.errors import ParticipationError, SpecMismatchError, WireError
from fedlora.wire import AdapterSpec
from fedlora.wire.flower_message import Answer, Request
from superlink.grid import Question, Sites
from superlink.run_config import RunConfig

__all__ = ["CODEC", "agree"]

CODEC = "fp32"
LOAD_SECONDS = 120.0  # a trainer may have to load another recipe first
log = logging.getLogger("fedlora.superlink")


def agree(sites: Sites, config: RunConfig) -> AdapterSpec:
    """Ask every site what it would train, compare, and open the attempt at each of them.

    Returns
    -------
    AdapterSpec
        The spec that all sites share.

    Raises
    ------
    ParticipationError
        If a site refuses or does not answer.
    SpecMismatchError
        If two sites differ: names both and the first difference.
    """
    question = Request({"recipe_sha256": config.recipe_sha256})
    descriptions = _all(sites, "query.describe", question, config)
    specs = {site: _spec(site, answer) for site, answer in descriptions.items()}
    first = sites.names[0]
    for site in sites.names[1:]:
        if specs[site] != specs[first]:
            raise SpecMismatchError(
                f"site {first} and site {site} do not train the same adapter: {specs[first].difference(specs[site])}"
            )
    spec = specs[first]
    opening = {
        "run": config.run,
        "epoch": config.epoch,
        "recipe_sha256": config.recipe_sha256,
        "spec_sha256": spec.sha256,
        "codec": CODEC,
    }
    _all(sites, "query.configure", Request(opening), config)
    log.info("%d sites agree on %s: %d values in %d tensors", len(specs), spec.recipe, spec.size, len(spec.tensors))
    return spec


def _all(sites: Sites, kind: str, request: Request, config: RunConfig) -> dict[str, Answer]:
    """Send the same request to all sites and return their answers; all must be ok.

    A site may still be training a round of the attempt before this one, and has time to end it; one whose trainer is
    not there is waited for as long as for one that is not online.
    """
    seconds = config.deadline + LOAD_SECONDS
    question = Question(kind, dict.fromkeys(sites.names, request), seconds, patience=config.join_timeout)
    answers = {reply.site: reply.answer for reply in sites.ask(question)}
    problems = [f"site {site}: {answer.reason}" for site, answer in sorted(answers.items()) if answer.status != "ok"]
    problems += [f"site {site}: no answer within {seconds:.0f} s" for site in sites.names if site not in answers]
    if problems:
        raise ParticipationError("before round 1, " + "; ".join(problems))
    return answers


def _spec(site: str, answer: Answer) -> AdapterSpec:
    try:
        return AdapterSpec.from_json(str(answer.fields.get("spec")))
    except WireError as error:
        raise SpecMismatchError(f"site {site}: {error}") from error
