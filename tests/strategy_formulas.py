"""The papers' formulas, one round each, in loops and full matrices: what strategies are held to, written without them.

Each takes x (the adapter's values before the round), n (weights), d (updates, one a row), o (the strategy's options)
and s, a state of its own, and returns the values after the round.
"""

from fractions import Fraction

import numpy as np

from fedlora.wire import AdapterSpec


def mean(n, d):
    return sum(n_k * d_k.astype(np.float64) for n_k, d_k in zip(n, d, strict=True)) / sum(n)


def fedavg(x, n, d, o, s):
    """McMahan et al. 2017, algorithm 1: the next w is the sum of n_k / n w_k."""
    return sum(n_k / sum(n) * (x.astype(np.float64) + d_k) for n_k, d_k in zip(n, d, strict=True))


def fedavgm(x, n, d, o, s):
    """Hsu et al. 2019: v is beta v + dw, and w moves by v; here at a rate, and an update is minus their dw."""
    s["v"] = o["server-momentum"] * s.get("v", 0) + mean(n, d)
    return x + o["server-learning-rate"] * s["v"]


def adaptive(second):
    """Reddi et al. 2021, algorithm 2, where v begins at tau^2; `second` is its lines 10 to 12."""

    def step(x, n, d, o, s):
        tau, beta, delta = o["server-adaptivity"], o["server-momentum"], mean(n, d)
        s["m"] = beta * s.get("m", 0) + (1 - beta) * delta
        s["v"] = second(s.get("v", np.full(len(x), tau**2)), delta, o)
        return x + o["server-learning-rate"] * s["m"] / (np.sqrt(s["v"]) + tau)

    return step


def adam(v, delta, o):
    return o["server-beta-2"] * v + (1 - o["server-beta-2"]) * delta**2


def yogi(v, delta, o):
    return v - (1 - o["server-beta-2"]) * delta**2 * np.sign(v - delta**2)


def adagrad(v, delta, o):
    return v + delta**2


def fedmedian(x, n, d, o, s):
    """Yin et al. 2018, definition 1."""
    columns, half = [sorted(column) for column in d.T.astype(np.float64)], len(d) // 2
    return x + np.array([(column[(len(d) - 1) // 2] + column[half]) / 2 for column in columns])


def trimmed_mean(x, n, d, o, s):
    """Yin et al. 2018, definition 2."""
    cut = int(Fraction(str(o["trim"])) * len(d))
    kept = [sorted(column)[cut : len(d) - cut] for column in d.T.astype(np.float64)]
    return x + np.array([sum(column) / len(column) for column in kept])


def krum_scores(d, byzantine):
    """Blanchard et al. 2017, section 4."""
    found = []
    for i, one in enumerate(d.astype(np.float64)):
        distances = sorted(((one - other) ** 2).sum() for j, other in enumerate(d.astype(np.float64)) if j != i)
        found.append(sum(distances[: len(d) - byzantine - 2]))
    return found


def krum(x, n, d, o, s):
    found = krum_scores(d, o["byzantine"])
    return x + d[found.index(min(found))]


def multi_krum(x, n, d, o, s):
    found = krum_scores(d, o["byzantine"])
    best = sorted(range(len(d)), key=lambda i: found[i])[: o["selected"]]
    return x + sum(d[i].astype(np.float64) for i in best) / len(best)


def modules(spec: AdapterSpec, vector):
    """Yield A and B of each module."""
    views = dict(spec.views(vector))
    for name in views:
        if ".lora_A." in name:
            yield views[name], views[name.replace("lora_A", "lora_B")]


def products(spec: AdapterSpec, vector):
    """Return B A of each module."""
    return [b @ a for a, b in modules(spec, vector.astype(np.float64))]


def flexlora(spec: AdapterSpec):
    """Bai et al. 2024: the mean of the sites' full products, brought to the rank.

    The nearest matrix of a rank is the projection onto the first left singular vectors (Eckart and Young 1936), and
    these are eigenvectors of M M^T. Only the products mean something: factors have no basis of their own.
    """

    def step(x, n, d, o, s):
        new = x.astype(np.float64)
        own = [products(spec, x + d_k) for d_k in d.astype(np.float64)]
        for at, (a, b) in enumerate(modules(spec, new)):
            whole = sum(n_k / sum(n) * of_site[at] for n_k, of_site in zip(n, own, strict=True))
            b[:] = np.linalg.eigh(whole @ whole.T)[1][:, -len(a) :]
            a[:] = b.T @ whole
        return new

    return step


def formulas(spec: AdapterSpec):
    """Return each strategy's formula by its name."""
    return {
        "fedavg": fedavg,
        "fedprox": fedavg,
        "fedavgm": fedavgm,
        "fedadam": adaptive(adam),
        "fedyogi": adaptive(yogi),
        "fedadagrad": adaptive(adagrad),
        "fedmedian": fedmedian,
        "trimmed-mean": trimmed_mean,
        "krum": krum,
        "multi-krum": multi_krum,
        "ffa-lora": fedavg,
        "rolora": fedavg,
        "flexlora": flexlora(spec),
    }
