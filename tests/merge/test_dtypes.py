"""The dtype of a merged file: the first model's, float16 where that has 8 bits, or one that is chosen."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.keys import is_vae
from gridsearch.checkpoint.sdxl.family import POSITION_IDS, SDXL
from gridsearch.merge.export.export import export
from gridsearch.merge.export.single import merge_of_trial
from gridsearch.merge.parents import open_parents
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.results import store
from gridsearch.search.budget import Budget
from gridsearch.search.plan import make_plan
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.setup import load_setup, merge_over
from tests.helpers.program import gridsearch
from tests.helpers.small_run import FILE, Quiet
from tests.merge.toy_steps import TO_Q, experiment, settings

(LOGIT_SCALE,) = SDXL.text_encoders[1].undrawn
NORM = "model.diffusion_model.out.0.weight"
MARKERS = {"v_pred", "ztsnr"}
EXPERIMENT = """
name = "small"
models = {{ base = "{base}", burnt = "{burnt}" }}
render = {{ prediction_type = "v_prediction", zero_terminal_snr = true }}
prompt = [{{ text = "x" }}]
[[merge]]
models = ["base", "burnt"]
ratio  = 0.25
"""


@pytest.fixture
def written(toy, tmp_path):
    """An experiment file on base and burnt, and the two in float64; base has position ids as integers."""
    base = load_file(toy / "base.safetensors")
    save_file(base | {POSITION_IDS: torch.arange(77)[None]}, tmp_path / "base.safetensors")
    text = EXPERIMENT.format(base=tmp_path / "base.safetensors", burnt=toy / "burnt.safetensors")
    (tmp_path / "x.toml").write_text(text)
    return [{k: v.double() for k, v in w.items()} for w in (base, load_file(toy / "burnt.safetensors"))]


# The rounding of a value, in powers of two; float32 is what is computed in.
BITS = {"float16": 11, "bfloat16": 8, "float32": 23}


@pytest.mark.parametrize(
    "dtype", [pytest.param(one, marks=[] if one == "bfloat16" else [pytest.mark.night]) for one in BITS]
)
def test_a_chosen_dtype_is_that_of_every_float_and_rounded_to_once(written, tmp_path, dtype):
    done = gridsearch("merge", "x.toml", "-o", "m.safetensors", "--dtype", dtype, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    merged, (a, b) = load_file(tmp_path / "m.safetensors"), written
    floats = merged.keys() - MARKERS - {POSITION_IDS}
    assert {merged[key].dtype for key in floats} == {getattr(torch, dtype)}
    assert torch.equal(merged[POSITION_IDS], torch.arange(77)[None])
    for key in floats & b.keys() - {LOGIT_SCALE}:
        wanted = a[key] if is_vae(key) else 0.75 * a[key] + 0.25 * b[key]
        torch.testing.assert_close(merged[key].double(), wanted, rtol=2.0 ** -BITS[dtype], atol=2**-25)
    said = " ".join((done.stdout + done.stderr).split())
    assert (f"base is F16; the merge is written in {dtype}." in said) == (dtype != "float16")
    log = json.loads((tmp_path / "m.merge.json").read_text("utf-8"))
    assert log["record"]["dtype"] == dtype
    for source in ("m.merge.json", "m.safetensors"):
        files = [f"--model={name}={path}" for name, path in log["paths"].items()]
        made = gridsearch("merge", source, *files, "-o", "again.safetensors", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


def test_without_a_dtype_the_record_is_what_it_was(written, tmp_path):
    assert gridsearch("merge", "x.toml", "-o", "m.safetensors", cwd=tmp_path).returncode == 0
    record = json.loads(open_checkpoint(tmp_path / "m.safetensors").metadata["sd_merge_recipe"])
    assert "dtype" not in record
    made = gridsearch("merge", "m.merge.json", "--dtype=float32", "-o", "wide.safetensors", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert load_file(tmp_path / "wide.safetensors")[TO_Q].dtype == torch.float32


@pytest.mark.parametrize(
    ("output", "dtype", "said"),
    [
        ("m.safetensors", "fp16", "The nearest is 'float16'; there are float16, bfloat16, float32."),
        ("m.mecha", "float32", "A recipe for sd-mecha does not say that it is written in float32."),
    ],
)
def test_a_dtype_that_cannot_be_written_is_refused(written, tmp_path, output, dtype, said):
    done = gridsearch("merge", "x.toml", "-o", output, "--dtype", dtype, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / output).exists()


def in_eight_bits(toy, tmp_path, dtype):
    """The base, every one of its weights in 8 bits, norms too, as it is shared; and what it holds."""
    weights = {k: v.to(dtype) for k, v in load_file(toy / "base.safetensors").items()}
    save_file(weights, tmp_path / "coarse.safetensors")
    return str(tmp_path / "coarse.safetensors"), {k: v.double() for k, v in weights.items()}


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, pytest.param(torch.float8_e5m2, marks=pytest.mark.night)]
)
def test_a_merge_is_not_kept_in_8_bits(toy, tmp_path, dtype):
    path, a = in_eight_bits(toy, tmp_path, dtype)
    step = {"models": ["base", "burnt"], "ratio": [0.0, 0.25, 0.3]}
    what = experiment(toy, step, models=settings(toy)["models"] | {"base": path})
    name = "F8_E4M3" if dtype == torch.float8_e4m3fn else "F8_E5M2"
    said = f"base is in an 8-bit format ({name}), which would round most of a merge's changes away"
    assert any(note.startswith(said) for note in make_plan(what, tmp_path / "x").warnings)

    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    b = {key: value.double() for key, value in load_file(toy / "burnt.safetensors").items()}
    made = {}
    for ratio in (0.0, 0.25, 0.3):
        merge_over(setup, setup.weights.terms(what.at({"ratio": ratio})))
        export(merge_of_trial(what, {"ratio": ratio}), tmp_path / "m.safetensors", Quiet())
        made[ratio] = load_file(tmp_path / "m.safetensors")
        assert {value.dtype for key, value in made[ratio].items() if key not in MARKERS} == {torch.float16}
        for key in (TO_Q, NORM):
            wanted = (1 - ratio) * a[key] + ratio * b[key]
            torch.testing.assert_close(made[ratio][key].double(), wanted, rtol=2**-11, atol=2**-25)
        for key, parts in setup.renderer.live.items():  # what is drawn is what is written
            for part in parts:
                exported = made[ratio][key][part.rows] if made[ratio][key].ndim else made[ratio][key]
                assert torch.equal(part.view, exported.reshape(part.view.shape).float()), key
    assert torch.equal(made[0.0][TO_Q].double(), a[TO_Q])  # exact
    moved = (made[0.3][TO_Q] != made[0.25][TO_Q]).float().mean()
    in_eight = (made[0.3][TO_Q].to(dtype).float() != made[0.25][TO_Q].to(dtype).float()).float().mean()
    assert moved > 0.9 > 0.5 > in_eight  # in 8 bits, most weights would be the same at both ratios


@pytest.mark.night
def test_a_run_with_8_bits_is_exported_as_it_was_drawn(toy, tmp_path):
    """Its first model is one of two whose files have 8 and 16 bits: the merges of both have 16."""
    path, _ = in_eight_bits(toy, tmp_path, torch.float8_e4m3fn)
    models = settings(toy)["models"] | {"base": path}
    step = {"models": [["base", "vpred"], "burnt"], "ratio": 0.25}
    what = experiment(toy, step, models=models, score={"references": ["burnt"]})
    out, made, wide = (tmp_path / name for name in ("x", "m.safetensors", "wide.safetensors"))
    run_experiment(what, FILE, out, Budget(trials=1), Quiet())
    assert store.read_study(out).facts.drawing["widened"] == ["base"]
    done = gridsearch("export", out, "--trial", 0, "-o", made)
    assert done.returncode == 0, done.stderr
    merged = load_file(made)
    assert {value.dtype for key, value in merged.items() if key not in MARKERS} == {torch.float16}
    load_renderer(made, toy / "config", None, placement("cpu", "float32"))
    done = gridsearch("export", out, "--trial", 0, "--dtype", "float32", "-o", wide)
    assert done.returncode == 0, done.stderr
    assert torch.equal(load_file(wide)[TO_Q].half(), merged[TO_Q])
