"""`fedlora top` against exporters on loopback, and the picture that it draws of what they say."""

import http.server
import json
import re
import signal
import socket
import threading
from contextlib import contextmanager
from io import StringIO
from types import SimpleNamespace

import pytest
from coordinator_samples import MEBI, NOW, samples, without
from rich.console import Console
from terminal import COLOUR, on_a_terminal, restored
from typer.testing import CliRunner

from fedlora.cli.main import application
from fedlora.cli.top.alarms import alarms
from fedlora.cli.top.history import History
from fedlora.cli.top.picture import picture
from fedlora.cli.top.scrape import Scrape
from fedlora.cli.top.view import look
from fedlora.errors import MetricsError
from fedlora.metrics import Sample
from fedlora.metrics.exposition import serve
from superlink.exporter import CoordinatorSeries, ExporterSettings
from superlink.ledger import Ledger, TurnRow

URL = "http://127.0.0.1:9464/metrics"
HEAD = f"08:00:00 UTC  {URL}  fedlora 0.1.0, Flower 1.39.0"
PHASES = [
    "coordinator                           sites: all rounds of tweets",
    "encode                            1 % queue                               -",
    "wait       ━━━━━━━━━━━━━━━━━━    90 % load       ╸                      4 %",
    "aggregate  ╸                      3 % train      ━━━━━━━━━━━━━━━━      80 %",
    "checkpoint ━                      6 % encode                            2 %",
    "                                      transfer   ━━╸                   14 %",
]
ALARMS = [
    "beta: offline, last seen 4 min 10 s ago",
    "beta: its certificate ca runs out in 5 d 12 h; fedlora pki renew",
    "alpha: its clock is 3.2 s ahead; Flower refuses nodes more than 5 s ahead",
    "beta: 7 % of its disk is free",
    "run tweets: 85 % of its budget of seconds is used",
    "beta: refused once in run tweets: PolicyError",
]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def exporter(of, port=None):
    """Serve samples; yield their address."""
    port = port or free_port()
    stop = serve(lambda: of, f"127.0.0.1:{port}")
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        stop()


@contextmanager
def web_server(status, content):
    """Answer every request with the same; yield its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()


def top(url, *arguments, columns=80):
    environment = {"COLUMNS": str(columns), "TERM": "dumb"}
    return CliRunner().invoke(application, ["top", "--metrics", url, *arguments], env=environment)


def scraped(of, after=0.0):
    series = {}
    for one in of:
        series.setdefault(one.name, []).append((one.labels, one.value))
    return Scrape(NOW + after, after, series)


def seen(*scrapes):
    history = History()
    for one in scrapes:
        history.note(one)
    return look(scrapes[-1], history)


def text(view, width=80, height=24, silence=None):
    file = StringIO()
    Console(file=file, width=width, color_system=None).print(picture(view, URL, width, height, silence))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


def test_a_picture_of_everything_fits_a_terminal_of_80_columns_and_24_lines():
    shown = text(seen(scraped(samples())))
    assert shown == [
        HEAD,
        "",
        "run    state       round             done    now       last  loss payload budget",
        "tweets running   3 of 10 ━━          20 % 12.0 s     31.5 s 1.375 224 MiB   85 %",
        "older  completed  5 of 5 ━━━━━━━━━━ 100 %      - 2 min 10 s     -       -      -",
        "",
        "node        state     turns  loss tok/s payload    wire CPU   memory  GPU disk",
        "alpha       online      2/2 1.250   579 112 MiB 115 MiB   - 2.05 GiB 93 % 59 %",
        "beta        4 min ago   1/2 1.500   579 112 MiB 115 MiB   - 2.05 GiB    - 93 %",
        "coordinator -             -     -     -       -       -   -  312 MiB    - 20 %",
        "",
        *PHASES,
        "",
        *ALARMS,
    ]
    assert len(shown) == 24


def test_a_wide_terminal_has_both_directions_domains_forecast_and_scores():
    shown = text(seen(scraped(samples())), width=140)
    assert shown[2:10] == [
        "run     state        round               done     now        last   loss   sites  payload  forecast  budget"
        "  attempts        score",
        "tweets  running    3 of 10  ━━           20 %  12.0 s      31.5 s  1.375  1 of 2  224 MiB  1.46 GiB    85 %"
        "         1            -",
        "older   completed   5 of 5  ━━━━━━━━━━  100 %       -  2 min 10 s      -       -        -         -       -"
        "         -  15 % > 82 %",
        "",
        "node        domain  state                     turns  loss tok/s payload ↓        ↑   wire ↓        ↑ CPU"
        "   memory  GPU GPU memory disk",
        "alpha       finance online               2 answered 1.250   579  56.1 MiB 56.1 MiB 57.5 MiB 57.5 MiB   -"
        " 2.05 GiB 93 %   60.0 GiB 59 %",
        "beta        medical 4 min ago 1 answered, 1 refused 1.500   579  56.1 MiB 56.1 MiB 57.5 MiB 57.5 MiB   -"
        " 2.05 GiB    -          - 93 %",
        "coordinator -       -                             -     -     -         -        -        -        -   -"
        "  312 MiB    -          - 20 %",
    ]


def test_the_same_over_http(monkeypatch):
    monkeypatch.setattr("fedlora.cli.top.scrape._date", lambda _: NOW)
    with exporter(samples()) as url:
        result = top(url, "--once")
        assert top(url).stdout == result.stdout  # no terminal: one picture
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        HEAD.replace(URL, url),
        *text(seen(scraped(samples())))[1:],
    ]


def test_json_has_all_of_it():
    with exporter(samples()) as url:
        document = json.loads(top(url, "--format", "json").stdout)
    assert document.pop("at") > 1.7e9  # the exporter's clock
    document.pop("alarms")
    tweets, older = document.pop("runs")
    alpha, beta, coordinator = document.pop("nodes")
    assert document == {"metrics": url, "kit": "0.1.0", "flower": "1.39.0"}
    assert tweets == {
        "name": "tweets",
        "state": "running",
        "round": 3.0,
        "rounds": 10.0,
        "aggregated": 2.0,
        "attempts": 1.0,
        "submitted_at": NOW - 90,
        "round_started_at": NOW - 12,
        "round_seconds": 31.5,
        "loss": 1.375,
        "payload_bytes": 4 * 56.125 * MEBI,
        "forecast_bytes": 1500 * MEBI,
        "participants": {"wanted": 2.0, "sampled": 2.0, "answered": 1.0, "refused": 1.0},
        "budgets": {
            "bytes": {"limit": 700 * MEBI, "used_ratio": 0.32},
            "seconds": {"limit": None, "used_ratio": 0.85},
        },
        "scores": {},
        "phases": {"encode": 1.0, "wait": 90.0, "aggregate": 3.0, "checkpoint": 6.0},
        "turn_phases": {"load": 4.0, "train": 80.0, "encode": 2.0, "transfer": 14.0},
        "phases_recent": False,
    }
    assert (older["state"], older["loss"], older["scores"]) == ("completed", None, {"base": 0.149, "adapted": 0.82})
    assert alpha == {
        "name": "alpha",
        "domain": "finance",
        "kit": "0.1.0",
        "flower": "1.39.0",
        "online": True,
        "last_seen_at": NOW,
        "told_at": NOW - 12,
        "run": "tweets",
        "turns": {"answered": 2.0, "late": 0.0, "refused": 0.0},
        "refusals": {},
        "outliers": {},
        "loss": 1.25,
        "tokens_per_second": 579.4,
        "rounds_since_update": None,
        "payload_bytes_down": 56.125 * MEBI,
        "payload_bytes_up": 56.125 * MEBI,
        "wire_bytes_down": 57.5 * MEBI,
        "wire_bytes_up": 57.5 * MEBI,
        "idle_wire_bytes_down": None,
        "idle_wire_bytes_up": None,
        "cpu_cores": None,
        "memory_bytes": 2100 * MEBI,
        "disk_free_ratio": 0.41,
        "gpus": [
            {
                "number": "0",
                "utilisation_ratio": 0.93,
                "memory_used_bytes": 61440 * MEBI,
                "memory_bytes": None,
                "power_watts": None,
            }
        ],
        "clock_skew_seconds": 3.21,
        "certificates": {},
    }
    assert (beta["online"], beta["refusals"], beta["gpus"]) == (False, {"PolicyError": 1.0}, [])
    assert (coordinator["online"], coordinator["run"], coordinator["memory_bytes"]) == (None, None, 312 * MEBI)


def test_an_exporter_that_knows_nothing_yet():
    with exporter([]) as url:
        result = top(url, "--once")
        document = json.loads(top(url, "--format", "json").stdout)
    assert result.exit_code == 0
    assert re.fullmatch(rf"..:..:.. UTC  {url}", result.stdout.splitlines()[0].rstrip())
    assert [line.rstrip() for line in result.stdout.splitlines()[1:]] == ["", "no run yet", "", "no node is known yet"]
    assert (document["runs"], document["nodes"], document["alarms"], document["kit"]) == ([], [], [], None)


@pytest.mark.parametrize("metric", sorted({one.name for one in samples()}))
def test_what_is_absent_is_no_0(metric):
    view = seen(scraped([one for one in samples() if one.name != metric]))
    for width in (80, 200):
        for line in text(view, width):
            assert not re.search(r"(?<![\d:.])0(\.0+)?( s| %| [KM]iB)?(?!\S)", line)


@pytest.mark.parametrize(
    ("metric", "kind", "field"),
    [
        ("run_state", "runs", "state"),
        ("run_rounds_aggregated", "runs", "share"),
        ("round_seconds", "runs", "round_seconds"),
        ("round_training_loss", "runs", "loss"),
        ("payload_bytes_total", "runs", "payload_bytes"),
        ("run_budget_used_ratio", "runs", "budget"),
        ("node_online", "nodes", "online"),
        ("training_loss", "nodes", "loss"),
        ("tokens_per_second", "nodes", "tokens_per_second"),
        ("wire_bytes_total", "nodes", "wire_bytes_up"),
        ("turns_total", "nodes", "run"),
        ("resident_memory_bytes", "nodes", "memory_bytes"),
        ("disk_free_bytes", "nodes", "disk_free_ratio"),
        ("node_clock_skew_seconds", "nodes", "clock_skew_seconds"),
    ],
)
def test_what_is_absent_is_none(metric, kind, field):
    assert getattr(getattr(seen(scraped(samples())), kind)[0], field) is not None
    view = seen(scraped([one for one in samples() if one.name != f"fedlora_{metric}"]))
    assert getattr(getattr(view, kind)[0], field) is None


def test_of_a_federation_of_which_only_names_are_known_all_else_is_a_dash():
    known = [one for one in samples() if one.name in ("fedlora_run_state", "fedlora_node_online")]
    assert text(seen(scraped(known)), 70)[2:] == [
        "run    state     round  done now last loss sites payload budget",
        "tweets running       -     -   -    -    -     -       -      -",
        "older  completed     -     -   -    -    -     -       -      -",
        "",
        "node  state  turns loss tok/s payload ↓ ↑ wire ↓ ↑ CPU memory disk",
        "alpha online     -    -     -         - -      - -   -      -    -",
        "beta  never      -    -     -         - -      - -   -      -    -",
        "",
        "beta: was never online",
    ]


def test_many_nodes_and_runs_fit_and_those_with_an_alarm_come_first():
    names = [f"site-{number:02}" for number in range(30)]
    of = [Sample("fedlora_node_online", float(name != "site-29"), {"node": name}) for name in names]
    of += [Sample("fedlora_run_state", 1.0, {"run": f"run-{number}", "state": "failed"}) for number in range(9)]
    for lines in (24, 30):
        shown = text(seen(scraped(of)), height=lines)
        assert len(shown) == lines
        assert [line.split()[0] for line in shown if line.startswith("run-")] == [f"run-{n}" for n in range(4)]
        assert [line.split()[0] for line in shown if line.startswith("site-")][:2] == ["site-29", "site-00"]
        assert shown[-3].endswith("more nodes")
        assert shown[-1] == "site-29: was never online"
    assert len([line for line in text(seen(scraped(of)), height=99) if line.startswith("site-")]) == 31


def test_a_narrow_terminal_shortens_names_and_keeps_what_matters():
    long = [Sample(one.name, one.value, {**one.labels, "node": "a" * 64}) for one in samples() if "node" in one.labels]
    shown = text(seen(scraped(long)), width=40)
    assert shown[2:7] == [
        "run    state round done loss payload",
        "tweets -         -    -    - 224 MiB",
        "",
        "node                  state  turns  loss",
        "aaaaaaaaaaaaaaaaaaaa… online   3/4 2.750",
    ]


def test_cpu_use_is_of_the_time_between_two_looks_or_two_answers():
    # 2 s pass at the coordinator; alpha's answer is 10 s newer than its last one, beta's is the same.
    first, second = scraped(samples()), samples()
    moved = {("alpha", "fedlora_node_told_timestamp_seconds"): 10.0}
    for node, seconds in (("alpha", 15.0), ("beta", 0.0), ("coordinator", 0.5)):
        moved[node, "fedlora_cpu_seconds_total"] = seconds
    second = [
        Sample(one.name, one.value + moved.get((one.labels.get("node"), one.name), 0.0), one.labels) for one in second
    ]
    cores = {node.name: node.cpu_cores for node in seen(first, scraped(second, 2.0)).nodes}
    assert cores == {"alpha": 3.0, "beta": None, "coordinator": 0.5}
    # Nothing new from alpha for a while: what was, stands. The coordinator's is of now.
    cores = {node.name: node.cpu_cores for node in seen(first, scraped(second, 2.0), scraped(second, 4.0)).nodes}
    assert cores == {"alpha": 3.0, "beta": None, "coordinator": 0.0}


def test_a_part_that_was_started_again_counts_from_0():
    def keeper(seconds, after):
        labels = {"node": "coordinator", "part": "keeper"}
        return scraped([Sample("fedlora_cpu_seconds_total", seconds, labels)], after)

    assert seen(keeper(100.0, 0.0), keeper(3.0, 2.0)).nodes[0].cpu_cores == 1.5
    other = scraped([Sample("fedlora_cpu_seconds_total", 9.0, {"node": "coordinator", "part": "superlink"})], 4.0)
    assert seen(keeper(1.0, 0.0), keeper(3.0, 2.0), other).nodes[0].cpu_cores is None


def test_phases_are_of_the_rounds_that_ended_while_somebody_looked():
    def after(rounds):
        return scraped(
            [
                Sample("fedlora_round_phase_seconds_total", 10.0 * rounds**2, {"run": "r", "phase": "wait"}),
                Sample("fedlora_turn_phase_seconds_total", 8.0 * rounds, {"run": "r", "node": "a", "phase": "train"}),
            ]
        )

    (run,) = seen(after(3)).runs
    assert (run.phases, run.turn_phases, run.phases_recent) == ({"wait": 90.0}, {"train": 24.0}, False)
    (run,) = seen(after(3), after(3), after(4)).runs
    assert (run.phases, run.turn_phases, run.phases_recent) == ({"wait": 70.0}, {"train": 8.0}, True)
    (run,) = seen(after(3), *[after(4)] * 9).runs
    assert (run.phases, run.turn_phases) == ({"wait": 70.0}, {"train": 8.0})
    (run,) = seen(*(after(number) for number in range(1, 12))).runs
    assert (run.phases, run.turn_phases) == ({"wait": 1210.0 - 360.0}, {"train": 40.0})  # of the last five
    assert "sites: last rounds of r" in text(seen(after(3), after(4)))[7]


def test_alarms_of_updates_that_are_outliers():
    counts = {"norm": 0.0, "cosine": 2.0, "copy": 1.0}
    outliers = [
        Sample("fedlora_update_outliers_total", count, {"run": "tweets", "node": "beta", "figure": figure})
        for figure, count in counts.items()
    ]
    found = set(alarms(seen(scraped([*samples(), *outliers])))) - set(ALARMS)
    assert found == {
        "beta: its update was an outlier by cosine 2 times in run tweets",
        "beta: its update was an outlier by copy once in run tweets",
    }


def test_alarms_of_clocks_certificates_and_disks():
    def told(metric, value, **labels):
        return Sample(f"fedlora_{metric}", value, {"node": "a", **labels})

    assert alarms(seen(scraped(samples()))) == ALARMS
    online = told("node_online", 1.0)
    skews = [alarms(seen(scraped([online, told("node_clock_skew_seconds", skew)]))) for skew in (2.0, 2.5, -59, -90)]
    assert skews == [
        [],
        ["a: its clock is 2.5 s ahead; Flower refuses nodes more than 5 s ahead"],
        [],
        ["a: its clock is 90 s behind; Flower refuses nodes more than 305 s behind"],
    ]
    ends = {"ca": -3600.0, "server": 14 * 86400.0}
    certificates = [
        told("certificate_expiry_timestamp_seconds", NOW + seconds, certificate=name) for name, seconds in ends.items()
    ]
    assert alarms(seen(scraped([online, *certificates]))) == ["a: its certificate ca ran out 1 h 0 min ago"]
    assert alarms(seen(scraped([told("node_online", 0.0)]))) == ["a: was never online"]


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (404, b"", "answers with HTTP status 404. Is the coordinator's exporter up"),
        (200, b"<html>hello</html>", "answers with something else than metrics. Is the coordinator's exporter up"),
        (200, b"node_load1 0.5\n", "has metrics, and none of fedlora's among them. Is the coordinator's exporter up"),
    ],
)
def test_what_answers_and_is_no_exporter_of_ours_is_named(status, content, reason):
    with web_server(status, content) as url:
        error = top(url, "--once").exception
    assert isinstance(error, MetricsError)
    assert str(error).startswith(f"{url} {reason}")


def test_what_does_not_answer_is_named_with_what_to_do(monkeypatch):
    url = f"http://127.0.0.1:{free_port()}/metrics"
    error = top(url).exception
    assert isinstance(error, MetricsError)
    assert error.exit_code == 35
    assert str(error) == (
        f"no metrics from {url}: [Errno 111] Connection refused. Is the coordinator's exporter up (`fedlora status`), "
        "and is this its address? --metrics names another; from another machine, "
        "`ssh -L 9464:127.0.0.1:9464 COORDINATOR` brings it here"
    )
    monkeypatch.setattr("fedlora.cli.top.scrape.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = top(f"http://127.0.0.1:{mute.getsockname()[1]}/metrics").exception
    assert "timed out. Is the coordinator's exporter up" in str(error)
    assert isinstance(top("nowhere").exception, MetricsError)


def test_what_is_nan_or_steers_a_terminal_does_not_get_through():
    labels = b'{run="r",node="a\x1b[31m"}'
    content = b"fedlora_turns_total%s 1\nfedlora_training_loss%s NaN\n" % (labels, labels)
    with web_server(200, content) as url:
        document = json.loads(top(url, "--format", "json").stdout)
        shown = top(url).stdout
    assert [(node["name"], node["run"], node["loss"]) for node in document["nodes"]] == [("a\\x1b[31m", "r", None)]
    assert "\x1b" not in shown


def test_live_it_says_since_when_the_exporter_is_silent_goes_on_trying_and_ends_with_ctrl_c():
    port = free_port()
    with exporter(samples(), port) as url:
        live = on_a_terminal("top", "--metrics", url, "--interval", "0.2")
        process, read = live.__enter__()
        drawn = read(b"PolicyError")
    try:
        drawn += read(b"silent since")
        drawn += read(b"Connection refused")
        with exporter(without("node_online"), port):
            drawn += read(b"alpha       - ")
            process.send_signal(signal.SIGINT)
            drawn += read()
    finally:
        live.__exit__(None, None, None)
    assert process.returncode == 0
    assert restored(drawn)
    stays = COLOUR.sub("", drawn.partition(b"\x1b[?1049l")[2].decode())
    assert "alpha       - " in stays
    assert "silent since" not in stays


def test_once_and_json_draw_nothing_on_a_terminal():
    with exporter(samples()) as url:
        for arguments in (("--once",), ("--format", "json")):
            with on_a_terminal("top", "--metrics", url, *arguments) as (process, read):
                drawn = read()
                assert process.returncode == 0
            assert b"\x1b[?1049h" not in drawn
            assert b"tweets" in drawn


def test_the_coordinators_own_exporter_is_understood(run, folder, monkeypatch):
    run("submit", "tweets", "--set", "run.budget=10")
    ledger = Ledger(folder.ledger)
    ledger.start_submission(1)
    ledger.start_attempt(1, 77)
    ledger.start_round(1, 1, ["a", "b"])
    ledger.sent(1, 1, ["a", "b"], 2**20)
    ledger.end_turn(TurnRow(1, 1, "a", "answered", examples=8, loss=1.5, tokens=90, phases={"train": 9.0}))
    ledger.end_turn(TurnRow(1, 1, "b", "refused", "PolicyError: no"))
    ledger.end_round(1, 1, "aggregated", {"wait": 9.0, "aggregate": 1.0})
    ledger.report("a", {'fedlora_resident_memory_bytes{part="trainer"}': 3e9}, 7.0)
    ledger.close()
    room = SimpleNamespace(total=2e9, used=1e9, free=1e9)  # a machine whose own disk is nearly full raises an alarm
    monkeypatch.setattr("fedlora.metrics.processes.shutil.disk_usage", lambda _: room)
    settings = ExporterSettings("127.0.0.1:1", folder.runs, folder.runs / "ca.crt", folder.runs / "server.crt")
    with exporter(CoordinatorSeries(settings).samples()) as url:
        document = json.loads(top(url, "--format", "json").stdout)
    (tweets,), (a, b, coordinator) = document["runs"], document["nodes"]
    assert (tweets["state"], tweets["round"], tweets["rounds"], tweets["aggregated"]) == ("running", 1.0, 2.0, 1.0)
    assert (tweets["loss"], tweets["payload_bytes"]) == (1.5, 2.0**21)
    assert tweets["phases"] == {"wait": 9.0, "aggregate": 1.0}
    assert tweets["budgets"] == {"bytes": {"limit": 10e6, "used_ratio": 2**21 / 10e6}}
    assert (a["turns"]["answered"], a["loss"], a["tokens_per_second"], a["memory_bytes"]) == (1.0, 1.5, 10.0, 3e9)
    assert abs(document["at"] - a["told_at"]) < 60  # the exporter says the time in whole seconds
    assert (b["refusals"], b["told_at"], b["loss"]) == ({"PolicyError": 1.0}, None, None)
    assert coordinator["memory_bytes"] > 1e6
    assert document["alarms"] == [
        "a: its clock is 7.0 s ahead; Flower refuses nodes more than 5 s ahead",
        "b: refused once in run tweets: PolicyError",
    ]


def test_scores_of_two_scorings_are_not_mixed():
    def scores(**of):
        found = [
            ({"run": "tweets", "model": model, "benchmark": benchmark}, value)
            for benchmark, values in of.items()
            for model, value in zip(("base", "round-0003"), values, strict=False)
        ]
        scrape = Scrape(at=NOW, ticks=0.0, series={"fedlora_evaluation_score_ratio": found})
        (run,) = look(scrape, History()).runs
        return run.scores

    both = {"tfns by likelihood": (0.1, 0.9), "tfns by flowertune": (0.2, 0.8), "fpb by flowertune": (0.4,)}
    assert scores(**both) == {"base": 0.2, "round-0003": 0.8}  # FPB waits for the round's
    assert scores(**both, **{"label accuracy": (0.3, 0.7)}) == {"base": 0.3, "round-0003": 0.7}
    assert scores(**{"fpb by flowertune": (0.4,), "mbpp by greedy": (0.1, 0.2)}) == {"base": 0.1, "round-0003": 0.2}
    assert scores(**{"fpb by flowertune": (0.4,)}) == {}
