"""The pictures of scores that `fedlora run show --plots` adds where rounds were scored."""

import json
import math
from dataclasses import asdict

import pytest
from matplotlib.collections import LineCollection, QuadMesh

from evaluator.results.evaluation import EVALUATION, Evaluation
from evaluator.results.score import TaskScore, share
from fedlora.cli.run.plots import Run
from fedlora.cli.run.score_plots import Scored, draw_domains, draw_scores, read_scored, score_pictures
from fedlora.config import keyed
from superlink.ledger import Ledger, RoundRow, TurnRow

RUN = Run(
    "tweets",
    ("a",),
    [RoundRow(k, 1, 0, 9, "aggregated") for k in range(1, 5)],
    [TurnRow(k, 1, "a", "answered", loss=1.0, bytes_down=1, bytes_up=1) for k in range(1, 5)],
)


def scored(task, hits, n=100, scoring="likelihood", items="i" * 64, **groups):
    parts = {name.replace("_", "-"): share(right, 100) for name, right in groups.items()}
    return {(task, scoring): TaskScore(task, scoring, share(hits, n), 0.0, 0, items, parts)}


def three(tfns, fpb, fiqa, **changes):
    return scored("tfns", tfns, **changes) | scored("fpb", fpb, **changes) | scored("fiqa", fiqa, **changes)


def heights(axes):
    """The points of each line by its name, and the heights of the dashed ones."""
    named = {bar.get_label(): bar.lines[0] for bar in axes.containers}
    lines = {name: [tuple(point) for point in line.get_xydata().tolist()] for name, line in named.items()}
    dashed = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    return lines, dashed


def cells(figure):
    """What is written in the grid: by the row's name and the round's, text and weight."""
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    rounds = [label.get_text() for label in axes.get_xticklabels()]
    found = {}
    for text in axes.texts:
        place, row = (round(one) for one in text.get_position())
        found[rows[row], rounds[place]] = text.get_text(), text.get_fontweight()
    return found


def test_a_line_a_benchmark_with_its_interval_and_the_base_model_dashed():
    rounds = {2: scored("tfns", 40) | scored("tfns", 10, scoring="flowertune"), 4: scored("tfns", 60, n=200)}
    figure = draw_scores(RUN, Scored("finance", scored("tfns", 30), rounds))
    generated, likely = figure.axes
    assert [axes.get_title() for axes in figure.axes] == [
        "finance, scoring: flowertune", "finance, scoring: likelihood"
    ]  # fmt: skip
    assert heights(generated) == ({"TFNS, n = 100": [(2, 10.0)]}, [])  # the base model has no such score
    lines, (base,) = heights(likely)
    assert lines == {"TFNS, n = 100 to 200": [(2, 40.0), (4, 30.0)]}
    assert base == pytest.approx(30)
    (reach,) = [one for one in likely.collections if isinstance(one, LineCollection)]
    ends = [[float(end) for _, end in segment] for segment in reach.get_segments()]
    expected = [share(40, 100), share(60, 200)]
    assert ends == [pytest.approx([100 * one.low, 100 * one.high]) for one in expected]
    assert likely.get_ylim()[1] > 100 * expected[0].high
    assert generated.get_ylim()[0] == 0


def test_mmlu_has_its_groups_of_which_the_fourth_is_in_no_mean():
    groups = {"stem": 20, "social_sciences": 30, "humanities": 40}
    base = scored("mmlu", 95, **groups, other=95)
    after = scored("mmlu", 5, **{name: hits + 6 for name, hits in groups.items()}, other=5)
    of = Scored("general-nlp", base, {4: after})
    lines, _ = heights(draw_scores(RUN, of).axes[0])
    assert list(lines) == [
        "STEM, n = 100", "Social sciences, n = 100", "Humanities, n = 100", "MMLU, other subjects, n = 100"
    ]  # fmt: skip
    (gains,) = of.domains.values()
    assert (gains[4].n, gains[4].value) == (300, pytest.approx(0.06))


def test_a_cell_is_the_mean_gain_of_a_domains_columns():
    base = three(30, 30, 30) | scored("medqa", 40)
    rounds = {2: three(31, 32, 33) | scored("medqa", 20), 4: three(60, 70, 80) | scored("medqa", 39)}
    figure = draw_domains(RUN, Scored("finance", base, rounds))
    finance, medical = "finance, trained: likelihood\n3 of 3 columns, n = 300", "medical: likelihood\n1 of 4 columns"
    assert cells(figure) == {
        (finance, "2"): ("+2.0", "normal"),
        (finance, "4"): ("+40.0", "bold"),
        (f"{medical}, n = 100", "2"): ("-20.0", "bold"),
        (f"{medical}, n = 100", "4"): ("-1.0", "normal"),
    }
    (mesh,) = (one for one in figure.axes[0].collections if isinstance(one, QuadMesh))
    assert mesh.get_array().tolist() == [pytest.approx([2, 40]), pytest.approx([-20, -1])]
    assert mesh.get_clim() == (pytest.approx(-40), pytest.approx(40))  # nothing gained is white


def test_the_interval_of_a_gain_is_that_of_a_difference_of_two_shares():
    """Of independent shares: from each limit the distance to the estimate, added as squares (Zou and Donner 2008)."""
    before, after = share(30, 100), share(45, 100)
    gain = Scored("finance", scored("tfns", 30), {2: scored("tfns", 45)}).domains.popitem()[1][2]
    assert gain.value - gain.low == pytest.approx(math.hypot(0.45 - after.low, before.high - 0.30))
    assert gain.high - gain.value == pytest.approx(math.hypot(after.high - 0.45, 0.30 - before.low))


def test_a_round_that_lacks_a_column_or_was_asked_other_items_has_no_cell():
    rounds = {1: scored("tfns", 90), 2: three(31, 32, 33), 4: three(60, 70, 80, items="j" * 64)}
    of = Scored("finance", three(30, 30, 30), rounds)
    assert [list(gains) for gains in of.domains.values()] == [[2]]
    assert len(cells(draw_domains(RUN, of))) == 1
    assert list(score_pictures(Scored("finance", {}, rounds))) == ["scores"]  # nothing to compare with


def test_many_rounds_are_colours_alone():
    rounds = {number: scored("tfns", 30 + number) for number in range(1, 41)}
    figure = draw_domains(RUN, Scored("finance", scored("tfns", 30), rounds))
    assert cells(figure) == {}
    assert len(figure.axes[0].get_xticks()) <= 16


def write(folder, models):
    """Write a folder of results as the evaluator does."""
    about = Evaluation("tiny", "b" * 64, "", "", "0", {}, "fp32", 1, 0, 0, "2026-01-01")
    for (task, scoring), score in models.items():
        (folder / task / scoring).mkdir(parents=True)
        (folder / task / scoring / "score.json").write_text(json.dumps(keyed(asdict(score))))
    (folder / EVALUATION).write_text(json.dumps(keyed(asdict(about))))


@pytest.fixture
def results(run, folder):
    """The folder of benchmarks of a run of which round 1 is aggregated."""
    run("submit", "tweets")
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 77)
    ledger.start_round(1, 1, ["a"])
    ledger.end_turn(TurnRow(1, 1, "a", "answered", loss=1.0))
    ledger.end_round(1, 1, "aggregated")
    ledger.close()
    write(folder.benchmarks / "base", three(30, 30, 30))
    write(folder.benchmarks / "adapted", three(99, 99, 99))
    return folder.benchmarks


def test_the_command_draws_what_stands_in_the_runs_folder(run, results, tmp_path):
    assert read_scored(results, "finance") is None  # no round yet
    assert run("show", "tweets", "--plots", str(tmp_path / "none")).exit_code == 0
    assert not (tmp_path / "none" / "scores.png").exists()
    write(results / "round-0001", three(50, 60, 70))
    found = read_scored(results, "finance")
    assert found.rounds == {1: three(50, 60, 70)}
    assert found.base == three(30, 30, 30)
    shown = run("show", "tweets", "--plots", str(tmp_path / "pictures"))
    assert shown.stdout.splitlines()[-1].endswith("scores.png, scores.svg, domains.png, domains.svg")
    assert "finance, trained: likelihood" in (tmp_path / "pictures" / "domains.svg").read_text()


def test_scores_that_cannot_be_read_are_named_and_the_rest_is_drawn(run, results, tmp_path):
    write(results / "round-0001", three(50, 60, 70))
    (results / "round-0001" / "tfns" / "likelihood" / "score.json").write_text("{}")
    shown = run("show", "tweets", "--plots", str(tmp_path / "pictures"))
    assert shown.exit_code == 0
    assert "pictures without scores: " in shown.stderr
    assert "round-0001 holds something else" in shown.stderr
    assert sorted(file.stem for file in (tmp_path / "pictures").glob("*.png")) == ["bytes", "loss", "seconds"]
