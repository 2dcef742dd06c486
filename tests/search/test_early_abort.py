"""Epsilon mode breaks as weights of a v model come in: most of such a sweep need not be drawn to its end."""

from pathlib import Path

import pandas as pd
import pytest

from gridsearch.report.build import build
from gridsearch.report.csv import write_tables
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.rescore import rescore
from gridsearch.search.run import run_experiment
from tests.helpers.small_run import Quiet, experiment

pytestmark = pytest.mark.night


def sweep(toy: Path, **render):
    return experiment(
        toy,
        models={"base": str(toy / "base.safetensors"), "vpred": str(toy / "vpred.safetensors")},
        merge=[{"models": ["base", "vpred"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.2}}],
        render={
            "prediction_type": "epsilon",
            "config": str(toy / "config"),
            "width": 64,
            "height": 64,
            "steps": 15,
            "cfg": 3.5,
        }
        | render,
        score={},
        prompt=[{"text": f"a {shape}", "seeds": [1]} for shape in ("circle", "star", "heart", "triangle")],
    )


@pytest.fixture(scope="module")
def drawn(toy, tmp_path_factory):
    """The images of the sweep, to their end and with early aborts: two folders."""
    folders = {}
    for share in (False, True):
        folders[share] = tmp_path_factory.mktemp("abort")
        run_experiment(
            sweep(toy, early_abort=share, trace=share), Path("x.toml"), folders[share], Budget(), Quiet()
        )
        write_tables(load_results(folders[share]))
    return folders


def images(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "images.csv").set_index(["ratio", "prompt_id", "seed"])


def test_an_early_abort_saves_calls_of_the_unet_and_changes_no_verdict(drawn):
    whole, aborted = images(drawn[False]), images(drawn[True])
    assert whole["verdict"].to_dict() == aborted["verdict"].to_dict()
    assert (whole["unet_calls"] == 15).all()
    assert (aborted["unet_calls"] + aborted["unet_calls_saved"] == 15).all()
    assert aborted["unet_calls_saved"].sum() >= 0.3 * whole["unet_calls"].sum()
    assert aborted[whole["verdict"] == "ok"]["stopped"].isna().all()
    assert aborted["stopped"].notna().sum() > 10


def test_a_stopped_image_keeps_its_verdict_when_it_is_scored_again(drawn):
    before = images(drawn[True])
    rescore(drawn[True], lambda total: lambda: None)
    build(load_results(drawn[True]))
    assert before["verdict"].to_dict() == images(drawn[True])["verdict"].to_dict()


def test_every_image_has_its_trace(drawn):
    for file in images(drawn[True])["film"]:
        assert (drawn[True] / file).is_file()
        assert (drawn[True] / file).with_suffix(".json").is_file()
    assert not (drawn[False] / "traces").exists()
