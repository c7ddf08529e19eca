"""The pictures of `fedlora run show --plots`: what is in them, and that they are the same twice."""

import json
import subprocess
import sys

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle, StepPatch

from fedlora.cli.run.plots import Run, draw_bytes, draw_loss, draw_seconds, write_plots
from fedlora.errors import ConfigurationError, RunError
from superlink.ledger import Ledger, RoundRow, TurnRow

FILES = [f"{name}.{kind}" for name in ("loss", "bytes", "seconds") for kind in ("png", "svg")]
SUBMIT = ("submit", "tweets")
MEBI = 2**20


def turn(number, epoch, site, loss=None, outcome="answered", train=9.0, **more):
    figures = {"loss": loss, "round_trip_seconds": 10.0, "bytes_down": MEBI, "bytes_up": MEBI}
    phases = {} if train is None else {"train": train}
    return TurnRow(number, epoch, site, outcome, **{**figures, "phases": phases, **more})


def cut_off():
    """Round 2 was under way when attempt 1 was lost, then trained again; b's second update was refused."""
    rounds = [
        RoundRow(1, 1, 0, 9, "aggregated", {"wait": 8.0, "aggregate": 0.5, "checkpoint": 0.5}),
        RoundRow(2, 1, 9, None, "training"),
        RoundRow(2, 2, 30, 39, "aggregated", {"wait": 6.0, "aggregate": 1.0, "checkpoint": 2.0}),
    ]
    turns = [
        turn(1, 1, "a", 1.0, examples=30),
        turn(1, 1, "b", 2.0, examples=10),
        turn(2, 1, "a", 7.0, train=70.0, examples=30),
        turn(2, 1, "b", outcome="asked", bytes_up=0, train=None, round_trip_seconds=None),
        turn(2, 2, "a", 0.5, examples=30, bytes_down=2 * MEBI),
        turn(2, 2, "b", 9.9, outcome="refused", examples=0, train=8.0),
    ]
    return Run("tweets", ("a", "b"), rounds, turns)


def large(sites, rounds):
    names = tuple(f"site-{number}" for number in range(sites))
    turns = [turn(number, 1, name, 1.0, examples=8) for number in range(1, rounds + 1) for name in names]
    return Run("tweets", names, [RoundRow(k, 1, 0, 9, "aggregated") for k in range(1, rounds + 1)], turns)


def lines(axes):
    return {line.get_label(): [tuple(point) for point in line.get_xydata().tolist()] for line in axes.lines}


def bars(axes):
    return {bar.get_label(): [patch.get_height() for patch in bar] for bar in axes.containers}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_loss_is_of_aggregated_rounds_and_of_updates_that_were_folded_in():
    figure = draw_loss(cut_off())
    (axes,) = figure.axes
    assert lines(axes) == {
        "a": [(1, 1.0), (2, 0.5)],
        "b": [(1, 2.0)],
        "mean, weighted\nby records": [(1, 1.25), (2, 0.5)],
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "loss (nats per answer token)")
    assert [text.get_text() for text in figure.texts] == [
        "Training loss by round, tweets",
        "Mean over the round at each site, 2 aggregated round(s)",
    ]
    assert legend(figure) == ["a", "b", "mean, weighted\nby records"]


def test_bytes_are_all_that_was_sent_each_way():
    figure = draw_bytes(cut_off())
    down, up = figure.axes
    assert (bars(down), bars(up)) == ({"a": [1, 3], "b": [1, 2]}, {"a": [1, 2], "b": [1, 1]})
    assert [(axes.get_title(), axes.get_ylabel()) for axes in (down, up)] == [
        ("to the sites", "payload (MiB)"),
        ("from the sites", "payload (MiB)"),
    ]
    assert figure.texts[1].get_text() == "All attempts: 7.0 MiB to the sites, 5.0 MiB from them"
    assert down.get_ylim() == up.get_ylim() == (0, pytest.approx(5.3))
    assert legend(figure) == ["b", "a"]


def test_the_parts_of_a_bar_stand_on_each_other():
    axes = draw_bytes(cut_off()).axes[0]
    bottoms = [[patch.get_y() for patch in bar] for bar in axes.containers]
    assert bottoms == [[0, 0], [1, 3]]


def test_seconds_are_of_aggregated_rounds():
    figure = draw_seconds(cut_off())
    training, whole, rounds = figure.axes
    assert lines(training) == {"a": [(1, 9.0), (2, 9.0)], "b": [(1, 9.0), (2, 8.0)]}
    assert lines(whole) == {"a": [(1, 10.0), (2, 10.0)], "b": [(1, 10.0), (2, 10.0)]}
    assert bars(rounds) == {"wait": [8, 6], "aggregate": [0.5, 1], "checkpoint": [0.5, 2]}
    assert [[patch.get_y() for patch in bar] for bar in rounds.containers] == [[0, 0], [8, 6], [8.5, 7]]
    assert [[text.get_text() for text in shown.get_texts()] for shown in figure.legends] == [
        *(["a", "b"], ["checkpoint", "aggregate", "wait"])
    ]
    assert training.get_ylabel() == "time (s)"
    assert training.get_ylim()[0] == 0


def test_a_run_without_an_aggregated_round_has_its_bytes():
    begun = cut_off()
    begun = Run("tweets", begun.sites, begun.rounds[1:2], begun.turns[2:4])
    (axes,) = draw_loss(begun).axes
    assert (lines(axes), axes.texts[0].get_text()) == ({}, "no aggregated round yet")
    assert bars(draw_bytes(begun).axes[0]) == {"a": [0, 1], "b": [0, 1]}


@pytest.mark.parametrize("rounds", [1, 2, 3, 7, 13, 200])
def test_rounds_are_whole_numbers_on_the_axis(rounds):
    for axes in draw_bytes(large(2, rounds)).axes:
        low, high = axes.get_xlim()
        assert (low, high) == (0.5, rounds + 0.5)
        seen = [tick for tick in axes.xaxis.get_major_locator()() if low <= tick <= high]
        assert 1 <= len(seen) <= 13
        assert [tick % 1 for tick in seen] == [0] * len(seen)


def test_twenty_sites_look_different_and_keep_their_looks():
    loss, seconds = draw_loss(large(20, 3)).axes[0].lines[:20], draw_seconds(large(20, 3)).axes[0].lines
    looks = [(to_hex(line.get_color()), line.get_linestyle(), line.get_marker()) for line in loss]
    assert len(set(looks)) == 20
    assert looks == [(to_hex(line.get_color()), line.get_linestyle(), line.get_marker()) for line in seconds]
    stack = [bar[0] for bar in draw_bytes(large(20, 3)).axes[0].containers]
    assert len({(to_hex(patch.get_facecolor()), patch.get_hatch()) for patch in stack}) == 20


def test_many_rounds_are_drawn_without_markers_and_as_areas():
    run = large(2, 200)
    assert [line.get_marker() for line in draw_loss(run).axes[0].lines] == ["", "", ""]
    kinds = {type(patch) for patch in draw_bytes(run).axes[0].patches}
    assert kinds == {StepPatch}
    assert {type(patch) for patch in draw_bytes(large(2, 60)).axes[0].patches} == {Rectangle}


def test_long_names_are_cut_in_the_middle():
    names = ("a" * 20 + "x" * 24 + "b" * 20, "short")
    (axes,) = draw_loss(Run("r", names, [RoundRow(1, 1, 0, 9, "aggregated")], [turn(1, 1, names[0], 1.0)])).axes
    assert next(iter(lines(axes))) == "a" * 11 + "\N{HORIZONTAL ELLIPSIS}" + "b" * 12


def test_the_same_run_gives_the_same_files_whatever_the_user_has_set(tmp_path, monkeypatch):
    files = write_plots(cut_off(), tmp_path / "one")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)
    monkeypatch.setitem(mpl.rcParams, "svg.hashsalt", "other")
    again = write_plots(cut_off(), tmp_path / "two")
    assert [file.name for file in files] == FILES
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    assert mpl.rcParams["svg.hashsalt"] == "other"


def test_no_date_and_no_version_is_in_a_file(tmp_path):
    for file in write_plots(cut_off(), tmp_path):
        assert not [word for word in (b"<dc:date>", b"matplotlib.org", b"Software") if word in file.read_bytes()], file


def test_drawing_leaves_the_users_pyplot_alone():
    program = "import sys, fedlora.cli.run.plots; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def submit(run, folder, *, ended):
    run(*SUBMIT)
    ledger = Ledger(folder.ledger)
    ledger.start_attempt(1, 77)
    ledger.start_round(1, 1, ["a"])
    ledger.sent(1, 1, ["a"], MEBI)
    if ended:
        ledger.end_turn(turn(1, 1, "a", 1.0))
        ledger.end_round(1, 1, "aggregated")
    ledger.close()


def test_the_command_draws_and_says_where(run, folder, tmp_path):
    submit(run, folder, ended=True)
    table = run("show", "tweets", "--plots", str(tmp_path / "new" / "pictures"))
    assert table.stdout.splitlines()[-1] == f"pictures in {tmp_path}/new/pictures: {', '.join(FILES)}"
    assert sorted(file.name for file in (tmp_path / "new" / "pictures").iterdir()) == sorted(FILES)
    as_json = run("show", "tweets", "--plots", str(tmp_path), "--format", "json")
    assert json.loads(as_json.stdout)["rounds_done"] == 1
    assert as_json.stderr == f"pictures in {tmp_path}: {', '.join(FILES)}\n"


def test_a_run_with_nothing_to_draw_is_named(run, folder, tmp_path):
    run(*SUBMIT)
    for begun in (False, True):
        if begun:
            submit(run, folder, ended=False)
        result = run("show", "tweets", "--plots", str(tmp_path / "pictures"))
        assert isinstance(result.exception, RunError)
        assert str(result.exception).startswith("run tweets has no finished turn yet, so there is nothing to draw")
        assert not (tmp_path / "pictures").exists()


def test_a_folder_that_cannot_be_written_is_named(run, folder, tmp_path):
    submit(run, folder, ended=True)
    (tmp_path / "file").touch()
    result = run("show", "tweets", "--plots", str(tmp_path / "file"))
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).startswith(f"--plots {tmp_path}/file: the pictures cannot be written there: ")


def test_without_matplotlib_the_extra_is_named(run, folder, tmp_path, monkeypatch):
    submit(run, folder, ended=True)
    monkeypatch.delitem(sys.modules, "fedlora.cli.run.plots")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("show", "tweets", "--plots", str(tmp_path))
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).endswith("pip install 'fedlora[plot]'")
    assert run("show", "tweets").exit_code == 0
