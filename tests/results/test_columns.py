"""Columns and metrics: each is described once, and everything that names them follows."""

import pytest

from tests.helpers.edited import PACKAGE, answer_of, edited_package

NEW_COLUMNS = [
    (
        "results/columns.py",
        "IMAGE_ROW = (",
        '    Column("mood", Measurement, "the mood of its prompt", "smiles"),',
    ),
    ("results/columns.py", "TRIALS = (", '    Column("weekday", Text, "when it was drawn"),'),
    # where the values are known
    (
        "search/trial/save.py",
        '        "prompt_id": drawn.case.prompt_id,',
        '        "mood": len(drawn.case.text) / 2,',
    ),
    (
        "results/results.py",
        '                "started": _clock(trial.datetime_start),',
        '                "weekday": f"{trial.datetime_start:%A}",',
    ),
]
NEW_METRIC = [
    (
        "score/metrics.py",
        '    brightness: float = _metric("mean luma", "8-bit levels")',
        '    glow: float = _metric("how much it glows", "candelas", scale=_linear(0.5, 0.2, 0.1),'
        '        column=True, figure=("Glow", "More of it is brighter."))',
    ),
    ("score/measure.py", "    return Metrics(", "        glow=0.75,"),
]
# A stored run, its images' rows changed.
STORE = """
import json
from pathlib import Path
from types import SimpleNamespace

from gridsearch.render.cases import Case
from gridsearch.report.csv import write_tables
from gridsearch.results import store
from gridsearch.results.results import load_results
from tests.helpers.stored import stored_run

run = stored_run(Path("run"))
found = store.read_study(run)

def kept(change):
    trials = [
        store.copied(t, user_attrs=store.with_images(t, [change(row) for row in store.images_of(t)]))
        for t in found.trials
    ]
    store.write_study(run, found.facts, trials)

def refused(name):
    from gridsearch.base.errors import BadInput
    kept(lambda row: {**row, name: "x"})
    try:
        load_results(run)
    except BadInput as error:
        return "\\n".join(error.lines)

def said():
    import runpy
    tables = runpy.run_path(TABLES)
    return [text for _, text in tables["pages"]()]

def head(file):
    return (run / file).read_text().partition("\\n")[0].split(",")
"""
COLUMN = """
import numpy as np

from gridsearch.results.columns import RESERVED
from gridsearch.search.trial.save import Origin, save_image
from tests.helpers.settings import sampling

case, pixels = Case("p1", "a cat", "", 7), np.zeros((8, 8, 3), np.uint8)
drawn = SimpleNamespace(
    case=case, pixels=pixels, film=None, finite=True, seconds=1.0, trace=[1], calls=1, made=1, stop=None
)
mood = save_image(run, "images/mood_", drawn, sampling(), Origin("m", "h", "r", "cpu"))["mood"]
kept(lambda row: {**row, "mood": mood})
results = load_results(run)
write_tables(results)
print(json.dumps({
    "images": head("images.csv"),
    "trials": head("trials.csv"),
    "weekdays": [day.endswith("day") for day in results.trials["weekday"]],
    "moods": results.images["mood"].unique().tolist(),
    "reserved": "mood" in RESERVED,
    "said": said(),
    "refused": refused("mood"),
}))
"""
METRIC = """
import numpy as np

from gridsearch.app.cli.schemas import json_schema
from gridsearch.report.figures.figure import figures
from gridsearch.report.page.tables import trial_table
from gridsearch.results.analysis.analyse import analyse
from gridsearch.score.band import POPULATION
from gridsearch.score.files import COLUMNS
from gridsearch.score.score import score, score_row

row = score_row(score(np.full((64, 64, 3), 128, np.uint8), POPULATION))
kept(lambda old: {**old, "glow": row["glow"]})
results = load_results(run)
answer = analyse(results)
write_tables(results)
print(json.dumps({
    "images": head("images.csv"),
    "trials": head("trials.csv"),
    "means": results.trials["glow"].unique().tolist(),
    "low": POPULATION["glow"].low,
    "scores": list(COLUMNS),
    "schema": json_schema("scores")["$defs"]["ScoredImage"]["required"],
    "figures": [figure.title for figure in figures(results, answer)],
    "heads": trial_table(results, answer)["heads"],
    "said": said(),
    "refused": refused("glow"),
}))
"""


def ran(folder, edits, code):
    tables = PACKAGE.parent / "docs" / "column_tables.py"
    return answer_of(edited_package(folder, edits), f"TABLES = {str(tables)!r}\n{STORE}\n{code}")


@pytest.mark.night
def test_a_column_is_added_in_one_file_and_where_its_value_is_known(tmp_path):
    found = ran(tmp_path, NEW_COLUMNS, COLUMN)
    assert found["images"][:4] == ["trial", "role", "ratio", "mood"]
    assert found["trials"][:2] == ["weekday", "trial"]
    assert found["moods"] == [2.5]
    assert all(found["weekdays"])
    assert found["reserved"]
    readme, *_ = found["said"]
    assert "| `mood` | the mood of its prompt | smiles |" in readme
    assert "| `weekday` | when it was drawn | |" in readme
    assert "mood: give a number" in found["refused"]


@pytest.mark.night
def test_a_metric_is_added_in_two_files(tmp_path):
    found = ran(tmp_path, NEW_METRIC, METRIC)
    for columns in ("images", "trials", "scores", "schema", "heads"):
        assert "glow" in found[columns], columns
    assert found["means"] == [0.75]
    assert found["low"] == pytest.approx(0.3)
    assert "Glow" in found["figures"]
    readme, scoring, *_ = found["said"]
    assert readme.count("| `glow` |") == 2
    assert "| `glow` | how much it glows | candelas | |" in scoring
    assert "glow: give a number" in found["refused"]
