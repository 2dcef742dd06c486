"""The report's film strips: whose are shown, in what order, how many, and that nothing gets in or out."""

import re
import shutil
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from gridsearch.report.page import images
from gridsearch.report.page.html import report_html
from gridsearch.report.page.images import STRIPS, Film, evenly_chosen
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import load_results
from tests.helpers.page import ATTACK, Page
from tests.helpers.stored import WHY, stored_run

RATIOS = ["0.00", "0.25", "0.50", "0.75", "1.00"]
HEADING = "How the images formed"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two prompts with two seeds each; a film of every image and reference."""
    return load_results(stored_run(tmp_path_factory.mktemp("films")))


def section(results) -> str:
    html = report_html(results, analyse(results), results.folder)
    assert len(Page(html).scripts) == 3  # nothing in it has opened another
    start = html.index('<section class="page films"')
    return html[start : html.index("</section>", start)]


def cases(html: str) -> list[str]:
    return html.split("<details")[1:]


def lines(case: str) -> list[str]:
    return case.split("<li")[1:]


def links(case: str) -> list[str]:
    return re.findall(r'href="(traces/[^"]+)"', case)


def test_a_case_has_one_strip_per_ratio_in_order_and_references_first(run):
    first = cases(section(run))[0]
    assert re.findall(r"<li.*?<b>(.*?)</b>", first, re.DOTALL) == ["base", *RATIOS]
    trials = {row.ratio: row.trial for row in run.trials.itertuples()}
    ours = [f"traces/t{trials[float(ratio)]:04d}_p1_11.png" for ratio in RATIOS]
    assert links(first) == ["traces/base_p1_11.png", *ours]
    ends = re.findall(r'class="end" href="([^"]+)"', first)
    assert ends == ["references/base_p1_11.png", *(name.replace("traces", "images") for name in ours)]
    assert first.count("<img") == first.count("data:image/webp") == 2 * len(lines(first))
    assert all(attributes["alt"] for tag, attributes in Page(first).tags if tag == "img")


def test_a_long_prompt_stands_in_the_section_once(tmp_path):
    prompt = "a cat, " * 200 + "a bird"
    results = load_results(stored_run(tmp_path, prompts=(prompt, "a dog"), seeds=(11,)))
    assert section(results).count(prompt) == 1


def test_every_case_can_be_opened_and_the_first_is(run):
    found = cases(section(run))
    titles = [
        re.search(r'class="of">(.*?)</span> <small>(.*?)</small>', case, re.DOTALL).groups() for case in found
    ]
    assert titles == [(text, f"seed {seed}") for text in ("a cat", "a dog") for seed in (11, 12)]
    assert [case.startswith(" open>") for case in found] == [True, False, False, False]
    beads = re.findall(r'<i style="--verdict: (#\w+)">', found[0])
    assert len(beads) == len(RATIOS)


def test_a_stopped_one_says_where_and_why_and_its_film_ends_there(run):
    for case in cases(section(run)):
        *others, stopped = lines(case)
        assert "stopped at step 8 of 20" in stopped
        title = unescape(re.search(r'title="([^"]*)"', stopped)[1])
        assert title.splitlines()[-1] == f"stopped at step 8 of 20: {WHY}"
        assert not any("stopped" in other or 'class="cut"' in other for other in others)
        widths = [int(width) for width in re.findall(r"flex-grow: (\d+)", stopped)]
        assert widths[:2] == [3 * 96, 5 * 96]  # three of eight frames, then what was not drawn
        assert re.findall(r"flex-grow: (\d+)", others[0])[0] == str(8 * 96)


def test_no_film_no_section(run, sweep, tmp_path):
    assert HEADING not in report_html(sweep, analyse(sweep), sweep.folder)
    shutil.copytree(run.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/traces")
    gone = replace(run, folder=tmp_path / "run")
    assert HEADING not in report_html(gone, analyse(gone), gone.folder)


def test_one_missing_film_is_a_hole_in_its_place(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run/traces/base_p1_11.png").unlink()
    first = cases(section(replace(run, folder=tmp_path / "run")))[0]
    assert ["file missing" in line for line in lines(first)] == [True] + [False] * len(RATIOS)


def test_hostile_text_stays_text(tmp_path):
    results = load_results(stored_run(tmp_path, prompts=(ATTACK, "a cat"), seeds=(11,)))
    images = results.images
    results = replace(
        results,
        images=images.assign(
            stopped_because=images["stopped_because"].where(images["stopped"].isna(), ATTACK)
        ),
        references=results.references.assign(model=ATTACK),
        facts=replace(
            results.facts, drawing={"settings": [{"setting": ATTACK, "value": ATTACK, "source": ATTACK}]}
        ),
    )
    html = report_html(results, analyse(results), results.folder)
    page = Page(html)
    assert len(page.scripts) == 3
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not any("evil" in attributes.get("src", "") for _, attributes in page.tags)
    of_films = section(results)
    seen = Page(of_films).words.count("<lora:a:1>")
    assert seen == 1 + 2 * 2  # in its case's title; in both cases a reference's name, a reason


@pytest.mark.parametrize(
    "outside", ["../secret.png", "traces/../../secret.png", "{there}", "//evil.example/x"]
)
def test_a_stored_film_does_not_lead_out_of_the_folder(tmp_path, outside):
    results = load_results(stored_run(tmp_path / "run", prompts=("a cat",), seeds=(11,)))
    secret = tmp_path / "secret.png"
    shutil.copy(results.folder / "traces/base_p1_11.png", secret)
    film = [outside.format(there=secret), *results.images["film"][1:]]
    html = report_html(
        replace(results, images=results.images.assign(film=film)), analyse(results), results.folder
    )
    assert "secret" not in html
    assert "evil.example" not in html
    assert html.count('href="traces/') == len(RATIOS)  # the reference's, and of one ratio less


def test_what_does_not_fit_is_linked_and_said_and_every_prompt_comes_before_a_second_seed(run, monkeypatch):
    whole = cases(section(run))
    monkeypatch.setattr(images, "FILM_BYTES", sum(map(data_bytes, (whole[0], whole[2]))) + 100)
    monkeypatch.setattr(images, "HEIGHTS", (96,))
    html = section(run)
    assert [data_bytes(case) > 0 for case in cases(html)] == [True, False, True, False]
    assert data_bytes(html) <= images.FILM_BYTES
    assert "12 of 24 films are links" in html
    assert [links(case) for case in cases(html)] == [links(case) for case in whole]


def data_bytes(html: str) -> int:
    return sum(map(len, re.findall(r'data:[^"]+', html)))


def test_smaller_films_come_before_fewer(run, monkeypatch):
    monkeypatch.setattr(images, "HEIGHTS", (16, 8))
    monkeypatch.setattr(images, "FILM_BYTES", data_bytes(section(run)) - 1)
    html = section(run)
    assert "are links" not in html
    assert data_bytes(html) <= images.FILM_BYTES


@pytest.mark.parametrize("best", [0, 37, 100, None])
def test_of_many_ratios_evenly_spaced_ones_are_shown_with_the_ends_and_the_best(best):
    def film(trial):
        return Film(
            SimpleNamespace(trial=trial, is_reference=trial is None), None, Path(f"{trial}.png"), None
        )

    chosen = [one.column.trial for one in evenly_chosen([film(None), *map(film, range(101))], best)]
    assert chosen[0] is None
    places = chosen[1:]
    assert len(places) == STRIPS
    assert places == sorted(places)
    assert {0, 100, best or 0} <= set(places)
    assert max(b - a for a, b in pairwise(places)) <= 9  # twice 100 / 23
