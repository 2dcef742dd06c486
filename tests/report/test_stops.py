"""Early abort: what is said of it, worked out by hand; and runs of versions that had none."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from gridsearch.app import terminal
from gridsearch.report.build import build
from gridsearch.report.cells import Picture
from gridsearch.report.grid import savings_text, stop_of
from gridsearch.report.page.html import report_html
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.best_json import best_dict
from gridsearch.results.results import load_results
from gridsearch.search.evaluate import Told
from gridsearch.search.trial.outcome import Outcome
from tests.helpers.made_up import with_facts
from tests.helpers.stored import NEW, PROVENANCE, WHY, stored_run

# 4 of 20 images stop after 8 of 20 calls: 4 * 12 of 20 * 20 calls are saved
SAVED = "Early abort stopped 4 of 20 images and saved 12% of the UNet calls."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_results(stored_run(tmp_path_factory.mktemp("stopped")))


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return load_results(stored_run(tmp_path_factory.mktemp("old"), old=True))


def calls(made, saved):
    return pd.DataFrame({"unet_calls": made, "unet_calls_saved": saved})


def test_what_early_abort_saved():
    assert savings_text(calls([20] * 29 + [8] * 59, [0] * 29 + [12] * 59)) == (
        "Early abort stopped 59 of 88 images and saved 40% of the UNet calls."  # 708 of 1760
    )
    assert savings_text(calls([50] * 40 + [45], [0] * 40 + [5])) == ""  # 5 of 2050: not worth a line
    assert savings_text(calls([20, 20], [0, 0])) == ""
    assert savings_text(calls([None, None], [None, None])) == ""
    assert "1 of 2 images and saved 30%" in savings_text(calls([None, 20, 8], [None, 0, 12]))  # 12 of 40


def test_report_and_last_screen_say_so(run, capsys):
    assert SAVED in report_html(run, analyse(run), run.folder)
    terminal.show_answer(run, analyse(run))
    assert SAVED in capsys.readouterr().out


def test_a_stopped_images_tooltip_says_where_once():
    row = SimpleNamespace(stopped="noise", stopped_because=WHY, unet_calls=8.0, unet_calls_saved=12.0)
    picture = Picture("a.png", "burnt", "54% of the channel values are clipped", 8.0, stop_of(row))
    assert picture.said.splitlines() == [
        "burnt: 54% of the channel values are clipped",
        f"stopped at step 8 of 20: {WHY}",
    ]
    itself = replace(picture, verdict="noise", reason=f"{WHY}; stopped at step 8 of 20")
    assert itself.said == f"noise: {WHY}; stopped at step 8 of 20"


def test_a_trials_line_counts_what_was_stopped(capsys):
    progress = terminal.RunScreen()
    row = {"verdict": "burnt", "defect": 8.0}
    three = Outcome([row | {"stopped": "noise"}, row | {"stopped": None}, row], {}, 3)
    progress.trial(Told(3, {"ratio": 0.5}, three))
    assert "(1 stopped early)" in capsys.readouterr().out
    progress.trial(Told(4, {"ratio": 0.5}, Outcome([row], {}, 1)))
    assert "stopped" not in capsys.readouterr().out


def test_tables_say_how_each_image_came_about(run):
    build(run)
    table = pd.read_csv(run.folder / "images.csv")
    assert set(NEW) < set(table)
    stopped = table[table["ratio"] == 1.0]
    assert set(stopped["stopped"]) == {"noise"}
    assert set(stopped["unet_calls"]) == {8}
    assert table.loc[table["ratio"] < 1, "stopped"].isna().all()


def test_settings_and_where_they_are_from_are_in_report_and_best_json(run):
    build(run)
    assert json.loads((run.folder / "best.json").read_text("utf-8"))["settings"] == PROVENANCE
    html = (run.folder / "report.html").read_text("utf-8")
    assert html.index("base predicts it (marker key)") < html.index("<details><summary>Every setting")


def test_a_searched_setting_is_the_best_ones_in_best_json(modes):
    searched = [{"setting": "prediction_type", "value": "searched", "source": "the experiment"}]
    answer = analyse(modes)
    best = best_dict(with_facts(modes, drawing={"settings": searched}), answer)
    assert best["settings"] == [
        {
            "setting": "prediction_type",
            "value": answer.parameters["render.prediction_type"],
            "source": "the search",
        }
    ]


def test_a_run_of_an_earlier_version_still_reports(old, capsys):
    answer = build(old)
    terminal.show_answer(old, answer)
    assert "Early abort" not in capsys.readouterr().out
    html = (old.folder / "report.html").read_text("utf-8")
    for new in ("Early abort", "stopped at", "<th>setting</th>"):
        assert new not in html
    assert json.loads((old.folder / "best.json").read_text("utf-8"))["settings"] == []
