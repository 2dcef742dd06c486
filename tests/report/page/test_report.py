"""The page and best.json: nothing from outside gets through, nothing is loaded from outside."""

import json
import re
from dataclasses import asdict, replace

import plotly.graph_objects as go
import pytest
from PIL import ImageColor

from gridsearch.report.figures.figure import figures
from gridsearch.report.grid import build_grid
from gridsearch.report.page.html import report_html, write_report
from gridsearch.report.sheet.layout import lay_out
from gridsearch.report.sheet.sheet import LINE
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.best_json import best_dict, write_best
from tests.helpers.made_up import make_results, with_facts
from tests.helpers.page import ATTACK, Page
from tests.helpers.sheets import contact_sheet


def texts(value) -> list[str]:
    """All strings in nested JSON."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in texts(item)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    results = make_results(
        tmp_path_factory.mktemp("hostile"), ratios=(0.2, 0.5, 1.0), prompts=(ATTACK, "a cat")
    )
    return replace(
        results,
        images=results.images.assign(reason=ATTACK),
        references=results.references.assign(model=ATTACK),
        facts=replace(
            results.facts,
            models={ATTACK: dict.fromkeys(results.facts.models["base"], ATTACK)},
            experiment=results.settings | {"note": ATTACK},
            versions={ATTACK: ATTACK},
        ),
    )


def test_hostile_text_stays_text(hostile):
    page = Page(report_html(hostile, analyse(hostile), hostile.folder))
    assert len(page.scripts) == 3  # the page's data, the library, the page's own
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any("alert(" in script for script in page.scripts[1:])
    assert "<lora:a:1>" in page.words  # shown as written, not swallowed
    data = json.loads(page.scripts[0])
    assert ATTACK in data["compare"]["cases"][0]["prompt"]  # as it is: the page sets it as text
    for_plotly = [data["figures"], data["prompts"]]  # Plotly reads a little HTML
    own = re.compile(r"<br>|<extra></extra>")  # what the figures themselves say
    assert not [text for text in texts(for_plotly) if "<" in own.sub("", text)]


def test_nothing_is_loaded_from_outside(sweep, hostile):
    for results in (sweep, hostile):
        page = Page(report_html(results, analyse(results), results.folder))
        addresses = [a[name] for _, a in page.tags for name in ("src", "href", "srcset", "data") if name in a]
        assert addresses
        assert all(
            re.match(r"data:image/webp;base64,|images/|references/|#", address) for address in addresses
        )
        assert not any(tag in {"link", "iframe", "object", "base"} for tag, _ in page.tags)
        policy = next(
            a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy.startswith("default-src 'none'")


def test_every_picture_is_there_with_words_for_who_cannot_see_it(sweep):
    page = Page(report_html(sweep, analyse(sweep), sweep.folder))
    pictures = [a for tag, a in page.tags if tag == "img"]
    assert len(pictures) >= len(sweep.images) + len(sweep.references)
    assert all(picture["alt"] for picture in pictures)
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    parts = {link for link in links if link.startswith("#")}
    assert parts <= {f"#{a['id']}" for _, a in page.tags if "id" in a}
    assert links - parts == set(sweep.images["file"]) | set(sweep.references["file"])


def test_the_answer_is_on_top_with_the_way_to_export_it(sweep):
    words = Page(report_html(sweep, analyse(sweep), sweep.folder)).words
    assert words.index("Take ratio 0.55") < words.index("gridsearch export") < words.index("Every image")
    assert "not finished" not in words


def test_a_run_under_way_says_so(tmp_path):
    for done in (0, 1, 9):
        results = make_results(tmp_path / str(done), prompts=("a cat", "a dog"), done=max(done, 1))
        if done == 0:  # nothing but the references so far
            results = replace(results, images=results.images.iloc[:0], trials=results.trials.iloc[1:])
        write_report(results, analyse(results), results.folder / "report.html")
        words = Page((results.folder / "report.html").read_text("utf-8")).words
        assert "not finished" in words
        assert f"{done} of {results.planned} trials so far" in words


def test_figures_are_what_plotly_understands(sweep, modes):
    for results, count in ((sweep, 11), (modes, 13)):
        drawn = figures(results, analyse(results))
        assert len(drawn) == count
        for figure in drawn:
            go.Figure(data=figure.data, layout=figure.layout)
            json.dumps(asdict(figure), allow_nan=False)


def test_a_missing_file_leaves_a_hole_not_an_error(tmp_path):
    results = make_results(tmp_path, ratios=(0.2, 0.5, 1.0), prompts=("a cat", "a dog"))
    (tmp_path / results.images["file"][0]).unlink()
    (tmp_path / results.images["file"][1]).write_bytes(b"no picture")
    assert "file missing" in report_html(results, analyse(results), tmp_path)


@pytest.mark.parametrize(
    "outside", ["../secret.png", "images/../../secret.png", "{there}", "images/a\0b.png"]
)
def test_a_stored_name_does_not_lead_out_of_the_folder(tmp_path, outside):
    results = make_results(tmp_path / "run", ratios=(0.2, 0.5), prompts=("a cat",), seeds=(11,))
    (tmp_path / "run/images/0000_p1_11.png").rename(tmp_path / "secret.png")
    outside = outside.format(there=tmp_path / "secret.png")
    results = replace(results, images=results.images.assign(file=[outside, *results.images["file"][1:]]))
    html = report_html(results, analyse(results), results.folder)
    assert html.count("file missing") == 2  # in the strip and in the grid
    assert "secret.png" not in html
    sheet, place = contact_sheet(results), lay_out(build_grid(results), (64, 64))
    assert sheet.getpixel(place.box(1, 0, 0)[:2]) == ImageColor.getrgb(LINE)  # a hole's outline


def test_best_json_is_strict_and_says_how_to_merge_it_again(sweep, tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    answer = analyse(sweep)
    write_best(
        with_facts(sweep, models={"base": {"sha256": "a1", "noise": float("nan")}}),
        answer,
        tmp_path / "best.json",
    )
    best = json.loads((tmp_path / "best.json").read_text("utf-8"), parse_constant=refuse)
    assert best["parameters"] == {"ratio": 0.55}
    assert best["recipe"]["merge"][0]["ratio"] == 0.55
    assert best["interval"]["low"] <= 0.55 <= best["interval"]["high"]
    assert best["window"]["low"]["inside"] == 0.45
    assert best["models"]["base"] == {"sha256": "a1", "noise": None}
    assert best["sentence"] == answer.sentence
    assert [path.name for path in tmp_path.iterdir()] == ["best.json"]


@pytest.mark.parametrize("home", ["/home/jane/", "C:\\Users\\jane\\"])
def test_what_may_be_shared_names_no_folder_of_the_persons(sweep, home):
    parts = [{"part": "unet", "path": f"{home}u.safetensors", "sha256": "0" * 64}]
    file = sweep.facts.models["base"] | {"path": f"{home}a.safetensors", "files": parts}
    experiment = sweep.facts.experiment | {"adapters": {"style": f"{home}style.safetensors"}}
    experiment["render"] = experiment["render"] | {"config": f"{home}sdxl-config"}
    experiment["search"] = {"earlier": f"{home}earlier-night"}
    scorers = [{"name": "nice", "head_file": f"{home}head.safetensors"}]
    experiment["score"] = {"scorer": scorers}
    facts = {"models": {"base": file}, "extras": {"style": file}, "file": f"{home}night.toml"}
    results = with_facts(sweep, **facts, experiment=experiment)
    answer = analyse(results)
    shared = report_html(results, answer, sweep.folder), json.dumps(best_dict(results, answer))
    assert all("jane" not in one and "a.safetensors" in one for one in shared)
    assert "sdxl-config" in shared[1]
    for name in ("style.safetensors", "sdxl-config", "earlier-night", "head.safetensors"):
        assert name in shared[0]


def test_best_json_before_anything_is_done(tmp_path):
    results = make_results(tmp_path, ratios=(0.2, 0.5), prompts=("a cat",), done=1)
    empty = replace(results, images=results.images.iloc[:0], trials=results.trials.iloc[1:])
    best = best_dict(empty, analyse(empty))
    assert best["parameters"] == {}
    assert best["recipe"] is None


@pytest.mark.parametrize("order", [1, -1])
def test_the_strip_is_of_the_recommended_mode_whichever_that_is(modes, order):
    found = analyse(modes)
    answer = replace(found, slices=found.slices[::order])
    html = report_html(modes, answer, modes.folder)
    strip = html[html.index('<figure class="strip">') :]
    shown = re.search(r'<li class="best"[^>]*>\s*<a href="([^"]+)"', strip)[1]
    assert modes.images.set_index("file").loc[shown, "trial"] == answer.best.trial
