"""What the page says in words: how to draw the merge, which images of the best failed, what looks better."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from gridsearch.report.page.draw_with import by_hand, carried
from gridsearch.report.page.tables import edges, slice_rows
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import results_of, table, with_facts

RATIOS = (0.2, 0.3, 0.4, 0.5, 0.6)


def crossed():
    """Two values of cfg: ratios from 0.3 to 0.5 survive with both, but for an image at 0.4 of cfg 7."""
    prompts = tuple(f"p{i}" for i in range(8))
    tables = []
    for i, (cfg, middle) in enumerate(((7.0, (0.0, 0.0, 0.0)), (5.0, (0.2, 0.0, 0.7)))):
        shares = dict(zip(RATIOS, (7.0, *middle, 7.0), strict=True))
        defects = {at: [one + 0.02 * p for p in range(8)] for at, one in shares.items()}
        letters = {at: "oooooooo" if one < 7 else "bbbbbbbb" for at, one in shares.items()}
        letters[0.4] = "ooooooob" if cfg == 7.0 else letters[0.4]
        rows = table(letters, defects, prompts, **{"render.cfg": cfg, "prediction_type": "v_prediction"})
        tables.append(rows.assign(trial=rows["trial"] + i * len(RATIOS)))
    return results_of(Path("nowhere"), pd.concat(tables), ("ratio", "render.cfg"))


def drawn_with(results, **settings):
    rows = [{"setting": name, "value": value, "source": "the default"} for name, value in settings.items()]
    return with_facts(results, drawing={"settings": rows})


def test_what_no_file_holds_is_to_be_set_and_what_it_holds_is_said():
    results = crossed()
    answer = analyse(results, resamples=50)
    cfg = f"{answer.parameters['render.cfg']:g}"
    size = {"width": "1024", "height": "768"}
    told = drawn_with(results, cfg="searched", sampler="euler", steps="20", zero_terminal_snr="True", **size)
    assert by_hand(told, answer) == f"cfg {cfg}, euler, 20 steps, 1024 × 768 px"
    assert carried(told, answer).endswith("v_prediction and zero terminal SNR (keys v_pred and ztsnr).")
    told = drawn_with(results, cfg="searched", zero_terminal_snr="False")
    assert carried(told, answer).endswith("v_prediction (key v_pred).")
    told = replace(told, images=told.images.assign(prediction_type="epsilon"))
    assert (by_hand(told, answer), carried(told, answer)) == (f"cfg {cfg}", "")


def test_what_looks_better_than_the_best_is_named_and_the_failed_image_of_the_best():
    results = crossed()
    answer = analyse(results, resamples=50)
    rows = results.trials.set_index(["render.cfg", "ratio"])

    def taking(cfg, ratio):
        found = next(one for one in answer.slices if one.settings == {"render.cfg": cfg})
        row = rows.loc[(cfg, ratio)]
        own = {"trial": int(row["trial"]), "survived": row["survived"], "defect": row["defect"]}
        return replace(found, ratio=ratio, **own)

    told = replace(answer, slices=(taking(7.0, 0.4), taking(5.0, 0.3)))
    better = [row["but"] for row in slice_rows(results, told)]
    assert better == ["0.30 by itself: 100%, defect 0.07", "0.40 by itself: 100%, defect 0.07"]
    assert edges(results, told)[0] == "At 0.40 itself, 1 image fails: p7, seed 0 (blank)."
    told = replace(answer, slices=(taking(5.0, 0.4), taking(7.0, 0.3)))
    assert [row["but"] for row in slice_rows(results, told)] == ["", ""]
    assert not any("itself" in line for line in edges(results, told))
