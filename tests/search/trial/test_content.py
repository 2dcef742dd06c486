"""The parents as judges in a run: what they find is kept, and what is drawn is as without them."""

import pandas as pd
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from gridsearch.base.errors import BadInput
from gridsearch.experiment.tables import Scoring
from gridsearch.merge.parents import open_parents
from gridsearch.render.content import prompt_gains
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.report.build import build
from gridsearch.results.columns import CONTENT, LIKENESS, SET_DISTANCE
from gridsearch.results.results import load_results
from gridsearch.score.measure import read_image
from gridsearch.search.budget import Budget
from gridsearch.search.plan import judging_share
from gridsearch.search.rescore import rescore
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.settings import native_sampling
from gridsearch.search.trial.setup import load_setup, with_references
from gridsearch.search.trial.trial import run_trial
from tests.helpers.small_run import FILE, Quiet, experiment, settings

LEVELS = [200, 400]
JUDGED = {"references": ["base"], "content": {"levels": LEVELS}}


def render(toy, **changes):
    return settings(toy)["render"] | {"steps": 2} | changes


def rows_of(what, out):
    setup = with_references(load_setup(what, open_parents(what), out, Quiet()), [])
    batches = run_trial(setup, {"ratio": 0.5}, setup.cases, "images/t0000_", lambda *_: None)
    return setup, [row for batch in batches for row in batch.rows]


def test_what_a_parent_finds_is_kept_and_the_merge_draws_on_as_without_judges(toy, tmp_path):
    """In batches of one the parent is merged over the live weights after each image, and the merge again."""
    one_by_one = render(toy, batch=1)
    _, plain = rows_of(experiment(toy, render=one_by_one), tmp_path / "plain")
    setup, rows = rows_of(experiment(toy, score=JUDGED, render=one_by_one), tmp_path)
    assert [row["digest"] for row in rows] == [row["digest"] for row in plain]
    assert [row["weights"] for row in rows] == [row["weights"] for row in plain]
    parent = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))
    pictures = [read_image(tmp_path / row["file"]) for row in rows]
    sampling = native_sampling(setup.experiment.render, setup.parents, "base")
    expected = prompt_gains(parent, pictures, setup.cases, sampling, LEVELS)
    assert [row["scorers"][CONTENT] for row in rows] == pytest.approx(expected, abs=1e-6)


@pytest.mark.night
def test_a_run_shows_content_and_likeness_and_keeps_them_when_scored_again(toy, tmp_path):
    merge = [{"models": ["base", "burnt"], "ratio": {"low": 0.4, "high": 0.6, "step": 0.2}}]
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 14}
    Dinov2Model(Dinov2Config(**size)).save_pretrained(tmp_path / "dinov2")
    score = {"content": "parents", "features": str(tmp_path / "dinov2")}
    what = experiment(toy, score=score, render=render(toy), merge=merge)
    assert what.score.content.levels == (100, 200, 300, 400)
    tmp_path /= "run"
    run_experiment(what, FILE, tmp_path, Budget(), Quiet())
    before = load_results(tmp_path)
    build(before)
    assert before.references[CONTENT].notna().all()
    assert set(before.references["model"]) == {"base", "burnt"}
    trials, images = pd.read_csv(tmp_path / "trials.csv"), pd.read_csv(tmp_path / "images.csv")
    searched = images[images["role"] == "search"].groupby("trial")
    assert trials[CONTENT].tolist() == pytest.approx(searched[CONTENT].mean().tolist())
    assert trials[SET_DISTANCE].notna().all()
    assert (searched[list(LIKENESS)].mean().abs() <= 1).all(axis=None)
    page = (tmp_path / "report.html").read_text()
    assert all(f"<th>{name}</th>" in page for name in (CONTENT, SET_DISTANCE, *LIKENESS))
    assert "How much of the prompt the parents find" in page
    rescore(tmp_path, lambda _: lambda: None)
    pd.testing.assert_frame_equal(load_results(tmp_path).images, before.images)
    heavy = Scoring.model_validate({"content": {"weight": 1000}})
    rescore(tmp_path, lambda _: lambda: None, heavy)
    after = load_results(tmp_path).images
    assert (after["verdict"] == before.images["verdict"]).all()
    assert (after["defect"] >= before.images["defect"]).all()
    with pytest.raises(BadInput, match="not at these levels"):
        rescore(tmp_path, lambda _: lambda: None, Scoring.model_validate({"content": {"levels": [7]}}))


def test_a_plan_counts_the_judges_calls(toy):
    """Two models, two levels, with and without the prompt: 8 inputs, where 3 steps with guidance take 6."""
    for score, share in (({}, 0), ({"content": {"levels": LEVELS}}, 8 / 6)):
        what = experiment(toy, score=score, render=render(toy, steps=3))
        assert judging_share(what, open_parents(what)) == pytest.approx(share)
