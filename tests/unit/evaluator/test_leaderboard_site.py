"""The site: what a browser would trip over, what a stranger could put into it, and what stands where."""

import base64
import dataclasses
import hashlib
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from leaderboard_entries import Desk, figures, finance, make_answers

from evaluator.leaderboard.columns import BOARDS, TASKS
from evaluator.leaderboard.manifest import Manifest
from evaluator.leaderboard.published import published_rows
from evaluator.leaderboard.site import build
from evaluator.leaderboard.site.compare import comparison_data
from evaluator.leaderboard.site.markup import Markup, join, said, tag
from evaluator.leaderboard.site.plot import Point, bar, plot, ticks
from evaluator.leaderboard.standings import open_entries
from evaluator.results.score import mcnemar
from fedlora.errors import EntryError

VOID = {"br", "input", "link", "meta"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\" onmouseover=alert(1) x='",
    "</title></style></script><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; <!--",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "javascript:alert(1)",
]
EVERYTHING = {(task, "flowertune"): (24, 0.5) for task in TASKS}


class Page(HTMLParser):
    """A page as a parser sees it; raises where tags do not match."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, name, attributes):
        assert len({key for key, _ in attributes}) == len(attributes), (name, attributes)
        self.elements.append((name, dict(attributes), tuple(self.open)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert name not in VOID
        assert self.open.pop() == name, (name, self.getpos())

    def handle_data(self, data):
        self.texts.append((tuple(self.open) or ("document",), data))

    def all(self, name):
        return [attributes for found, attributes, _ in self.elements if found == name]

    def text_in(self, name):
        return "".join(data for path, data in self.texts if name in path)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.entry("everywhere", {**EVERYTHING, **finance(scoring="likelihood")}, run=figures(gpu_peak_bytes=2**31))
    desk.entry("finance only", finance(accuracy=0.9), seed=1, run=None)
    for at, name in enumerate(HOSTILE):
        desk.entry(
            f"hostile-{at}",
            {("fpb", "flowertune"): (12, 0.5)},
            seed=2 + at,
            title=name,
            submitter=name,
            data=(name,),
            run=figures(name=name, strategy=name, upload_codec=name, recipe={name: name, "list": (name, "x")}),
        )
    return desk


@pytest.fixture(scope="module")
def entries(desk):
    return open_entries([desk.folder / "entries"])


@pytest.fixture(scope="module")
def site(entries, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "site"
    build(entries, folder)
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {file.name: Page(file.read_text(encoding="utf-8")) for file in sorted(site.iterdir())}


def page_of(entries, title):
    return next(entry.page for entry in entries if entry.manifest.title == title)


def test_every_page_is_there(pages, entries):
    own = {"index.html", "compare.html", "about.html", *(f"{name}.html" for name in BOARDS)}
    assert set(pages) == own | {entry.page for entry in entries}


def test_ids_are_unique_and_links_lead_somewhere(pages):
    for name, page in pages.items():
        ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
        assert len(set(ids)) == len(ids), name
        for link in page.all("a"):
            file, _, place = link["href"].partition("#")
            assert file in pages or not file, (name, link)
            target = pages[file or name]
            assert not place or place in {attributes.get("id") for _, attributes, _ in target.elements}
        referred = [
            one
            for _, attributes, _ in page.elements
            for key in ("aria-labelledby", "data-table")
            for one in attributes.get(key, "").split()
        ]
        assert set(referred) <= set(ids), name


def test_nothing_is_fetched_from_anywhere(pages, site):
    for name, page in pages.items():
        for element, attributes, _ in page.elements:
            assert not {"src", "srcset", "action", "background", "poster", "ping", "style"} & attributes.keys(), name
            assert not [key for key in attributes if key.startswith("on")], (name, element)
            assert element not in {"img", "iframe", "object", "embed", "link", "base", "video", "audio", "use"}
        text = (site / name).read_text(encoding="utf-8")
        assert "http:" not in text.replace("javascript:", "")
        assert "https:" not in text
        assert "@import" not in text
        assert "url(" not in text


def test_the_policy_admits_the_pages_own_style_and_script_alone(pages, site):
    for name, page in pages.items():
        (policy,) = (one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules.keys() == {"default-src", "style-src", "script-src", "base-uri", "form-action"}
        assert (rules["default-src"], rules["base-uri"], rules["form-action"]) == ("'none'",) * 3
        text = (site / name).read_text(encoding="utf-8")
        assert text.index("Content-Security-Policy") < text.index("<title>") < text.index("<style>")
        for element in ("style", "script"):
            (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert rules[f"{element}-src"] == f"'sha256-{digest}'", name


@pytest.mark.parametrize("name", HOSTILE)
def test_words_of_an_entry_stay_words(pages, entries, site, name):
    own = page_of(entries, name)
    for file in (own, "finance.html", page_of(entries, "everywhere")):
        page = pages[file]
        assert name in "".join(data for _, data in page.texts)
        assert not [one for one in page.elements if one[0] in {"img", "b"}]
        scripts = page.all("script")
        assert scripts == [{}], file
        told = [path for path, data in page.texts if name in data and path[-1] not in ("title", "desc")]
        assert told
        # Whoever writes from right to left turns their own words alone.
        assert all("bdi" in path or path[-1] == "text" for path in told), told
    assert pages[own].text_in("h1") == name
    assert name in pages[own].text_in("head")


def test_hostile_words_do_not_end_the_data_of_the_comparison(pages, entries, site):
    page = pages["compare.html"]
    assert [one.get("type") for one in page.all("script")] == ["application/json", None]
    (content,) = [data for path, data in page.texts if path[-1] == "script" and data.startswith("{")]
    assert "<" not in content
    data = json.loads(content)
    assert {one["title"] for one in data["entries"]} >= set(HOSTILE)
    assert data == json.loads(json.dumps(comparison_data(entries)))


def test_control_characters_are_left_out(pages):
    assert said("a\u202eb\x00c\nd") == "<bdi>abcd</bdi>"
    assert said("x" * 1000) == f"<bdi>{'x' * 300}\u2026</bdi>"


def test_text_is_escaped_and_markup_is_not():
    assert tag("p", "<b>", tag("i", 'a"b'), None, [1, "&"]) == "<p>&lt;b&gt;<i>a&quot;b</i>1&amp;</p>"
    assert tag("input", hidden=True, disabled=False, class_="x", data_a="<'\">", title=None, tabindex=0) == (
        '<input hidden class="x" data-a="&lt;&#x27;&quot;&gt;" tabindex="0">'
    )
    assert isinstance(join(["a", "b"]), Markup)
    assert not isinstance(tag("p") + "<script>", Markup)  # what is put together by hand is escaped again


def test_tables_can_be_read_by_all(pages):
    for name, page in pages.items():
        tables = page.all("table")
        captions = [one for one in page.elements if one[0] == "caption"]
        assert len(captions) == len(tables), name
        regions = [one for one in page.all("div") if one.get("role") == "region"]
        assert all(one["tabindex"] == "0" for one in regions)
        assert all(one.get("aria-label") or one.get("aria-labelledby") for one in regions)
        for element, attributes, path in page.elements:
            if element == "th":
                assert attributes["scope"] == ("col" if "thead" in path else "row"), name
            if element == "table":
                assert path[-1] == "div"
            if element in {"input", "select"}:
                assert "label" in path, name
        assert page.all("html") == [{"lang": "en"}]
        assert len(page.all("h1")) == len(page.all("main")) == 1
        levels = [int(one[0][1]) for one in page.elements if re.fullmatch("h[1-6]", one[0])]
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), name
        skip = page.all("a")[0]
        assert (skip["class"], skip["href"]) == ("skip", "#main")


def test_each_page_says_where_it_is(pages):
    for name, page in pages.items():
        current = [one["href"] for one in page.all("a") if one.get("aria-current") == "page"]
        assert current == ([name] if not name.startswith("entry-") else [])


def rows_of(page, table):
    """Return the cells of a table's body, row by row."""
    found, rows = False, []
    for element, attributes, path in page.elements:
        if element == "table":
            found = attributes.get("id") == table
        if found and "tbody" in path and element == "tr":
            rows.append((attributes, []))
        if found and "tbody" in path and element in {"td", "th"}:
            rows[-1][1].append(attributes)
    return rows


def test_a_board_without_script_is_in_order_and_says_so(pages):
    page = pages["finance.html"]
    sorted_by = [(one["data-first"], one["aria-sort"]) for one in page.all("th") if "aria-sort" in one]
    assert sorted_by == [("descending", "descending")] * 2  # one for each scoring
    rows = rows_of(page, "flowertune-board")
    published = sum(row.domain == "finance" for row in published_rows())
    assert len(rows) == 8 + published
    values = [float(cells[2]["data-value"]) for _, cells in rows if cells[2]["data-value"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 2 + published  # the hostile ones lack two columns
    kinds = [attributes["data-kind"] for attributes, _ in rows]
    assert (kinds.count("published"), kinds.count("checked")) == (published, 8)
    assert all(cells[0]["data-value"] == "" for attributes, cells in rows if attributes["data-kind"] == "published")
    sources = [data for path, data in page.texts if data.startswith("source: ")]
    assert sorted(sources) == ["source: code"] + ["source: participant"] * 7
    # What only the script can do is not there without it.
    assert all("hidden" in form for form in page.all("form"))


def test_a_part_of_a_test_set_is_told_as_one(pages):
    told = [data for path, data in pages["finance.html"].texts if data.startswith("n = ")]
    assert sorted(set(told)) == [
        "n = 12 of 1,212", "n = 24 of 1,212", "n = 24 of 2,388", "n = 24 of 304",
        "n = 40 of 1,212", "n = 40 of 2,388", "n = 40 of 304",
    ]  # fmt: skip
    assert "n = 120 of 3,904" in [data for _, data in pages["index.html"].texts]


def test_a_rounded_cost_is_told_as_it_was_printed(pages):
    told = [data for path, data in pages["general-nlp.html"].texts if data.startswith("from ") and path[-1] == "span"]
    rounded = [row for row in published_rows() if row.domain == "general-nlp" and row.unit == "GB"]
    assert sorted(told) == sorted(f"from {row.communication:g} GB" for row in rounded)
    assert len(told) == 19


def test_the_first_page_names_who_is_first(pages, entries):
    rows = rows_of(pages["index.html"], "boards")
    assert len(rows) == 5  # finance has both scorings
    text = pages["index.html"].text_in("tbody")
    assert text.index("Finance") < text.index("finance only") < text.index("Likelihood scoring")


def test_an_entrys_page_has_its_evidence(pages, entries, site):
    one = next(entry for entry in entries if entry.manifest.title == "everywhere")
    page = pages[one.page]
    text = " ".join("".join(data for _, data in page.texts).split())
    for part in (one.id, one.key_sha256, one.manifest.adapter.sha256, one.manifest.base.base_model_sha256):
        assert part in text
    for path, note in one.manifest.files.items():
        assert path in text
        assert note.sha256 in text
    assert "fedlora leaderboard verify ENTRY --key submitter.pub" in text
    stated = one.manifest.by_task("adapted", "flowertune")["fpb"]
    assert f"{100 * stated.accuracy.value:.2f}" in text
    assert f"{100 * stated.accuracy.low:.2f} to {100 * stated.accuracy.high:.2f}" in text
    assert "MMLU, other subjects (in no mean)" in text
    assert "52.00 MiB (54,525,952 bytes)" in text
    assert "GPU energy, all sites" in text
    assert text.count("not told") >= 3


@pytest.mark.parametrize("recipe", ["finance/quick; rm -rf ~", "finance/quick\nrm -rf ~", "$(id)", "mine/own", ""])
def test_no_word_of_an_entry_gets_into_a_command_line(entries, recipe, tmp_path):
    one = entries[0]
    adapter = dataclasses.replace(one.manifest.adapter, recipe=recipe)
    build([dataclasses.replace(one, manifest=dataclasses.replace(one.manifest, adapter=adapter))], tmp_path / "site")
    page = Page((tmp_path / "site" / one.page).read_text(encoding="utf-8"))
    first, again, last = page.text_in("pre").splitlines()
    assert first == "fedlora leaderboard verify ENTRY --key submitter.pub"
    assert again.removeprefix(first).split()[-1] == "--rerun"
    assert set(again.removeprefix(first).split()[1:-1:2]) <= {f"{task}=FILE" for task in TASKS}
    assert last == "fedlora adapter show ENTRY/adapter"


def test_a_recipe_of_the_kit_is_named_in_a_command_line(pages, entries):
    assert pages[entries[0].page].text_in("pre").splitlines()[3:] == ["fedlora recipe show finance/quick"]


def test_breaches_are_shown(pages, entries):
    page = pages[page_of(entries, "finance only")]
    marks = [(data, path) for path, data in page.texts if path[-1] == "span" and data in ("broken", "unknown", "kept")]
    assert [data for data, _ in marks] == ["unknown", "unknown", "unknown", "unknown", "kept", "broken"]
    assert "1 breach" in "".join(data for _, data in pages["finance.html"].texts)


def test_p_values_are_those_of_the_answers(entries):
    data = comparison_data(entries)
    at = {entry["title"]: place for place, entry in enumerate(data["entries"])}
    first, second = sorted((at["everywhere"], at["finance only"]))
    assert data["pairs"][f"{first}-{second}"] == {}  # 24 items against 40
    hostile = sorted(at[name] for name in HOSTILE)[:2]
    found = data["pairs"][f"{hostile[0]}-{hostile[1]}"]["flowertune/fpb/"]
    seeds = [2 + HOSTILE.index(data["entries"][place]["title"]) for place in hostile]
    answers = [make_answers("fpb", "flowertune", 12, 0.5, seed) for seed in seeds]
    assert found[0] == 12
    assert found[3] == pytest.approx(mcnemar(*answers), abs=1e-6)


def test_the_same_entries_are_the_same_bytes(entries, site, tmp_path):
    build(entries, tmp_path / "again")
    for file in site.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_a_site_is_replaced_and_nothing_else_is(entries, site, tmp_path):
    build(entries, tmp_path / "site")
    (only,) = (entry for entry in entries if entry.manifest.title == "everywhere")
    names = build([only], tmp_path / "site")
    assert {file.name for file in (tmp_path / "site").iterdir()} == set(names)
    (tmp_path / "site" / "notes.html").write_text("mine")
    with pytest.raises(EntryError, match="holds other things"):
        build([only], tmp_path / "site")
    assert (tmp_path / "site" / "notes.html").exists()


def test_a_site_can_be_of_one_entry(entries, tmp_path):
    build(entries[:1], tmp_path / "site")
    page = Page((tmp_path / "site" / "compare.html").read_text())
    assert "fewer than two entries" in "".join(data for _, data in page.texts)


@pytest.mark.parametrize("costs", [[0.003], [1.0], [52.0], [9.0, 700.0], [0.5, 60_000.0], [1e-3, 1e9], [2.0, 2.0]])
def test_an_axis_reaches_around_its_values(costs):
    found = ticks(costs)
    assert found[0] < min(costs)
    assert found[-1] > max(costs)
    assert found == sorted(found)
    assert 2 <= len(found) <= 15


@pytest.mark.parametrize("scores", [[0.0], [1.0], [0.0, 1.0], [0.499, 0.501]])
def test_points_lie_in_their_frame(scores):
    points = [Point(10.0 + at, score, f"point {at}", "page.html") for at, score in enumerate(scores)]
    page = Page(plot(points, "name", "MiB", "Score against bytes"))
    dots = [one for one in page.all("circle") if one["class"].startswith("dot")]
    assert len(dots) == len(scores)
    for dot in dots:
        assert 46 <= float(dot["cx"]) <= 544
        assert 14 <= float(dot["cy"]) <= 296


def test_a_front_is_ringed_and_told():
    points = [Point(1, 0.5, "cheap"), Point(2, 0.4, "beaten"), Point(3, 0.9, "best", "page.html")]
    page = Page(plot(points, "name", "MiB", "Score against bytes"))
    assert len([one for one in page.all("circle") if one["class"] == "ring"]) == 2
    assert "cheap: 50.00 % at 1; best: 90.00 % at 3" in page.text_in("desc")
    assert [one["href"] for one in page.all("a")] == ["page.html"]


@pytest.mark.parametrize(("share", "expected"), [((0.5, 0.25, 0.75), True), ((0.5, 0.5, 0.5), False)])
def test_a_bar_has_a_whisker_where_there_is_an_interval(share, expected):
    page = Page(bar(*share))
    (fill,) = (one for one in page.all("rect") if one["class"] == "fill")
    assert float(fill["width"]) == 44
    assert bool(page.all("path")) is expected
    if expected:
        assert page.all("path")[0]["d"].startswith("M22.0 1V7M66.0 1V7")


def test_the_page_holds_what_the_manifest_says(desk):
    content = (desk.folder / "entries" / "everywhere" / "manifest.json").read_bytes()
    assert Manifest.from_json(content).run.gpu_peak_bytes == 2**31


DRIVE = """
const board = document.getElementById("flowertune-board");
const click = (column) => board.tHead.rows[0].cells[column].querySelector("button").click();
click(3); click(3); click(4);
const form = document.querySelector("form.filters");
form.elements.kind.value = "checked";
form.elements.search.value = "A LAB";
form.dispatchEvent(new Event("input"));
"""


def dumped(file, profile, drive=""):
    """Return a page as Chromium has it from a file, after its script and `drive`, which its policy is made to admit."""
    text = file.read_text(encoding="utf-8")
    if drive:
        digest = base64.b64encode(hashlib.sha256(drive.encode()).digest()).decode()
        text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
        text = text.replace("</body>", f"<script>{drive}</script></body>")
    copy = profile / file.name
    copy.write_text(text, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom"]
    done = subprocess.run([*command, copy.as_uri()], capture_output=True, check=True, timeout=120, text=True)
    return Page(done.stdout)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="left out: there is no chromium")
def test_a_real_browser_sorts_and_filters(site, tmp_path):
    board = dumped(site / "finance.html", tmp_path, DRIVE)
    # The script has made its buttons, so the policy let it run.
    assert len([one for one in board.elements if one[0] == "button" and "thead" in one[2]]) == 2 * 9
    assert all("hidden" not in form for form in board.all("form"))
    sorts = [one.get("aria-sort") for one in board.all("th") if "data-first" in one][:9]
    assert sorts == [None] * 4 + ["descending"] + [None] * 4
    rows = rows_of(board, "flowertune-board")
    values = [cells[4]["data-value"] for _, cells in rows]
    known = [float(value) for value in values if value]
    assert known == sorted(known, reverse=True)
    assert values[len(known) :] == [""] * 6  # what is not known comes last
    assert [row["data-kind"] for row, _ in rows if "hidden" not in row] == ["checked"] * 2
    assert "2 of 16 shown" in board.text_in("form")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="left out: there is no chromium")
def test_a_real_browser_compares(site, entries, tmp_path):
    names = [next(one.id for one in entries if one.manifest.title == name) for name in ("finance only", "everywhere")]
    page = dumped(
        site / "compare.html",
        tmp_path,
        "const form = document.querySelector('form.filters');"
        "const data = JSON.parse(document.getElementById('comparison-data').textContent);"
        f"const wanted = {json.dumps(names)};"
        "['first', 'second'].forEach((side, at) => {"
        "  form.elements[side].value = data.entries.findIndex((one) => one.id === wanted[at]); });"
        "form.dispatchEvent(new Event('input'));",
    )
    assert "finance only against everywhere" in page.text_in("form")
    # The means and columns of four domains by one scoring, and of finance by the other.
    assert len(rows_of(page, "comparison")) == 18 + 4
    assert len(rows_of(page, "comparison-facts")) == 9
    assert [one for one in page.all("div") if one.get("id") == "comparison-view"] == [{"id": "comparison-view"}]
