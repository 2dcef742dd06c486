"""Models that are shared without a VAE: merged, drawn and written with that of another file, on the toy."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import VAE
from gridsearch.experiment.prompts import cases_of
from gridsearch.merge.export.export import export
from gridsearch.merge.export.single import merge_of_trial
from gridsearch.merge.parents import open_parents
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.results import store
from gridsearch.search.budget import Budget
from gridsearch.search.plan import make_plan
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.settings import native_sampling, sampling_of
from gridsearch.search.trial.setup import load_setup, merge_over
from tests.helpers.layouts import save_parts
from tests.helpers.program import gridsearch
from tests.helpers.small_run import FILE, Quiet
from tests.merge.toy_steps import experiment, settings

STEP = {"models": ["base", "burnt"], "ratio": [0.5]}


@pytest.fixture
def bare(toy, tmp_path):
    """Save one of the toy's models without its VAE, and its VAE with other values; returns both paths."""

    def save(name):
        weights = load_file(toy / f"{name}.safetensors")
        rest = {key: value for key, value in weights.items() if not key.startswith(VAE)}
        save_file(rest, tmp_path / f"{name}.safetensors")
        own = {k.removeprefix(VAE): v.float() * 1.01 for k, v in weights.items() if k.startswith(VAE)}
        save_file(own, tmp_path / "vae.safetensors")
        return str(tmp_path / f"{name}.safetensors"), str(tmp_path / "vae.safetensors")

    return save


def models(toy, **paths):
    return settings(toy)["models"] | paths


def pictures(out):
    """Every picture of a run, references too, as pixels by their names."""
    return {path.name: np.asarray(Image.open(path)) for path in sorted(out.glob("*/*.png"))}


def drawn_alone(path, toy, what, sampling):
    """The first case as a file draws it that has everything in it."""
    renderer = load_renderer(path, toy / "config", None, placement("cpu", "float32"))
    (image,) = draw(renderer, cases_of(what.prompt)[:1], sampling, 1)
    return image.pixels


def test_a_second_model_without_a_vae_is_drawn_with_the_merges(toy, tmp_path, bare):
    """At ratio 1 it is the second model with that VAE, and is recognised as it by its fingerprint."""
    path, _ = bare("burnt")
    step = STEP | {"ratio": [1.0]}
    what = experiment(toy, step, models=models(toy, burnt=path), score={"references": ["base", "burnt"]})
    said = "burnt has no VAE: its references are drawn with that of base."
    assert said in make_plan(what, tmp_path / "x").warnings
    run_experiment(what, FILE, tmp_path / "x", Budget(), Quiet())
    base = load_file(toy / "base.safetensors")
    vae = {key: value for key, value in base.items() if key.startswith(VAE)}
    save_file(load_file(path) | vae, tmp_path / "full.safetensors")
    sampling = native_sampling(what.render, open_parents(what), "burnt")
    (mine,) = [pixels for name, pixels in pictures(tmp_path / "x").items() if name.startswith("burnt.")]
    assert np.array_equal(mine, drawn_alone(tmp_path / "full.safetensors", toy, what, sampling))
    stored = store.read_study(tmp_path / "x")
    (trial,) = stored.trials
    assert {row["weights"] for row in store.images_of(trial)} == {stored.facts.parents["burnt"]}
    export(merge_of_trial(what, {"ratio": 1.0}), tmp_path / "m.safetensors", Quiet())
    merged = load_file(tmp_path / "m.safetensors")
    assert all(torch.equal(merged[key], value) for key, value in vae.items())


@pytest.mark.night
def test_a_first_model_without_a_vae_is_drawn_and_written_with_the_file_that_is_named(toy, tmp_path, bare):
    path, file = bare("base")
    what = experiment(toy, STEP, models=models(toy, base=path), components={"vae": file})
    said = f"base has no VAE: its references are drawn with that of {file}."
    assert said in make_plan(what, tmp_path / "x").warnings
    run_experiment(what, FILE, tmp_path / "x", Budget(), Quiet())
    best = tmp_path / "best.safetensors"
    assert gridsearch("export", tmp_path / "x", "-o", best).returncode == 0
    merged, own = load_file(best), load_file(file)
    assert all(torch.equal(merged[VAE + key], value) for key, value in own.items())
    (mine,) = [pixels for name, pixels in pictures(tmp_path / "x").items() if name.startswith("t")]
    assert np.array_equal(mine, drawn_alone(best, toy, what, sampling_of(what.render, open_parents(what))))


def test_a_model_lends_its_vae_to_a_first_one_without(toy, tmp_path, bare):
    path, _ = bare("base")
    what = experiment(toy, STEP, models=models(toy, base=path), components={"vae": "burnt"})
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    merge_over(setup, setup.weights.terms(what.at({"ratio": 0.5})))
    burnt = load_file(toy / "burnt.safetensors")
    keys = [key for key in setup.renderer.live if key.startswith(VAE)]
    assert len(keys) == len([key for key in burnt if key.startswith(VAE)])
    for key in keys:
        (part,) = setup.renderer.live[key]
        assert torch.equal(part.view, burnt[key].float()), key


EXPERIMENT = """
name = "small"
models = {{ base = "{base}", burnt = "{burnt}" }}
render = {{ prediction_type = "v_prediction", config = "{config}", width = 64, height = 64, steps = 2 }}
prompt = [{{ text = "x" }}]
[[merge]]
models = ["base", "burnt"]
ratio  = [0.5]
"""


def test_a_merge_without_a_vae_is_written_with_a_note_and_not_drawn(toy, tmp_path, bare):
    path, _ = bare("base")
    burnt = toy / "burnt.safetensors"
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(base=path, burnt=burnt, config=toy / "config"))
    for command in ("plan", "run"):
        done = gridsearch(command, "x.toml", cwd=tmp_path)
        assert done.returncode == 2
        what, where, why, fix = done.stderr.strip().splitlines()
        assert what == "error: The merge has no VAE: base has none."
        assert path in where
        assert why == "  why: it is the first model's unless one is named"
        assert fix.startswith('  fix: Name one under [components]: vae = "burnt", or a file: vae = "sdxl')
    done = gridsearch("merge", "x.toml", "--ratio", "0.5", "-o", "m.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert 'base has no VAE, so the file has none either. [components] vae = "burnt" puts one into' in said
    merged = load_file(tmp_path / "m.safetensors")
    assert not any(key.startswith(VAE) for key in merged)
    assert {key for key in load_file(path) if not key.startswith("v_pred")} <= merged.keys()


@pytest.mark.parametrize(("vae", "lacking"), [("merged", "burnt"), ("burnt", "burnt")])
def test_a_vae_that_is_asked_of_a_model_without_one_is_refused_even_where_nothing_is_drawn(
    toy, bare, vae, lacking
):
    path, _ = bare("burnt")
    what = experiment(toy, STEP, models=models(toy, burnt=path), components={"vae": vae})
    with pytest.raises(BadInput, match=f"The merge has no VAE: {lacking} has none") as caught:
        open_parents(what)
    assert caught.value.lines[2] == f'  why: [components] vae = "{vae}"'
    assert caught.value.lines[3].startswith('  fix: Name one under [components]: vae = "base", or a file')


def test_a_vae_that_is_incomplete_is_refused(toy, tmp_path, bare):
    path, file = bare("base")
    part = load_file(file)
    part.pop("decoder.conv_out.bias")
    save_file(part, file)
    other, _ = bare("burnt")
    save_file(part, file)
    paths = models(toy, base=path, burnt=other)
    what = experiment(toy, STEP, models=paths, components={"vae": file}, score={"references": ["base"]})
    for check in (
        lambda: make_plan(what, tmp_path / "x"),
        lambda: load_setup(what, open_parents(what), tmp_path, Quiet()),
    ):
        with pytest.raises(BadInput, match="lacks 1 of the") as caught:
            check()
        assert file in caught.value.lines[1]
        assert "of the vae: first_stage_model.decoder.conv_out.bias" in caught.value.lines[2]


@pytest.mark.parametrize("spoilt", ["format", "scales"])
def test_a_vae_whose_values_are_not_its_weights_is_refused(toy, bare, spoilt):
    path, file = bare("base")
    weights = load_file(file)
    if spoilt == "format":
        weights["decoder.conv_out.bias"] = torch.ones(4, dtype=torch.float8_e8m0fnu)
        said = "1 weights of this checkpoint are F8_E8M0, an 8-bit format of powers of two, for scales"
    else:
        weights["decoder.conv_out.scale_weight"] = torch.ones(1)
        said = "The weights of this checkpoint are quantised"
    save_file(weights, file)
    with pytest.raises(BadInput, match=said) as caught:
        open_parents(experiment(toy, STEP, models=models(toy, base=path), components={"vae": file}))
    assert file in caught.value.lines[1]


def test_a_model_in_parts_may_lack_the_vae_as_a_single_file_may(toy, tmp_path):
    parts = save_parts(toy / "burnt.safetensors", tmp_path / "parts")
    bare = {part: file for part, file in parts.items() if part != "vae"}
    second = experiment(toy, STEP, models=models(toy, burnt=bare), score={"references": ["base", "burnt"]})
    said = "burnt has no VAE: its references are drawn with that of base."
    assert said in make_plan(second, tmp_path / "x").warnings
    step = STEP | {"models": ["burnt", "base"]}
    with pytest.raises(BadInput, match="The merge has no VAE: burnt has none"):
        make_plan(experiment(toy, step, models=models(toy, burnt=bare)), tmp_path / "x")
    lent = experiment(toy, step, models=models(toy, burnt=bare), components={"vae": parts["vae"]})
    make_plan(lent, tmp_path / "x")
    export(merge_of_trial(lent, {"ratio": 0.5}), tmp_path / "m.safetensors", Quiet())
    merged, burnt = load_file(tmp_path / "m.safetensors"), load_file(toy / "burnt.safetensors")
    assert all(torch.equal(merged[key], burnt[key]) for key in burnt if key.startswith(VAE))
