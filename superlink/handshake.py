"""Before a site's first round: asking what it would train, and whether all mean the same."""

import logging
from collections.abc import Callable, Sequence

import fedlora
from fedlora.errors import ParticipationError, SpecMismatchError, WireError
from fedlora.wire import AdapterSpec
from fedlora.wire.flower_message import Answer, Request
from fedlora.wire.spec import Vector
from superlink.grid import Question, Sites
from superlink.initialisation import read_magnitudes
from superlink.run_config import RunConfig

__all__ = ["Agreement"]

LOAD_SECONDS = 120.0  # a trainer may have to load another recipe first
log = logging.getLogger("fedlora.superlink")


class Agreement:
    """What the sites of an attempt train, and which of them have agreed to it.

    Parameters
    ----------
    sites : Sites
        Who may take part.
    config : RunConfig
        What they are asked for.
    refused : callable
        Told site and reason whenever a site refuses to take part, once for each reason.

    Attributes
    ----------
    admitted : set of str
        Sites that have agreed.
    refusals : dict of str
        Why a site that is online has not been admitted, by site.
    magnitudes : Vector or None
        Where a DoRA adapter begins, as the first admitted site has told it; None of other adapters.
    """

    def __init__(
        self, sites: Sites, config: RunConfig, refused: Callable[[str, str], None] = lambda _site, _reason: None
    ) -> None:
        self.sites = sites
        self.config = config
        self.admitted: set[str] = set()
        self.refusals: dict[str, str] = {}
        self.refused = refused
        self._said: set[tuple[str, str]] = set()  # site and reason of what `refused` was told
        self.magnitudes: Vector | None = None
        self._told: dict[str, Vector | None] = {}  # magnitudes, by site
        self._spec: AdapterSpec | None = None
        self._withdrawn: set[str] = set()  # sites whose owners said so in their last answer

    def reach(self, names: Sequence[str]) -> AdapterSpec:
        """Ask `names` what they would train, and open the attempt at each of them; return the spec that all share.

        Sites that their owners have withdrawn are left out, if the others satisfy the rule of participation.

        Raises
        ------
        ParticipationError
            If a site refuses or does not answer, or too few are left.
        SpecMismatchError
            If two sites differ: names both and the first difference.
        """
        specs, problems = self._specs(names, self.config.deadline + LOAD_SECONDS, self.config.join_timeout)
        names = self._without_withdrawn(names, problems)
        first, spec = names[0], specs[names[0]]
        for site in names[1:]:
            if specs[site] != spec:
                difference = spec.difference(specs[site])
                raise SpecMismatchError(f"site {first} and site {site} do not train the same adapter: {difference}")
        if spec.kit_version != fedlora.__version__:
            raise SpecMismatchError(
                f"the sites have fedlora {spec.kit_version}, the coordinator {fedlora.__version__}: all parties of a "
                "run have one version; a run goes on with the one that it was begun with"
            )
        problems = self._open(names, spec, self.config.deadline + LOAD_SECONDS, self.config.join_timeout)
        names = self._without_withdrawn(names, problems)
        self.admitted, self._spec = set(names), spec
        self.magnitudes = self._told[names[0]]
        self._told.clear()
        log.info("%d sites agree on %s: %d values in %d tensors", len(names), spec.recipe, spec.size, len(spec.tensors))
        return spec

    def admit_late(self) -> None:
        """Ask the sites that have come since; who differs or fails is asked again before the next round."""
        if self._spec is None:
            raise ValueError("no agreement has been reached that a site could join")
        online = self.sites.online()
        late = [site for site in self.sites.names if site in online and site not in self.admitted]
        specs, self.refusals = self._specs(late, LOAD_SECONDS, 0.0)
        self._told.clear()  # the adapter has its beginning
        for site, spec in specs.items():
            if spec != self._spec:
                self.refusals[site] = f"SpecMismatchError: {self._spec.difference(spec)}"
        agreed = [site for site in late if site not in self.refusals]
        self.refusals |= self._open(agreed, self._spec, LOAD_SECONDS, 0.0)
        for site in agreed:
            if site not in self.refusals:
                self.admitted.add(site)
                log.info("site %s has joined", site)

    def _without_withdrawn(self, names: Sequence[str], problems: dict[str, str]) -> Sequence[str]:
        """Return the sites that go on; the others are asked again before each round, as those that come late."""
        left = [site for site in names if site not in problems]
        shortage = self.config.participation.shortage(left)
        if problems.keys() - self._withdrawn or (problems and shortage):
            listed = "; ".join(f"site {site}: {reason}" for site, reason in sorted(problems.items()))
            lacks = f". Without them a round would not count: {shortage}" if shortage else ""
            raise ParticipationError(f"before round 1, {listed}{lacks}")
        for site, reason in sorted(problems.items()):
            log.warning("the run begins without site %s: %s", site, reason)
        return left

    def _specs(
        self, names: Sequence[str], seconds: float, patience: float
    ) -> tuple[dict[str, AdapterSpec], dict[str, str]]:
        """Return what each site would train, and why the others do not say."""
        question = Request({"run": self.config.run, "recipe_sha256": self.config.recipe_sha256})
        answers, problems = self._ask("query.describe", names, question, seconds, patience)
        specs = {}
        for site, answer in answers.items():
            try:
                spec = AdapterSpec.from_json(str(answer.fields.get("spec")))
                self._told[site] = read_magnitudes(answer.payload, spec)
                specs[site] = spec
            except WireError as error:
                problems[site] = f"SpecMismatchError: {error}"
        return specs, problems

    def _open(self, names: Sequence[str], spec: AdapterSpec, seconds: float, patience: float) -> dict[str, str]:
        """Open the attempt at `names`; return why some did not."""
        config = self.config
        opening = Request(
            {
                "run": config.run,
                "epoch": config.epoch,
                "recipe_sha256": config.recipe_sha256,
                "spec_sha256": spec.sha256,
                "upload_codec": config.upload_codec,
                "broadcast_codec": config.broadcast_codec,
            }
        )
        return self._ask("query.configure", names, opening, seconds, patience)[1]

    def _ask(
        self, kind: str, names: Sequence[str], request: Request, seconds: float, patience: float
    ) -> tuple[dict[str, Answer], dict[str, str]]:
        """Send the same request to `names`; return the answers that are ok, and what is wrong with the others.

        A site may still be training a round of the attempt before this one, and has time to end it; one whose trainer
        is not there is waited for as long as for one that is not online.
        """
        question = Question(kind, dict.fromkeys(names, request), seconds, patience=patience)
        answers = {reply.site: reply.answer for reply in self.sites.ask(question)}
        problems = {site: answer.reason for site, answer in answers.items() if answer.status != "ok"}
        for site, reason in problems.items():
            if answers[site].status == "refused" and (site, reason) not in self._said:
                self._said.add((site, reason))
                self.refused(site, reason)
        self._withdrawn -= answers.keys()
        self._withdrawn |= {site for site, answer in answers.items() if answer.withdrawn}
        problems |= {site: f"no answer within {seconds:.0f} s" for site in names if site not in answers}
        return {site: answer for site, answer in answers.items() if site not in problems}, problems
