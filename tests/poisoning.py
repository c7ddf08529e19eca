"""A small federation that learns by LoRA, with attackers among its sites: what each strategy makes of their updates.

The problem is a real one of its kind: two linear layers whose weights are off by a matrix of rank 4 each, which an
adapter of rank 4 is to learn from noisy examples. Each site has inputs and a truth that differ a little from the
others'. Its training is gradient descent on A and B, written out in numpy; the first adapter, messages, strategies and
screening are the coordinator's own.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

import fedlora
from fedlora.errors import AggregationError, ParticipationError, RunError, WireError
from fedlora.wire import AdapterSpec, TensorSpec, check, decode, encode
from superlink.initialisation import initial_adapter
from superlink.screening import Screening, outlying
from superlink.strategies import new_strategy

SITES, RANK, INPUTS, OUTPUTS = 8, 4, 12, 16
LAYERS = ("layers.0.q_proj", "layers.1.q_proj")
RECORDS, HELD_OUT = 128, 512
ROUNDS, STEPS, BATCH, RATE = 30, 5, 32, 0.02
HETEROGENEITY, NOISE = 0.5, 0.5
STALE = 5  # rounds that a stale update is behind
FACTORS = {"ffa-lora": "b", "rolora": "alternating"}
PROXIMAL = {"fedprox": 0.1}
# Where an option says how many attackers there may be: two of eight, the most that Krum's rule allows.
OPTIONS: Mapping[str, Mapping[str, float]] = {
    "fedavgm": {"server-learning-rate": 0.3, "server-momentum": 0.7},
    "fedadam": {"server-learning-rate": 0.03},
    "fedyogi": {"server-learning-rate": 0.03},
    "fedadagrad": {"server-learning-rate": 0.1},
    "trimmed-mean": {"trim": 0.25},
    "krum": {"byzantine": 2},
    "multi-krum": {"byzantine": 2},
}
SPEC = AdapterSpec(
    *(fedlora.__version__, "synthetic", "t" * 64, "b" * 64, "code/synthetic", "r" * 64, "lora", 8),
    tuple(
        TensorSpec(f"{layer}.lora_{factor}.weight", shape)
        for layer in LAYERS
        for factor, shape in (("A", (RANK, INPUTS)), ("B", (OUTPUTS, RANK)))
    ),
)
SCALE = 8 / RANK  # alpha over the rank


@dataclass
class Problem:
    """What the sites hold, and what is held out."""

    seed: int
    inputs: np.ndarray = field(init=False)  # (layer, site, record, input)
    targets: np.ndarray = field(init=False)  # (layer, site, record, output)
    weights: list[int] = field(init=False)
    held_out: tuple[np.ndarray, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(self.seed).normal
        truth = draw(size=(2, OUTPUTS, RANK)) @ draw(size=(2, RANK, INPUTS)) / np.sqrt(RANK * INPUTS)
        own = draw(size=(2, SITES, OUTPUTS, 1)) @ draw(size=(2, SITES, 1, INPUTS)) / np.sqrt(INPUTS)
        spread = np.exp(0.3 * draw(size=(2, SITES, 1, INPUTS)))  # each site's inputs have scales of their own
        self.inputs = spread * draw(size=(2, SITES, RECORDS, INPUTS))
        clean = self.inputs @ np.swapaxes(truth[:, None] + HETEROGENEITY * own, 2, 3)
        self.targets = clean + NOISE * draw(size=clean.shape)
        self.weights = [int(weight) for weight in np.random.default_rng(self.seed).integers(64, 512, SITES)]
        fresh = draw(size=(2, HELD_OUT, INPUTS))
        self.held_out = fresh, fresh @ np.swapaxes(truth, 1, 2)

    def loss(self, adapter: np.ndarray) -> float:
        """Return the mean squared error on what no site holds."""
        a, b = factors(adapter[None])
        fresh, targets = self.held_out
        return float(np.mean((SCALE * fresh @ np.swapaxes(a[0], 1, 2) @ np.swapaxes(b[0], 1, 2) - targets) ** 2))

    def train(self, adapters: np.ndarray, number: int, trained: str, proximal: float) -> np.ndarray:
        """Return what each site's training changes of the adapter that it begins with, of shape (site, value)."""
        a, b = (np.swapaxes(factor, 0, 1).copy() for factor in factors(adapters))  # (layer, site, ...)
        first_a, first_b = a.copy(), b.copy()
        for step in range(STEPS):
            at = np.arange((number * STEPS + step) * BATCH, (number * STEPS + step + 1) * BATCH) % RECORDS
            x, y = self.inputs[:, :, at], self.targets[:, :, at]
            hidden = x @ np.swapaxes(a, 2, 3)
            error = (SCALE * hidden @ np.swapaxes(b, 2, 3) - y) / BATCH
            slope_b = SCALE * np.swapaxes(error, 2, 3) @ hidden + proximal * (b - first_b)
            slope_a = SCALE * np.swapaxes(error @ b, 2, 3) @ x + proximal * (a - first_a)
            if trained in ("both", "b"):
                b -= RATE * slope_b
            if trained in ("both", "a"):
                a -= RATE * slope_a
        return flat(np.swapaxes(a - first_a, 0, 1), np.swapaxes(b - first_b, 0, 1))


def factors(adapters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B of adapters of shape (site, value), each of shape (site, layer, rows, columns)."""
    parts = np.split(adapters.astype(np.float64), np.cumsum([tensor.size for tensor in SPEC.tensors])[:-1], axis=1)
    shaped = [part.reshape(-1, *tensor.shape) for part, tensor in zip(parts, SPEC.tensors, strict=True)]
    return np.stack(shaped[0::2], axis=1), np.stack(shaped[1::2], axis=1)


def flat(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return factors of shape (site, layer, rows, columns) as vectors of shape (site, value)."""
    ordered = [factor[:, layer].reshape(len(factor), -1) for layer in range(len(LAYERS)) for factor in (a, b)]
    return np.concatenate(ordered, axis=1).astype(np.float32)


@dataclass
class Scene:
    """What the attackers know in a round: everything."""

    honest: np.ndarray  # what all sites, attackers included, would send if they were honest: (site, value)
    attackers: range
    stale: np.ndarray  # the same of an adapter of five rounds before
    first: np.ndarray  # what they would have sent in the first round that trained the same factors
    draw: np.random.Generator

    @property
    def others(self) -> np.ndarray:
        """What the honest sites send."""
        return self.honest[: self.attackers.start]


def _random(scene: Scene) -> np.ndarray:
    noise = scene.draw.normal(size=scene.honest.shape)
    lengths = np.linalg.norm(scene.honest, axis=1) / np.linalg.norm(noise, axis=1)
    return 10 * lengths[:, None] * noise


def _as_all(vector: np.ndarray) -> np.ndarray:
    return np.broadcast_to(vector, (SITES, vector.size))


# What all sites would send as attackers; of it, the attackers' rows are sent.
ATTACKS: Mapping[str, Callable[[Scene], np.ndarray]] = {
    "sign-flipped": lambda scene: -scene.honest,
    "scaled": lambda scene: 10 * scene.honest,
    "flipped, scaled": lambda scene: -10 * scene.honest,
    "random": _random,
    "replayed": lambda scene: scene.first,
    "stale": lambda scene: scene.stale,
    "swapped": lambda scene: _as_all(scene.honest[0]),
    "overclaimed": lambda scene: -scene.honest,
    "a little": lambda scene: _as_all(scene.others.mean(axis=0) - 1.5 * scene.others.std(axis=0)),
    "inner product": lambda scene: _as_all(-0.5 * scene.others.mean(axis=0)),
    "inner product, long": lambda scene: _as_all(-10 * scene.others.mean(axis=0)),
}
CLAIMED = {"overclaimed": 100}  # by how much an attacker multiplies its records


@dataclass
class Outcome:
    """What became of a federation.

    Attributes
    ----------
    losses : list of float
        On what is held out, before the first round and after each.
    longest : float
        Norm of the longest update that was sent.
    refused : dict
        Updates that were refused, of attackers (True) and of others (False).
    words : dict
        Updates that were outliers, by whether an attacker sent them, and by what.
    sent : dict
        Updates that were sent, likewise.
    """

    losses: list[float]
    longest: float = 0.0
    refused: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    words: dict[tuple[bool, str], int] = field(default_factory=dict)
    sent: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})


@np.errstate(over="ignore", invalid="ignore")  # some attacks drive training to where numbers end
def federation(
    name: str, attack: str, attackers: int, seed: int, *, largest_norm: float = 0.0, screened: bool = True
) -> Outcome:
    """Run a federation of eight sites under strategy `name`, of which the last `attackers` attack from round 1 on.

    Without `screened`, updates are not looked at beside each other, which says nothing of the strategy and takes time.
    """
    problem, strategy = Problem(seed), new_strategy(name, OPTIONS.get(name, {}), "lora")
    adapter = initial_adapter(SPEC, seed)
    outcome, history, first = Outcome([problem.loss(adapter)]), [adapter], {}
    bad, draw = range(SITES - attackers, SITES), np.random.default_rng(1000 + seed)
    weights = list(problem.weights)
    for site in bad:
        weights[site] *= CLAIMED.get(attack, 1)
    for number in range(1, ROUNDS + 1):
        part = SPEC.trained(FACTORS.get(name, "both"), number)
        trained = {len(SPEC.tensors): "both"}.get(len(part.tensors), "a" if ".lora_A." in part.tensors[0].name else "b")

        def train(start: np.ndarray, number: int = number, trained: str = trained) -> np.ndarray:
            return problem.train(np.tile(start, (SITES, 1)), number, trained, PROXIMAL.get(name, 0.0))

        honest = train(adapter)
        first.setdefault(trained, honest)
        updates = honest.copy()
        if attackers:
            stale = train(history[max(0, len(history) - 1 - STALE)]) if attack == "stale" else honest
            scene = Scene(honest, bad, stale, first[trained], draw)
            updates[bad.start :] = ATTACKS[attack](scene)[bad.start :]
        try:
            adapter = _round(strategy, number, adapter, updates, weights, part, bad, largest_norm, screened, outcome)
        except RunError:  # the run would end here
            outcome.losses.append(np.inf)
            return outcome
        history.append(adapter)
        outcome.losses.append(problem.loss(adapter))
    return outcome


def _round(strategy, number, adapter, updates, weights, part, bad, largest_norm, screened, outcome) -> np.ndarray:
    """Send, check, screen and merge a round's updates as `superlink.rounds` does; return the adapter after it."""
    about = {"kind": "update", "run": "attacked", "epoch": 1}
    collected, screening = strategy.begin(part.size, SITES), Screening(part.size, largest_norm)
    taken = sum(outcome.sent.values()) - sum(outcome.refused.values())
    for site in range(SITES):
        outcome.sent[site in bad] += 1
        try:
            sent = encode(SPEC.cut(updates[site], part), part, round_number=number, examples=weights[site], **about)
            check(sent.header, round=number, **about)
            update = decode(sent, part)
            outcome.longest = max(outcome.longest, float(np.linalg.norm(update.astype(np.float64))))
            if screened:
                screening.take(str(site), update)
        except WireError:  # too long, or training has gone to where numbers end
            outcome.refused[site in bad] += 1
            collected.miss(site)
        else:
            collected.add(site, update, weights[site])
    if sum(outcome.sent.values()) - sum(outcome.refused.values()) == taken:
        raise ParticipationError("no update is left")
    for site, found in screening.findings().items():
        for word in outlying(found):
            key = int(site) in bad, word
            outcome.words[key] = outcome.words.get(key, 0) + 1
    merged = strategy.merge(SPEC.cut(adapter, part), collected, part)
    if not np.isfinite(merged).all():
        raise AggregationError("values that are not finite")
    return SPEC.replaced(adapter, part, merged)


def kept(undisturbed: Outcome, attacked: Outcome) -> float:
    """Return the share of what the undisturbed federation gained that is left, in percent; not below -100.

    100 is as good as without attackers, 0 as if nothing had been trained.
    """
    start, best, last = undisturbed.losses[0], undisturbed.losses[-1], attacked.losses[-1]
    return max(-100.0, 100 * (start - last) / (start - best)) if np.isfinite(last) else -100.0


def as_dict(outcome: Outcome) -> dict[str, object]:
    """Return the outcome's figures."""
    return dataclasses.asdict(outcome)
