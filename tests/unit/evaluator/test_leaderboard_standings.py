"""What follows from entries: means, ranks, Pareto fronts, tests of pairs, the benchmark's rules, published rows."""

import dataclasses
import itertools
import math
import random

import pytest
from leaderboard_entries import Desk, figures, finance, make_answers

from evaluator.leaderboard.columns import BOARDS, TASKS, mean
from evaluator.leaderboard.comparison import Paired, compare, solved, solved_by_group
from evaluator.leaderboard.published import published_rows
from evaluator.leaderboard.rules import DOMAIN_RULES, Outcome, rulings
from evaluator.leaderboard.standings import Entry, combined, front, open_entries, standings
from evaluator.leaderboard.verification import verify
from evaluator.results.answer import Answer
from evaluator.results.score import mcnemar, score, share, sign_test
from fedlora.errors import EntryError

FINANCE = BOARDS["finance"]
EVERYTHING = {(task, "flowertune"): (40, 0.5) for task in TASKS}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def entries(desk):
    desk.entry("good", finance(accuracy=0.9))
    desk.entry("bad", finance(accuracy=0.2), seed=1)
    desk.entry("partial", {("fpb", "flowertune"): (40, 0.9)}, seed=2)
    desk.entry("everywhere", {**EVERYTHING, **finance(scoring="likelihood")}, seed=3)
    return open_entries([desk.folder / "entries"])


def titles(rows):
    return [row.entry.manifest.title for row in rows if row.entry]


def test_a_mean_is_plain_and_needs_every_column():
    shares = [share(30, 100), share(10, 20), share(7, 1000)]
    found = mean(shares)
    assert found.value == pytest.approx((0.3 + 0.5 + 0.007) / 3)
    assert found.n == 1120
    assert mean([*shares, None]) is None
    assert mean([]) is None
    assert mean([share(3, 10)]) == share(3, 10)


def test_the_interval_of_a_mean_covers_as_often_as_it_says():
    dice = random.Random(1)
    truth, sizes, covered, trials = (0.1, 0.5, 0.8), (60, 200, 500), 0, 2000
    for _ in range(trials):
        found = mean([share(sum(dice.random() < p for _ in range(n)), n) for p, n in zip(truth, sizes, strict=True)])
        covered += found.low <= sum(truth) / 3 <= found.high
    assert 0.935 < covered / trials < 0.965


def test_a_board_is_in_the_order_of_its_means(entries):
    rows = standings(FINANCE, "flowertune", entries)
    assert titles(rows) == ["good", "everywhere", "bad", "partial"]
    assert {row.entry.manifest.title: row.rank for row in rows if row.entry} == {
        "good": 1, "everywhere": 2, "bad": 3, "partial": 0
    }  # fmt: skip
    values = [row.mean.value for row in rows if row.mean]
    assert values == sorted(values, reverse=True)
    assert rows[-1].mean is None
    good = rows[titles_at(rows, "good")]
    assert good.mean == mean(good.columns)
    assert good.base.value == pytest.approx(mean(good.entry.shares(FINANCE, "flowertune", "base")).value)
    assert titles(standings(FINANCE, "likelihood", entries)) == ["everywhere"]
    assert titles(standings(BOARDS["code"], "flowertune", entries)) == ["everywhere"]


def titles_at(rows, title):
    return next(at for at, row in enumerate(rows) if row.entry and row.entry.manifest.title == title)


def test_equal_means_share_a_rank(desk, tmp_path):
    desk = Desk(tmp_path)
    for name in ("a", "b", "c"):
        desk.entry(name, finance(accuracy=0.9 if name != "c" else 0.1))
    rows = standings(FINANCE, "flowertune", open_entries([tmp_path / "entries"]))
    assert sorted((row.rank, row.entry.manifest.title) for row in rows if row.entry) == [(1, "a"), (1, "b"), (3, "c")]


def test_the_combined_board_ranks_what_is_scored_everywhere(entries):
    rows = combined("flowertune", entries)
    assert {row.entry.manifest.title: row.rank for row in rows} == {"everywhere": 1, "good": 0, "bad": 0}
    assert len(rows[0].columns) == 4
    assert rows[0].mean.value == pytest.approx(sum(one.value for one in rows[0].columns) / 4)
    assert combined("likelihood", entries)[0].mean is None


def test_mmlus_fourth_group_is_in_no_mean(entries):
    one = next(entry for entry in entries if entry.manifest.title == "everywhere")
    stated = one.manifest.by_task("adapted", "flowertune")["mmlu"]
    assert stated.groups.keys() == {"stem", "social-sciences", "humanities", "other"}
    assert one.shares(BOARDS["general-nlp"], "flowertune") == tuple(
        stated.groups[name] for name in ("stem", "social-sciences", "humanities")
    )


def test_entries_are_named_once_and_must_hold(desk, entries, tmp_path):
    entry = desk.folder / "entries" / "good"
    with pytest.raises(EntryError, match="name each once"):
        open_entries([desk.folder / "entries", entry])
    with pytest.raises(EntryError, match="is no entry and holds none"):
        open_entries([tmp_path])
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "manifest.json").write_text("{}")
    with pytest.raises(EntryError, match="does not hold"):
        open_entries([tmp_path])


def beaten(point, points):
    return any(other[0] <= point[0] and other[1] >= point[1] and other != point for other in points)


def test_a_front_is_what_nothing_beats():
    dice = random.Random(0)
    for _ in range(300):
        points = [(dice.randrange(6), dice.randrange(6)) for _ in range(dice.randrange(1, 9))]
        found = front(points)
        assert sorted(found) == [at for at, point in enumerate(points) if not beaten(point, points)]
        assert [points[at][0] for at in found] == sorted(points[at][0] for at in found)


def test_pairs_are_tested_as_mcnemar_says():
    first, second = (make_answers("mmlu", "flowertune", 200, accuracy, seed) for accuracy, seed in ((0.5, 1), (0.6, 2)))
    right = [{one.id for one in answers if one.correct} for answers in (first, second)]
    expected = Paired(200, len(right[0] - right[1]), len(right[1] - right[0]), mcnemar(first, second))
    assert compare(solved(first), solved(second[::-1])) == expected
    groups = [solved_by_group(answers) for answers in (first, second)]
    assert sum(compare(*(one[name] for one in groups)).first_only for name in groups[0] if name) == expected.first_only
    assert compare(solved(first), solved(second[1:])) is None
    assert compare(solved(first), None) is None


def test_samples_of_an_item_are_told_apart():
    twice = [Answer("a", sample=at, chosen="passed", correct=bool(at)) for at in range(2)]
    other = [dataclasses.replace(one, correct=not one.correct) for one in twice]
    assert compare(solved(twice), solved(other)) == Paired(2, 1, 1, 1.0)
    assert compare(solved(twice), solved([Answer("a"), Answer("b")])) is None


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (3, 17), (400, 460), (2100, 1900)])
def test_the_sign_test_is_twice_the_smaller_tail(first, second):
    n = first + second
    tail = sum(math.comb(n, k) for k in range(min(first, second) + 1))
    assert sign_test(first, second) == min(1.0, 2 * tail / 2**n)
    assert sign_test(first, second) == sign_test(second, first)


def outcomes(manifest):
    return {one.rule: one.outcome.value for one in rulings(manifest)}


@pytest.fixture(scope="module")
def manifest(entries):
    return next(entry.manifest for entry in entries if entry.manifest.title == "good")


def changed(manifest, **run):
    return dataclasses.replace(manifest, run=figures(**run))


def test_what_nobody_has_told_is_unknown(manifest):
    nothing = dataclasses.replace(manifest, run=None)
    assert outcomes(nothing) == {
        "communication": "unknown",
        "clients": "unknown",
        "sampled fraction": "unknown",
        "training data": "unknown",
        "precision of scoring": "kept",
        "test sets": "broken",  # 40 items a task
    }


@pytest.mark.parametrize(
    ("run", "rule", "outcome"),
    [
        ({"payload_bytes": 200_000 * 2**20}, "communication", "kept"),
        ({"payload_bytes": 200_000 * 2**20 + 1}, "communication", "broken"),
        ({"payload_bytes": None}, "communication", "unknown"),
        ({"payload_bytes": 0}, "communication", "kept"),
        ({"clients": 50}, "clients", "kept"),
        ({"clients": 20}, "clients", "broken"),
        ({"fraction": 0.1}, "sampled fraction", "kept"),
        ({"fraction": 0.2}, "sampled fraction", "differs"),
    ],
)
def test_rules_of_the_run(manifest, run, rule, outcome):
    assert outcomes(changed(manifest, **run))[rule] == outcome


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        ((), "unknown"),
        (("flwrlabs/fingpt-sentiment-train",), "kept"),
        (("FinGPT/fingpt-sentiment-train",), "kept"),
        (("flwrlabs/fingpt-sentiment-train", "mine"), "broken"),
        (("flwrlabs/alpaca-gpt4",), "broken"),
    ],
)
def test_the_rule_of_the_data(manifest, data, outcome):
    assert outcomes(dataclasses.replace(manifest, data=data))["training data"] == outcome


@pytest.mark.parametrize(
    ("domain", "precision", "outcome"),
    [("finance", "nf4", "kept"), ("finance", "bf16", "broken"), ("medical", "", "unknown"), ("code", "fp32", "kept")],
)
def test_the_rule_of_the_precision(manifest, domain, precision, outcome):
    scored = dataclasses.replace(manifest.adapted, precision=precision)
    one = dataclasses.replace(manifest, domain=domain, evaluations={"adapted": scored, "base": scored})
    assert outcomes(one)["precision of scoring"] == outcome


def test_the_rule_of_the_test_sets(manifest):
    scores = tuple(
        score(column.task, "flowertune", make_answers(column.task, "flowertune", column.items, 0.5, 0))
        for column in FINANCE.columns
    )
    whole = dataclasses.replace(manifest, scores={"adapted": scores, "base": scores})
    assert outcomes(whole)["test sets"] == "kept"
    less = dataclasses.replace(manifest, scores={"adapted": scores[1:], "base": scores[1:]})
    ruling = rulings(less)[-1]
    assert (ruling.outcome, ruling.found) == (Outcome.BROKEN, "FPB 0 of 1,212")


def test_breaches_are_counted_and_differences_are_not(entries):
    one = next(entry for entry in entries if entry.manifest.title == "good")
    other = changed(one.manifest, clients=20, fraction=0.5)
    assert one.broken == 1
    assert dataclasses.replace(one, manifest=other, rulings=rulings(other)).broken == 2


def test_every_domain_has_its_rules():
    assert {name: (one.clients, one.fraction) for name, one in DOMAIN_RULES.items()} == {
        "general-nlp": (20, 0.1), "finance": (50, 0.1), "medical": (20, 0.1), "code": (10, 0.2)
    }  # fmt: skip
    assert set(DOMAIN_RULES) == set(BOARDS)


def test_what_is_not_told_of_an_entry_is_none(entries):
    one = entries[0]
    told = [dataclasses.replace(one, manifest=dataclasses.replace(one.manifest, run=run)) for run in (
        None, figures(payload_bytes=None, resident_bytes=None), figures(), figures(gpu_peak_bytes=3 * 2**20)
    )]  # fmt: skip
    assert [entry.mib for entry in told] == [None, None, 52.0, 52.0]
    assert [entry.memory for entry in told] == [None, None, (900.0, "resident"), (3.0, "GPU peak")]


def test_an_entry_is_what_was_verified(desk, entries):
    found = verify(desk.folder / "entries" / "good")
    assert Entry(found.id, found.key_sha256, found.manifest, found.solved, rulings(found.manifest)) in entries


def test_published_averages_are_those_of_their_columns():
    rows = published_rows()
    assert len(rows) == 63
    for row in rows:
        if row.scores:
            assert set(row.scores) == {column.title for column in BOARDS[row.domain].columns}
            assert row.average == pytest.approx(sum(row.scores.values()) / len(row.scores), abs=0.0101), row
        assert (row.communication is None) == (row.unit == "")


def test_published_rows_stand_as_the_sources_have_them():
    by_domain = {name: [row for row in published_rows() if row.domain == name] for name in BOARDS}
    assert {name: len(rows) for name, rows in by_domain.items()} == {
        "general-nlp": 20, "finance": 8, "medical": 22, "code": 13
    }  # fmt: skip
    for name in ("general-nlp", "medical"):
        own = [row.average for row in by_domain[name] if row.tag == "board"]
        assert own == sorted(own, reverse=True)
    first, small = by_domain["general-nlp"][0], by_domain["general-nlp"][13]
    assert (first.team, first.average, first.mib) == ("ZeroOne.AI", 69.25, 2.9 * 1024)
    assert (small.base_model, small.scores["STEM"], small.date) == ("SmolLM2-135M-Instruct", 18.68, "2025-04-14")
    megabytes = next(row for row in by_domain["code"] if row.base_model == "Phi-4-mini-instruct")
    assert megabytes.mib == 3656.88


def test_published_rows_have_no_rank_and_no_interval(entries):
    rows = [row for row in standings(FINANCE, "flowertune", entries) if row.published]
    assert len(rows) == 8
    for row in rows:
        assert (row.rank, row.mean.n) == (0, 0)
        assert row.mean.low == row.mean.value == row.mean.high


def test_finance_shares_are_fractions_of_the_whole_sets():
    for row, column in itertools.product(published_rows(), FINANCE.columns):
        if row.domain == "finance" and row.team not in ("Baseline", "ZJUDAI"):
            hits = row.scores[column.title] / 100 * column.items
            assert abs(hits - round(hits)) <= 0.01 * column.items / 100, (row, column)  # rounded, or cut off
