"""The trainer behind its Unix socket: every call is held against the policy before anything is done."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace

import grpc
import numpy as np

from fedlora.domains import domain
from fedlora.errors import PolicyError, TrainerError, WireError
from fedlora.language_model import BaseModel
from fedlora.language_model.adapter_shapes import adapter_tensors
from fedlora.language_model.encoding import padding
from fedlora.metrics import Sample
from fedlora.metrics.processes import process_samples
from fedlora.names import check_name
from fedlora.phases import Phase, Stopwatch, figure
from fedlora.recipes import Recipe, frozen_factor
from fedlora.wire import AdapterSpec, Header, Payload, check, codec_named, decode, encode
from fedlora.wire.spec import Vector
from supernode.trainer import trainer_pb2, trainer_pb2_grpc
from supernode.trainer.device import check_device, check_recipe
from supernode.trainer.error_feedback import Residue
from supernode.trainer.gpu import find_gpus
from supernode.trainer.journal import Carried, Journal, Opening, Turn
from supernode.trainer.model import AdapterModel
from supernode.trainer.optimizer import moments_of, new_optimizer
from supernode.trainer.out_of_memory import give_back
from supernode.trainer.privacy_ledger import PrivacyLedger
from supernode.trainer.protection import Protection
from supernode.trainer.refusals import Refusals, answering
from supernode.trainer.resident_model import ResidentModel
from supernode.trainer.settings import Policy, TrainerSettings
from supernode.trainer.token_cache import ShardContent, TokenCache
from supernode.trainer.training import RoundFigures, train_round
from supernode.trainer.watchdog import Pulse

__all__ = ["LARGEST_MESSAGE", "ResidentTrainer", "TrainerService", "serve"]

LARGEST_MESSAGE = 2**31 - 1
PLACES = 3  # calls that use the model or wait for it
LONGEST_SECONDS = 30 * 24 * 3600  # of a call
log = logging.getLogger("fedlora.trainer")


class ResidentTrainer:
    """The base model in memory, and the tokenised shard on the disk, from start to end.

    Parameters
    ----------
    settings : TrainerSettings
        The site owner's file.

    Raises
    ------
    ShardError, BaseModelError, TrainerError
        If shard, base model, device or a recipe's optimiser cannot be used.
    PolicyError
        If the policy lists a recipe that it does not allow.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        started = time.monotonic()
        self.settings = settings
        check_device(settings.device, settings.gpus)  # before what takes long
        for recipe in settings.policy.recipes:
            check_recipe(recipe, settings.device)
            settings.policy.rank(recipe)
        self.content = ShardContent(settings.shard, domain(settings.domain))
        self.base = BaseModel(settings.base_model_name, settings.base_model).check(settings.base_model_sha256)
        self.model = ResidentModel(self.base, settings.device, settings.policy, settings.gpus)
        self.tokens: TokenCache | None = None  # until there is a tokenizer
        self.tokens_at_once = settings.tokens_at_once
        self._prepare(settings.policy.recipes[0])
        self.gpus = find_gpus(settings.device, settings.gpus)
        self.load_seconds = time.monotonic() - started

    def samples(self) -> list[Sample]:
        """Return what this process takes of its machine, also while it trains."""
        return [
            *process_samples("trainer", state=self.settings.state),
            Sample("fedlora_model_load_seconds", self.load_seconds),
            *(sample for gpu in self.gpus for sample in gpu.samples()),
        ]

    def load(self, recipe: Recipe) -> AdapterModel:
        """Make `recipe` the one that is trained, and return its model."""
        if recipe != self.recipe:
            self._prepare(recipe)
        return self.adapter

    def _prepare(self, recipe: Recipe) -> None:
        self.recipe: Recipe | None = None  # whatever goes wrong below, nothing stands ready
        self.adapter, tokenizer = self.model.adapted(recipe)
        self.padding = padding(tokenizer)
        if self.tokens is None:
            folder, recipes = self.settings.state / "tokens", self.settings.policy.recipes
            self.tokens = TokenCache(folder, self.content, self.base, tokenizer, recipes)
        self.examples, counts = self.tokens.examples(recipe)
        self.records = counts.records
        self.recipe = recipe
        log.info(
            "recipe %s: %d values in %d tensors; %d records, %d of them cut to %d tokens; left out: %d with an "
            "answer of blanks, %d without a token of an answer",
            *(recipe.name, self.adapter.spec.size, len(self.adapter.spec.tensors)),
            *(counts.records, counts.cut, recipe.length, counts.empty, counts.unanswered),
        )

    def train(
        self,
        recipe: Recipe,
        vector: Vector,
        round_number: int,
        interrupted: Callable[[], bool],
        moments: bytes | None = None,
    ) -> tuple[Vector, RoundFigures, bytes | None]:
        """Train one round from the global adapter `vector`; return the delta against it, and figures.

        Of a recipe whose optimiser is kept, go on with its `moments` where there are some, and return them as well.
        """
        adapter = self.load(recipe)
        adapter.load(vector)
        adapter.freeze(frozen_factor(recipe.factors, round_number))
        optimizer = new_optimizer(recipe, adapter.parameters, round_number, moments)
        seed, before = self.settings.seed, self._joules()
        figures = train_round(
            adapter,
            self.examples,
            recipe,
            round_number,
            seed=seed,
            padding=self.padding,
            tokens_at_once=self.tokens_at_once,
            optimizer=optimizer,
            interrupted=interrupted,
        )
        self.tokens_at_once = figures.tokens_at_once
        if self.settings.device == "cuda":
            after = self._joules()
            joules = None if before is None or after is None else after - before
            figures = replace(figures, gpu_seconds=figures.train_seconds * self.settings.gpus, gpu_joules=joules)
        moments = moments_of(optimizer) if recipe.optimizer_state == "kept" else None
        del optimizer
        give_back()
        return adapter.change(vector), figures, moments

    def _joules(self) -> float | None:
        """Return what the GPUs have used so far; None if one of them does not count it."""
        counted = [joules for gpu in self.gpus if (joules := gpu.joules()) is not None]
        return sum(counted) if len(counted) == self.settings.gpus else None


class TrainerService(trainer_pb2_grpc.TrainerServicer):
    """The contract of ``trainer.proto``, in front of a `ResidentTrainer`.

    Parameters
    ----------
    trainer : ResidentTrainer
        Who trains.
    policy : Policy
        What may be asked.
    journal : Journal
        What was done; in its folder lies the ledger of what has left.
    pulse : Pulse, optional
        Told of each step, where somebody watches whether the trainer gets on.
    """

    def __init__(self, trainer: ResidentTrainer, policy: Policy, journal: Journal, pulse: Pulse | None = None) -> None:
        self.trainer = trainer
        self.policy = policy
        self.journal = journal
        self.pulse = pulse
        self.protection = Protection(policy, PrivacyLedger(journal.directory))
        self.refusals = Refusals()
        self.busy = threading.Lock()
        self.places = threading.BoundedSemaphore(PLACES)
        self.described = {policy.recipes[0].sha256: _describe(trainer.adapter)}

    @answering
    def Describe(  # noqa: N802 - this and the next three are named by trainer.proto
        self, request: trainer_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> trainer_pb2.Description:
        """Say what would be trained under a recipe."""
        recipe = self.policy.recipe(request.recipe_sha256)
        described = self.described.get(recipe.sha256)
        if described is None:  # else nobody waits for the round under way, health checks least of all
            with self._turn(context):
                described = self.described[recipe.sha256] = _describe(self.trainer.load(recipe))
        return trainer_pb2.Description(
            spec=described.spec,
            policy_sha256=self.policy.sha256,
            examples=self.trainer.records,
            magnitudes=described.magnitudes if described.HasField("magnitudes") else None,
        )

    @answering
    def Configure(  # noqa: N802
        self, request: trainer_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> trainer_pb2.Configuration:
        """Open an epoch of a run."""
        check_name(request.run, PolicyError)
        recipe = self.policy.recipe(request.recipe_sha256)
        opening = Opening(recipe.sha256, request.upload_codec, request.broadcast_codec)
        self._allow_codecs(opening)
        with self._turn(context):
            spec = self.trainer.load(recipe).spec
            if request.spec_sha256 != spec.sha256:
                raise WireError(f"spec {request.spec_sha256[:12]} is not this trainer's {spec.sha256[:12]}")
            self.journal.open_epoch(request.run, request.epoch, opening, most_runs=self.policy.most_runs)
        log.info("run %s, epoch %d: open", request.run, request.epoch)
        return trainer_pb2.Configuration(policy_sha256=self.policy.sha256)

    @answering
    def Train(  # noqa: N802
        self, request: trainer_pb2.TrainRequest, context: grpc.ServicerContext
    ) -> trainer_pb2.Update:
        """Train one round."""
        check_name(request.run, PolicyError)  # it goes into logs and metrics
        if not 1 <= request.round <= 2**31:
            raise WireError(f"round {request.round} is not a round")
        watch = Stopwatch()
        watch.enter(Phase.QUEUE)
        with self._turn(context), self.pulse.training() if self.pulse else nullcontext(lambda: None) as step:

            def interrupted() -> bool:
                step()
                return not context.is_active()

            return self._train(request, watch, interrupted)

    @answering
    def Metrics(  # noqa: N802
        self, _request: trainer_pb2.MetricsRequest, _context: grpc.ServicerContext
    ) -> trainer_pb2.MetricsResponse:
        """Say what the trainer takes of its machine; waits for no round."""
        samples = [
            trainer_pb2.MetricSample(name=sample.name, labels=sample.labels, value=sample.value)
            for sample in (*self.trainer.samples(), *self.protection.samples(), *self.refusals.samples())
        ]
        return trainer_pb2.MetricsResponse(samples=samples)

    @contextmanager
    def _turn(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Let one call at a time use the model, and few wait for it: descriptions and metrics find a free worker.

        A round whose caller has left ends at its next step; its successor waits for that.
        """
        remaining = context.time_remaining()
        if remaining is None or remaining > LONGEST_SECONDS:  # of no deadline, gRPC says one in some 200 years
            raise WireError(f"the call has no deadline within {LONGEST_SECONDS:,} s; every call of the trainer has one")
        if not self.places.acquire(blocking=False):
            raise TrainerError(f"the trainer is busy, and {PLACES - 1} calls wait already")
        try:
            if not self.busy.acquire(timeout=remaining):
                raise TrainerError("the trainer is busy with another round")
            try:
                yield
            finally:
                self.busy.release()
        finally:
            self.places.release()

    def _train(
        self, request: trainer_pb2.TrainRequest, watch: Stopwatch, interrupted: Callable[[], bool]
    ) -> trainer_pb2.Update:
        watch.enter(Phase.LOAD)
        opening = self.journal.opening(request.run)
        recipe = self.policy.recipe(opening.recipe_sha256)  # the policy may have changed with a restart
        self._allow_codecs(opening)
        if request.round > recipe.rounds:
            raise PolicyError(f"round {request.round} is beyond the {recipe.rounds} rounds of recipe {recipe.name}")
        spec = self.trainer.load(recipe).spec
        vector, digest = self._incoming(request, spec, opening.broadcast_codec)
        turn = Turn(request.run, request.epoch, request.round, digest)
        before = self.journal.answer_before(turn)
        if before is not None:
            log.info("run %s, round %d: the same again, answered as before", request.run, request.round)
            return trainer_pb2.Update.FromString(before)
        self.protection.check(request.run)
        residue = self._residue(request, spec, opening.upload_codec)
        moments = None
        if recipe.optimizer_state == "kept":
            moments = self.journal.carried("moments", request.run, request.counted)
        delta, figures, moments = self.trainer.train(recipe, vector, request.round, interrupted, moments)
        watch.enter(Phase.ENCODE)
        if figures.examples < self.policy.fewest_examples:
            raise PolicyError(
                f"an update from {figures.examples} records is below the site's {self.policy.fewest_examples}"
            )
        part = spec.trained(recipe.factors, request.round)
        ready = self.protection.apply(spec.cut(delta, part), spec.cut(self.trainer.adapter.held, part) > 0)
        delta = spec.replaced(np.zeros_like(delta), part, ready)  # from here on, nothing knows what was trained
        update = encode(
            spec.cut(delta if residue is None else residue.added_to(delta), part),
            part,
            kind="update",
            run=request.run,
            epoch=request.epoch,
            round_number=request.round,
            examples=self.trainer.records if recipe.weight == "shard" else figures.examples,
            codec=opening.upload_codec,
        )
        left = (
            None
            if residue is None
            else residue.after(
                delta, spec.replaced(np.zeros_like(delta), part, decode(update, part, opening.upload_codec))
            )
        )
        watch.stop()
        self.protection.spend(request.run, request.epoch, request.round)
        answer = trainer_pb2.Update(
            update=trainer_pb2.Adapter(header=update.header.to_json(), blocks=update.blocks),
            figures={**_by_phase(watch, figures), **self.protection.figures(asdict(figures))},
            policy_sha256=self.policy.sha256,
        )
        carried: dict[Carried, bytes | None] = {"moments": moments, self.protection.residue: left}
        for what, content in carried.items():
            if content is not None:
                self.journal.carry(what, request.run, request.round, content, after=request.counted)
        self.journal.record(turn, answer.SerializeToString())
        log.info("run %s, round %d: %s", request.run, request.round, figures)
        return answer

    def _allow_codecs(self, opening: Opening) -> None:
        for codec in (opening.upload_codec, opening.broadcast_codec):
            self.policy.allow_codec(codec)

    def _residue(self, request: trainer_pb2.TrainRequest, spec: AdapterSpec, codec: str) -> Residue | None:
        """Return what earlier updates of the run owe; None of a codec that leaves nothing out."""
        if codec_named(codec).lossless:
            return None
        return Residue(self.journal.carried(self.protection.residue, request.run, request.counted), spec.size)

    def _incoming(self, request: trainer_pb2.TrainRequest, spec: AdapterSpec, codec: str) -> tuple[Vector, str]:
        header = Header.from_json(request.adapter.header)
        check(header, kind="global", run=request.run, epoch=request.epoch, round=request.round)
        vector = decode(Payload(header, tuple(request.adapter.blocks)), spec, codec)
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if norm > self.policy.largest_norm:
            raise WireError(f"the adapter's norm is {norm:.4g}; this site allows {self.policy.largest_norm:.4g}")
        return vector, header.payload_sha256


def _describe(adapter: AdapterModel) -> trainer_pb2.Description:
    """Return what is the adapter's own of a description."""
    described, part = trainer_pb2.Description(spec=adapter.spec.to_json()), adapter.spec.magnitudes
    if part is not None and adapter.magnitudes is not None:
        told = encode(adapter.magnitudes, part, kind="magnitudes", run="", epoch=0, round_number=0)
        described.magnitudes.CopyFrom(trainer_pb2.Adapter(header=told.header.to_json(), blocks=told.blocks))
    return described


def _by_phase(watch: Stopwatch, figures: RoundFigures) -> dict[str, float]:
    """Return the seconds of a round but for the training, which `figures` has: all before the encoding is loading.

    Writing the answer down comes after that and is in no phase of the site's.
    """
    queue, load, encoding = (watch.seconds[phase] for phase in (Phase.QUEUE, Phase.LOAD, Phase.ENCODE))
    return {
        figure(Phase.QUEUE): queue,
        figure(Phase.LOAD): load - figures.train_seconds,
        figure(Phase.ENCODE): encoding,
    }


def _largest_request(settings: TrainerSettings, base: BaseModel) -> int:
    """Return from how many bytes on gRPC refuses a message unread: twice the largest adapter and 1 MiB.

    What is longer than its adapter, but not by so much, is read and refused by name.
    """
    sizes = (sum(one.size for one in adapter_tensors(base, recipe)) for recipe in settings.policy.recipes)
    return min(LARGEST_MESSAGE, 2 * max(sizes) * np.dtype(np.float32).itemsize + 2**20)


def serve(settings: TrainerSettings, pulse: Pulse) -> grpc.Server:
    """Load everything, then listen on the socket that `settings` names; return the running server, which tells `pulse`.

    The socket appears last: whoever can reach it reaches a trainer that is ready.

    Raises
    ------
    ShardError, BaseModelError
        If shard or base model cannot be used.
    TrainerError
        If the state folder or the socket cannot.
    """
    journal = Journal(settings.state)
    trainer = ResidentTrainer(settings)
    journal.check_room(trainer.adapter.spec.bytes)
    service = TrainerService(trainer, settings.policy, journal, pulse)
    size = [
        ("grpc.max_send_message_length", LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", _largest_request(settings, trainer.base)),
    ]
    server = grpc.server(ThreadPoolExecutor(max_workers=PLACES + 2), options=size)
    trainer_pb2_grpc.add_TrainerServicer_to_server(service, server)
    try:
        server.add_insecure_port(f"unix:{settings.socket}")  # gRPC takes the place of one that a crash left behind
    except RuntimeError as error:
        raise TrainerError(f"the trainer cannot listen at {settings.socket}: {error}") from error
    server.start()
    return server
