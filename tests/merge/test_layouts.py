"""Models in other layouts than that of a single file, end to end on the toy: the same merge, bit for bit."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.experiment.experiment import load_experiment, parse_experiment
from gridsearch.merge.engine.sources import FileSource, greatest_values
from gridsearch.merge.export.export import export
from gridsearch.merge.export.extract import Cut, extract_adapter
from gridsearch.merge.export.source import open_merge
from gridsearch.merge.parents import open_parents
from gridsearch.merge.weights import open_weights
from gridsearch.render.draw import draw
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.export import of_trial
from gridsearch.search.plan import make_plan
from gridsearch.search.prepare import check_experiment
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import live_fingerprint, load_setup, merge_over, parent_fingerprint
from tests.helpers.layouts import (
    plain_pipeline,
    rewritten,
    save_folder,
    save_parts,
    with_clip_g_in_transformers_names,
    with_comfys_leftovers,
    with_diffusers_attention,
    with_linear_attention,
)
from tests.helpers.program import gridsearch
from tests.helpers.small_run import FILE, Quiet, settings

RATIO = "--ratio=0.35"


def experiment(toy, models, **changes):
    return parse_experiment(settings(toy, models=models, **changes), toy, "test")


def written(toy, folder, models) -> None:
    """An experiment file with these models; a value of text is a path."""
    lines = [
        f"{name} = {json.dumps(place) if isinstance(place, str) else table(place)}"
        for name, place in models.items()
    ]
    rest = (toy.parent / "toy.toml").read_text().replace("toy/config", str(toy / "config"))
    start, _, end = rest.partition("[models]")
    end = end[end.index("[[merge]]") :]
    (folder / "x.toml").write_text("\n".join([start, "[models]", *lines, "", end]))


def table(parts) -> str:
    return f"{{ {', '.join(f'{part} = {json.dumps(file)}' for part, file in parts.items())} }}"


def done(*arguments, cwd):
    found = gridsearch(*arguments, cwd=cwd)
    assert found.returncode == 0, found.stderr
    return found


@pytest.fixture(scope="module")
def merged(toy, tmp_path_factory):
    """A folder of sharded components merged with a model in parts, and the same from single files."""
    place = tmp_path_factory.mktemp("merged")
    save_folder(toy, "base", place / "models" / "base", variant="fp16", max_shard_size="1MB")
    save_parts(toy / "burnt.safetensors", place / "models" / "burnt")
    parts = {part: f"models/burnt/{part}.safetensors" for part in ("unet", "clip_l", "clip_g", "vae")}
    written(toy, place, {"base": "models/base/", "burnt": parts})
    done("merge", "x.toml", RATIO, "--prediction-type=v_prediction", "-o", "x.safetensors", cwd=place)
    single = place / "single"
    single.mkdir()
    written(toy, single, {name: str(toy / f"{name}.safetensors") for name in ("base", "burnt")})
    done("merge", "x.toml", RATIO, "--prediction-type=v_prediction", "-o", "x.safetensors", cwd=single)
    return place


def test_a_folder_merged_with_parts_is_the_merge_of_the_same_two_as_single_files(merged, toy):
    ours, theirs = (load_file(place / "x.safetensors") for place in (merged, merged / "single"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours)
    base, burnt = (load_file(toy / f"{name}.safetensors") for name in ("base", "burnt"))
    assert any(not torch.equal(ours[key], base[key]) for key in base)
    key = next(key for key in base if not torch.equal(base[key], burnt[key]))
    assert torch.equal(ours[key], torch.lerp(base[key], burnt[key], 0.35))


def test_plain_diffusers_loads_the_exported_file(merged, toy):
    ours, theirs = (plain_pipeline(toy, place / "x.safetensors") for place in (merged, merged / "single"))
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        mine, other = getattr(ours, name).state_dict(), getattr(theirs, name).state_dict()
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[key], other[key]) for key in mine)


def test_the_merge_log_and_the_files_metadata_tell_every_file(merged):
    log = json.loads((merged / "x.merge.json").read_text())
    with safe_open(merged / "x.safetensors", "pt") as file:
        record = json.loads(file.metadata()["sd_merge_recipe"])
    assert log["record"] == record
    assert list(record["parts"]["burnt"]) == ["unet", "clip_l", "clip_g", "vae"]
    assert list(record["parts"]["base"])[:2] == ["unet 1 of 6", "unet 2 of 6"]
    assert log["paths"]["base"] == str(merged / "models" / "base")
    assert log["paths"]["burnt"]["clip_g"] == str(merged / "models" / "burnt" / "clip_g.safetensors")


def test_it_is_made_again_from_its_log_and_from_itself_with_parts_that_have_moved(merged, tmp_path):
    done("merge", merged / "x.merge.json", "-o", "again.safetensors", cwd=tmp_path)
    assert (tmp_path / "again.safetensors").read_bytes() == (merged / "x.safetensors").read_bytes()
    shutil.copytree(merged / "models", tmp_path / "elsewhere")
    refused = gridsearch("merge", merged / "x.safetensors", "-o", "more.safetensors", cwd=tmp_path)
    options = [f"--model=burnt.{part}=FILE" for part in ("unet", "clip_l", "clip_g", "vae")]
    assert refused.returncode == 2
    assert "--model base=FOLDER " + " ".join(options).replace("--model=", "--model ") in refused.stderr
    found = [o.replace("FILE", f"elsewhere/burnt/{o.split('.')[1][:-5]}.safetensors") for o in options]
    found.append("--model=base=elsewhere/base")
    done("merge", merged / "x.safetensors", *found, "-o", "more.safetensors", cwd=tmp_path)
    assert (tmp_path / "more.safetensors").read_bytes() == (merged / "x.safetensors").read_bytes()
    moved = "--model=burnt.vae=elsewhere/burnt/vae.safetensors"
    done("merge", merged / "x.merge.json", moved, "-o", "third.safetensors", cwd=tmp_path)
    assert (tmp_path / "third.safetensors").read_bytes() == (merged / "x.safetensors").read_bytes()
    wrong = moved.replace("vae.safetensors", "unet.safetensors")
    refused = gridsearch("merge", merged / "x.merge.json", wrong, "-o", "no.safetensors", cwd=tmp_path)
    assert "There is no VAE in this file." in refused.stderr


@pytest.mark.night
def test_a_run_on_them_is_recorded_and_exported(merged, toy, tmp_path):
    models = load_experiment(merged / "x.toml").model_dump(mode="json")["models"]
    ratio = {"low": 0.0, "high": 1.0, "step": 0.5}
    step = {"models": ["base", "burnt"], "ratio": ratio}
    chosen = experiment(toy, models, merge=[step], prompt=[{"text": "a circle"}])
    assert open_parents(chosen).checkpoints["burnt"].title == "unet.safetensors and 3 more"
    run_experiment(chosen, FILE, tmp_path / "out", Budget(), Quiet())
    done("report", "out", cwd=tmp_path)
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert [file["part"] for file in best["models"]["burnt"]["files"]] == ["unet", "clip_l", "clip_g", "vae"]
    assert best["models"]["base"]["layout"] == "diffusers folder"
    assert best["models"]["base"]["prediction_type_source"] == "scheduler_config.json"
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(file["sha256"] in page for model in best["models"].values() for file in model["files"])

    results = load_results(tmp_path / "out")
    number = results.trials.set_index("ratio").loc[0.5, "trial"]
    export(of_trial(results, number, []), tmp_path / "best.safetensors", Quiet())
    ours = load_file(tmp_path / "best.safetensors")
    base, burnt = (load_file(toy / f"{name}.safetensors") for name in ("base", "burnt"))
    assert all(torch.equal(ours[key], torch.lerp(base[key], burnt[key], 0.5)) for key in base)


def test_a_plan_counts_what_is_put_together_in_memory(merged, toy, tmp_path):
    single = {name: str(toy / f"{name}.safetensors") for name in ("base", "burnt")}
    folder = {**single, "base": str(merged / "models" / "base")}
    plans = [make_plan(experiment(toy, models), tmp_path) for models in (single, folder)]
    copied = plans[1].parents.checkpoints["base"].copied
    assert copied > 0
    assert plans[1].memory.host - plans[0].memory.host == copied


@pytest.mark.night
def test_single_files_with_other_names_render_and_merge_as_with_their_own(toy, tmp_path):
    """The first is built from its configs, and no longer loaded by diffusers as a single file."""

    def first(tensors):
        return with_clip_g_in_transformers_names(with_diffusers_attention(tensors))

    def second(tensors):
        return with_comfys_leftovers(with_linear_attention(tensors))

    files = {name: toy / f"{name}.safetensors" for name in ("base", "burnt")}
    others = {
        name: rewritten(files[name], tmp_path / f"{name}.safetensors", change)
        for name, change in (("base", first), ("burnt", second))
    }
    found, wanted = (merged_setup(experiment(toy, models), tmp_path) for models in (others, files))
    assert found.parents.first.pieces
    assert not wanted.parents.first.pieces
    assert fingerprints(found) == fingerprints(wanted)
    assert np.array_equal(picture(found), picture(wanted))


def merged_setup(chosen, out):
    setup = load_setup(chosen, open_parents(chosen), out, Quiet())
    merge_over(setup, setup.weights.terms(chosen.at({"ratio": 0.25})))
    return setup


def fingerprints(setup) -> list[str]:
    """Those of the live weights, and of each parent's read past any merging."""
    return [live_fingerprint(setup.live), *(parent_fingerprint(setup, name) for name in ("base", "burnt"))]


def picture(setup) -> np.ndarray:
    sampling = sampling_of(setup.experiment.render, setup.parents)
    (drawn,) = draw(setup.renderer, setup.cases[:1], sampling, 1)
    return drawn.pixels


# -- how parts are written, and what is refused


def test_parts_that_are_missing_are_named(toy, tmp_path):
    for given, said in (
        ({"unet": "a.safetensors", "vae": "a.safetensors"}, 'add clip_l = "..." and clip_g = "..."'),
        ({"path": "a.safetensors", "vae": "b.safetensors"}, "a whole model or its vae, not both"),
        ({"prediction_type": "epsilon"}, 'say where it is: path = "...", or a file for each of unet, clip_l'),
        ({"unet": "a.safetensors", "clipl": "b.safetensors"}, "The nearest known key is 'clip_l'"),
    ):
        written(toy, tmp_path, {"base": given, "burnt": "b.safetensors"})
        with pytest.raises(BadInput) as caught:
            load_experiment(tmp_path / "x.toml")
        assert said in str(caught.value)


@pytest.mark.night
def test_parts_without_a_vae_take_the_one_that_the_components_name(toy, tmp_path):
    parts = save_parts(toy / "base.safetensors", tmp_path)
    vae = parts.pop("vae")
    files = {"base": parts, "burnt": str(toy / "burnt.safetensors")}
    found = merged_setup(experiment(toy, files, components={"vae": vae}), tmp_path)
    whole = merged_setup(experiment(toy, {**files, "base": str(toy / "base.safetensors")}), tmp_path)
    assert fingerprints(found) == fingerprints(whole)
    with pytest.raises(BadInput, match="The merge has no VAE: base has none"):
        check_experiment(experiment(toy, files))


def test_sd_mecha_is_given_single_files_only(merged):
    merge = open_merge(merged / "x.toml", ["0.5"], "v_prediction")
    refused = gridsearch("merge", "x.toml", RATIO, "-o", "x.mecha", cwd=merged)
    assert refused.returncode == 2
    assert "sd-mecha merges single files only." in refused.stderr
    assert "base is a folder" in refused.stderr
    assert merge.recipe.models["base"].path == merged / "models" / "base"


def test_nothing_is_written_into_a_folder_that_is_merged(merged):
    output = "models/base/unet/diffusion_pytorch_model.fp16-00001-of-00006.safetensors"
    refused = gridsearch("merge", "x.toml", RATIO, "-o", output, cwd=merged)
    assert refused.returncode == 2
    assert "This would replace a model that is read." in refused.stderr


def test_a_file_of_a_part_that_is_not_finite_or_is_cut_short_is_named(toy, tmp_path):
    parts = save_parts(toy / "base.safetensors", tmp_path)
    chosen = experiment(toy, {"base": parts, "burnt": str(toy / "burnt.safetensors")})
    weights = open_weights(chosen, open_parents(chosen), toy / "config")
    source = weights.files["base"]
    key = next(key for key in source.tensors if source.header.file_of(key).stem == "clip_g")
    file = tmp_path / "clip_g.safetensors"
    spoilt = load_file(file)
    spoilt["text_projection.weight"][0, 0] = torch.nan
    save_file(spoilt, file)
    again = FileSource(open_parents(chosen).checkpoints["base"])
    with pytest.raises(BadInput, match="text_projection holds a NaN") as caught:
        greatest_values(again, list(again.tensors))
    assert caught.value.where == file
    assert again.tensor(key) is not None
    with file.open("r+b") as opened:
        opened.truncate(1000)
    with pytest.raises(RunFailed, match="was truncated while in use") as caught:
        again.tensor(key)
    assert caught.value.where == file


def test_a_difference_is_extracted_from_them_as_from_single_files(merged, toy, tmp_path):
    files = {
        "single.safetensors": (toy / "base.safetensors", toy / "burnt.safetensors"),
        "folder.safetensors": (
            merged / "models" / "base",
            rewritten(toy / "burnt.safetensors", tmp_path / "other.safetensors", with_comfys_leftovers),
        ),
    }
    for name, (base, tuned) in files.items():
        extract_adapter(base, tuned, tmp_path / name, Cut(2, 2), "float16", toy / "config", Quiet())
    found, wanted = (load_file(tmp_path / f"{name}.safetensors") for name in ("folder", "single"))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
