"""A search over all blocks: its winner, its trials and its history as figures, and its images by rank."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gridsearch.base.errors import BadInput
from gridsearch.base.words import parameter_labels, value_text
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.report.figures.figure import BEST_LINE, figures
from gridsearch.report.figures.landscape import PERHAPS
from gridsearch.report.grid import build_grid
from gridsearch.report.page.comparer import comparer
from gridsearch.report.page.html import report_html
from gridsearch.report.page.tables import commands, time_note, trial_table
from gridsearch.report.sheet.layout import WIDEST, pages
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import make_results, results_of, with_facts

TRIALS, BLOCKS = 14, SDXL.blocks[1:]
NAMES = tuple(f"merged.ratio.{block}" for block in BLOCKS)
DEFECTS = np.random.default_rng(5).permutation(TRIALS) / 10
LOSSES = DEFECTS / (1 + DEFECTS)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Fourteen trials over nineteen blocks beside a fixed BASE, of two prompts; the loss of each is known."""
    folder = tmp_path_factory.mktemp("blocks")
    once = make_results(folder, ratios=(0.5,), prompts=("a", "b"), seeds=(1,))
    values = np.random.default_rng(4).random((TRIALS, len(NAMES))).round(3)
    parts = [
        once.images.drop(columns="ratio").assign(
            trial=i, verdict="ok", defect=DEFECTS[i], **dict(zip(NAMES, values[i], strict=True))
        )
        for i in range(TRIALS)
    ]
    results = results_of(folder, pd.concat(parts, ignore_index=True), NAMES, once.references)
    step = once.settings["merge"][0] | {
        "ratio": {"BASE": 0.25} | {block: {"low": 0.0, "high": 1.0} for block in BLOCKS}
    }
    settings = once.settings | {"merge": [step], "search": {"sampler": "tpe"}}
    results = with_facts(results, experiment=settings)
    return results, analyse(results, resamples=10), values


def test_the_winner_the_trials_and_the_history_are_drawn(night):
    results, answer, values = night
    drawn = {figure.id: figure for figure in figures(results, answer)}
    best = int(LOSSES.argmin())
    (bars,) = drawn["winner"].data
    assert tuple(bars["x"]) == SDXL.blocks  # in the UNet's order, with the one that is fixed
    assert bars["y"] == pytest.approx([0.25, *values[best]])
    lines = {trace["name"]: trace for trace in drawn["parallel"].data}
    assert lines["recommended"]["y"][:-1] == pytest.approx(values[best].tolist())
    assert lines["recommended"]["x"][:-1] == list(BLOCKS)
    assert sum(y is None for y in lines["most images are healthy"]["y"]) == TRIALS
    line, dots = drawn["history"].data
    assert dots["y"] == pytest.approx(DEFECTS.tolist())
    assert line["y"] == pytest.approx(np.minimum.accumulate(DEFECTS).tolist())


def test_the_answer_says_of_what_it_is_and_how_sure(night):
    results, answer, _ = night
    ends = "20 blocks each with a ratio of its own; 0 is base, 1 is model “burnt”"
    assert answer.sentence.startswith(
        f"Take trial {answer.best.trial} (base and model “burnt”, {ends}): all 2 "
    )
    # of each trial both prompts have one defect: the differences do not scatter, so none can be luck
    sure = "this is fairly sure: judging by 2 images each, all 13 other trials are ruled out"
    assert answer.sentence.endswith(f"{sure}; 14 trials for 19 values is little.")
    assert commands(results, answer)["export"].endswith(f"-trial-{answer.best.trial}.safetensors")
    html = report_html(results, answer, results.folder)
    assert "with base as its model A and model “burnt” as its model B." in html
    assert answer.weights.replace(",", ",<wbr>") in html  # broken between numbers alone
    assert html.count("Of the ratios of blocks, 0 is base, 1 is model “burnt”.") == 3


def test_where_it_has_just_begun_the_answer_has_the_same_form_and_says_how_little_that_is(night):
    results, _, _ = night
    begun = [0, 1, 2]
    trials, images = (table[table["trial"].isin(begun)] for table in (results.trials, results.images))
    early = replace(results, trials=trials, images=images, finished=False)
    answer = analyse(early, resamples=10)
    best = int(DEFECTS[begun].argmin())
    assert answer.sentence.startswith(f"So far, with 3 of {TRIALS} trials: take trial {best} (base and ")
    assert answer.sentence.endswith("; 3 trials for 19 values is little.")
    assert answer.best.window is None
    assert not any(word in answer.sentence for word in ("curve", "tried:", "survives"))


def test_the_box_says_what_supermerger_merges_otherwise(night):
    results, answer, values = night
    at = value_text(float(values[answer.best.trial][0]))
    said = f"the time embedding at the ratio of IN00 ({at}), this run at that of BASE (0.25)."
    assert said in time_note(results, answer)
    step = results.settings["merge"][0]
    alike = {"time": {"low": 0.0, "high": 1.0}} | step["ratio"]
    settings = results.settings | {
        "merge": [step | {"ratio": alike | {"time": float(values[answer.best.trial][0])}}]
    }
    assert time_note(with_facts(results, experiment=settings), answer) == ""


def test_the_sheet_has_the_best_trials_and_says_how_many_are_left_out(night):
    results, answer, _ = night
    (page,) = pages(build_grid(results, answer), (64, 64))
    assert [column.trial for column in page.grid.groups[-1].columns] == np.argsort(LOSSES)[:WIDEST].tolist()
    assert page.note == f"the best {WIDEST} of {TRIALS} trials, {TRIALS - WIDEST} are left out"


def test_shares_that_may_be_chance_are_pale(night):
    results, answer, _ = night
    files = [f"{i}.png" for i in range(len(results.images))]  # no copies
    results = replace(results, images=results.images.assign(file=files))
    values = tuple((name, 0.9 * (i == 0) + 0.1 * (i == 1)) for i, name in enumerate(NAMES))
    shown = replace(answer, importances=values)
    (found,) = (one for one in figures(results, shown) if one.id == "importances")
    assert "remaining" not in found.about  # they explain all
    assert found.data[0]["marker"]["color"] == [PERHAPS] * (len(NAMES) - 1) + [BEST_LINE]


def test_images_are_in_the_order_of_the_trials_ranks(night):
    results, answer, values = night
    grid = build_grid(results, answer)
    order = np.argsort(LOSSES).tolist()
    assert [column.trial for column in grid.groups[-1].columns] == order
    assert [column.heading for column in grid.groups[-1].columns] == [str(trial) for trial in order]
    headings = [column["heading"] for column in comparer(grid, answer)["columns"]]
    assert headings == ["base", "burnt", *(f"trial {trial}" for trial in order)]
    part = build_grid(results, answer, most=2 * 5)
    assert [column.trial for column in part.groups[-1].columns] == order[:5]
    assert part.notes[0].startswith("The best 5 of 14 trials are shown.")
    with pytest.raises(BadInput, match="no ratio names a trial"):
        build_grid(results, answer, ratios=[0.5])
    table = trial_table(results, answer)
    assert table["heads"][:4] == ["trial", "state", "healthy", "defect"]  # before nineteen ratios
    assert [row["cells"][0] for row in table["rows"]] == [str(trial) for trial in order]
    column = table["heads"].index("IN00")
    assert [row["cells"][column] for row in table["rows"]] == [value_text(values[i][0]) for i in order]


def test_a_block_is_named_by_itself_where_one_step_has_it():
    names = ("a.ratio.IN00", "a.ratio.IN01", "b.ratio.IN01", "render.cfg", "b.ratio")
    labels = ["IN00", "a ratio [IN01]", "b ratio [IN01]", "cfg", "b ratio"]
    assert list(parameter_labels(names).values()) == labels


def test_where_every_share_may_be_chance_the_figure_says_that_it_says_nothing(night):
    results, answer, _ = night
    pale = replace(answer, importances=tuple((name, 1 / len(NAMES)) for name in NAMES))
    told = {figure.id: figure for figure in figures(results, pale)}
    assert "This chart does not say which values matter" in told["importances"].about
    assert "Shares below" not in told["importances"].about
