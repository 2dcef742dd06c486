"""What prompts and their files ask for, and is not done as they ask, is said in a handful of notes."""

import json
from pathlib import Path

import pytest

from gridsearch.experiment.foreign_names import COMPARED, HARMLESS, not_done
from gridsearch.experiment.prompt_files import OPTIONS
from gridsearch.experiment.prompt_notes import prompt_notes
from gridsearch.experiment.render_table import Render
from gridsearch.render.cases import Case
from gridsearch.render.pictures import parameters_text
from tests.helpers.experiments import load
from tests.helpers.generated import png_with
from tests.helpers.settings import sampling

APPLIES = "[render] applies to all prompts."
NOISE = " A seed gives the same noise only with the same rng."
AS_HERE = "Steps: 28, Sampler: Euler, CFG scale: 5, Seed: 5, Size: 1024x1024, RNG: CPU"
SAME = 'timestep_spacing = "linspace"'  # as A1111's Uniform


def of_lines(folder: Path, lines: str, render: str = "") -> list[str]:
    (folder / "p.txt").write_text(lines)
    return prompt_notes(load(folder, 'file = "p.txt"', render=render))


def of_settings(
    folder: Path, settings: str, render: str = SAME, more: str = "", prompt: str = "a"
) -> list[str]:
    png_with(folder / "x.png", parameters=f"{prompt}\n{settings}")
    return prompt_notes(load(folder, 'file = "x.png"', render=render, more=more))


# -- settings of [render] that differ


def test_a_setting_that_is_not_that_of_render_is_noted(tmp_path):
    assert of_lines(tmp_path, "a\n\n--prompt b --steps 30\n--prompt c --steps 28") == [
        f"p.txt line 3 was rendered with steps 30 (here 28): {APPLIES}"
    ]
    lines = "--prompt a --cfg_scale 7\n--prompt b --cfg_scale 7 --width 512\n--prompt c --cfg_scale 5.0"
    assert of_lines(tmp_path, lines) == [
        f"p.txt line 1 and 1 other were rendered with CFG 7 (here 5): {APPLIES}",
        f"p.txt line 2 was rendered with size 512x1024 (here 1024x1024): {APPLIES}",
    ]


def test_all_that_the_same_prompts_differ_in_is_one_note(tmp_path):
    assert of_lines(tmp_path, "--prompt a --steps 9 --cfg_scale 7\n--prompt b --steps 9 --cfg_scale 7") == [
        f"p.txt line 1 and 1 other were rendered with steps 9 (here 28) and CFG 7 (here 5): {APPLIES}"
    ]


def test_what_is_searched_or_the_same_is_not_noted(tmp_path):
    lines = '--prompt a --steps 30 --sampler_name "DPM++ 2M karras" --width 64 --tiling false'
    render = 'steps = [10, 20]\nsampler = "dpmpp_2m_karras"\nwidth = 64'
    assert of_lines(tmp_path, lines, render) == []
    assert of_settings(tmp_path, AS_HERE) == []


@pytest.mark.parametrize(
    ("sampler", "said", "noted"),
    [
        ("dpmpp_2m_karras", "Sampler: DPM++ 2M, Schedule type: Karras", ""),
        ("dpmpp_2m_karras", "Sampler: DPM++ 2M, Schedule type: Automatic", ""),
        ("dpmpp_2m_karras", "Sampler: DPM++ 2M Karras", ""),
        ("dpmpp_2m_karras", "Sampler: DPM++ 2M, Schedule type: Uniform", "DPM++ 2M (here DPM++ 2M Karras)"),
        ("dpmpp_2m", "Sampler: DPM++ 2M, Schedule type: Uniform", ""),
        ("dpmpp_2m", "Sampler: DPM++ 2M, Schedule type: Karras", "DPM++ 2M Karras (here DPM++ 2M)"),
        ("euler", "Sampler: Euler a", "Euler a (here Euler)"),
        ('euler"\nschedule = "Align Your Steps', "Sampler: Euler, Schedule type: Align Your Steps", ""),
        (
            'euler"\nschedule = "exponential',
            "Sampler: Euler, Schedule type: Karras",
            "Euler Karras (here Euler Exponential)",
        ),
        ("euler", "Sampler: Euler, Schedule type: Beta", "Euler Beta (here Euler)"),
        ("ddim", "Sampler: DDIM CFG++", "DDIM CFG++ (here DDIM)"),
    ],
)
def test_a_sampler_is_compared_with_its_schedule(tmp_path, sampler, said, noted):
    found = of_settings(tmp_path, AS_HERE.replace("Sampler: Euler", said), f'sampler = "{sampler}"\n{SAME}')
    assert found == ([f"x.png was rendered with sampler {noted}: {APPLIES}"] if noted else [])


@pytest.mark.parametrize(
    ("said", "spacing", "noted"),
    [
        ("Schedule type: Uniform", "trailing", "linspace (here trailing)"),
        ("Schedule type: Automatic", "linspace", ""),
        ("Schedule type: SGM Uniform", "linspace", "trailing (here linspace)"),
        ("Schedule type: Simple", "trailing", ""),
        ("Schedule type: SGM Uniform", None, "trailing (here unset)"),
        ("Schedule type: DDIM", None, ""),
        ("Model: x", None, "linspace (here unset)"),  # before 1.9, where none was named
    ],
)
def test_a_schedule_that_is_a_spacing_is_compared_with_it(tmp_path, said, spacing, noted):
    render = f'timestep_spacing = "{spacing}"' if spacing else ""
    found = of_settings(tmp_path, f"{AS_HERE}, {said}", render)
    assert found == ([f"x.png was rendered with timestep_spacing {noted}: {APPLIES}"] if noted else [])


@pytest.mark.parametrize(
    ("said", "prediction", "noted"),
    [
        ("SGM Uniform", "v_prediction", ""),
        ("SGM Uniform", "epsilon", "trailing (here unset)"),  # only v-prediction is spaced so
        ("Uniform", "v_prediction", "linspace (here trailing)"),
        ("DDIM", "epsilon", ""),
    ],
)
def test_the_usual_spacing_is_that_of_the_prediction_type(tmp_path, said, prediction, noted):
    render = f'prediction_type = "{prediction}"\nzero_terminal_snr = true'
    found = of_settings(tmp_path, f"{AS_HERE}, Schedule type: {said}", render)
    assert found == ([f"x.png was rendered with timestep_spacing {noted}: {APPLIES}"] if noted else [])


@pytest.mark.parametrize(
    ("said", "rng", "noted"),
    [
        ("Version: v1.10.1", "cpu", "gpu (here cpu)"),  # A1111 leaves its default out
        ("Version: v1.10.1", "gpu", ""),
        ("RNG: NV", "gpu", ""),
        ("RNG: NV", "cpu", "gpu (here cpu)"),
        ("RNG: CPU", "gpu", "cpu (here gpu)"),
        ("App: SD.Next", "cpu", "gpu (here cpu)"),
        ("Version: ComfyUI", "cpu", ""),
        ("Version: Fooocus v2.5.5", "gpu", "cpu (here gpu)"),
    ],
)
def test_the_random_numbers_are_compared(tmp_path, said, rng, noted):
    settings = AS_HERE.replace("RNG: CPU", said)
    found = of_settings(tmp_path, settings, f'rng = "{rng}"\n{SAME}')
    assert found == ([f"x.png was rendered with rng {noted}: {APPLIES}{NOISE}"] if noted else [])


@pytest.mark.parametrize(
    ("said", "render", "noted"),
    [
        (
            "PAG Active: True, PAG Scale: 3, PAG Start Step: 0, PAG End Step: 2048",
            "",
            "pag_scale 3 (here 0) and pag_layers M00.0 (here M00)",
        ),
        (
            "PerturbedAttentionGuidance_enabled: True, PerturbedAttentionGuidance_scale: 3",
            "pag_scale = 3.0",
            "",
        ),
        ("CFG rescale: 0.7", "", "cfg_rescale 0.7 (here 0)"),
        (
            "Noise Schedule: Zero Terminal SNR",
            "zero_terminal_snr = false",
            "zero_terminal_snr True (here False)",
        ),
        ("Noise Schedule: Zero Terminal SNR", "", ""),  # as the models say
        ("Clip skip: 1", "", "clip skip 1 (here 2)"),
        ("Unconditional: empty", "", "unconditional empty (here zeros)"),
        ("Version: v1.10.1", 'unconditional = "empty"', "unconditional zeros (here empty)"),
        ("Original size: 2048x2048", "", "original size 2048x2048 (here 1024x1024)"),
        ("Crop: 0x64", "crop_top = 64", ""),
    ],
)
def test_other_settings_of_render_are_compared(tmp_path, said, render, noted):
    found = of_settings(tmp_path, f"{AS_HERE}, {said}", f"{SAME}\n{render}")
    assert found == ([f"x.png was rendered with {noted}: {APPLIES}"] if noted else [])


def test_what_stands_for_an_empty_negative_prompt_matters_only_for_one(tmp_path):
    for negative, noted in (("", True), ("a dog", False)):
        graph = {"prompt": "a", "negativeprompt": negative, "seed": 1, "sampler": "euler"}
        png_with(tmp_path / "x.png", parameters={"sui_image_params": graph})
        found = prompt_notes(load(tmp_path, 'file = "x.png"'))
        expected = f"x.png was rendered with unconditional empty (here zeros): {APPLIES}"
        assert found == ([expected] if noted else [])
    png_with(tmp_path / "x.png", parameters={"sui_image_params": graph | {"negativeprompt": ""}})
    assert prompt_notes(load(tmp_path, 'file = "x.png"\nnegative = "b"')) == []


def test_our_own_pictures_differ_in_nothing_from_the_settings_they_were_drawn_with(tmp_path):
    drawn = sampling("v_prediction", width=1024, height=1024, timestep_spacing="trailing", pag_scale=2.0)
    case = Case("p", "a", "b", 5)
    text = parameters_text(case, drawn, model="m", model_hash="", recipe="0.5 a, 0.5 b", place="cpu float32")
    render = 'steps = 4\ncfg = 3.5\npag_scale = 2.0\nzero_terminal_snr = true\ntimestep_spacing = "trailing"'
    png_with(tmp_path / "x.png", parameters=text)
    assert prompt_notes(load(tmp_path, 'file = "x.png"', render=render)) == []


@pytest.mark.parametrize(
    ("render", "noted"),
    [
        ('prediction_type = "flow"\nshift = 6.0', ""),
        ('prediction_type = "flow"', "shift 6 (here 3)"),
        ('prediction_type = "v_prediction"', "prediction_type flow (here v_prediction) and shift 6 (here 3)"),
    ],
)
def test_the_shift_of_a_flow_is_read_where_reforge_and_we_write_it(tmp_path, render, noted):
    usual = {"width": 1024, "height": 1024, "steps": 28, "cfg": 5.0, "timestep_spacing": "linspace"}
    own = sampling("flow", shift=6.0, **usual)
    ours = parameters_text(Case("p", "a", "b", 5), own, model="m", model_hash="", recipe="r", place="cpu")
    theirs = "advanced_sampling_enabled: True, advanced_sampling_mode: SD3, sd3_shift: 6"
    assert theirs in ours
    png_with(tmp_path / "x.png", parameters=ours)
    wanted = [f"x.png was rendered with {noted}: {APPLIES}"] if noted else []
    assert prompt_notes(load(tmp_path, 'file = "x.png"', render=f"{SAME}\n{render}")) == wanted
    assert of_settings(tmp_path, f"{AS_HERE}, {theirs}", f"{SAME}\n{render}") == wanted


def test_other_sampling_of_reforge_is_not_done(tmp_path):
    text = f"{AS_HERE}, advanced_sampling_enabled: True, advanced_sampling_mode: Aura Flow"
    (note,) = of_settings(tmp_path, text)
    assert "advanced_sampling_mode Aura Flow" in note


# Of https://github.com/6DammK9/nai-anime-pure-negative-prompt.
PUBLISHED = {
    "SEG Active: True, SEG Blur Sigma: 11, SEG Start Step: 0, SEG End Step: 2048, PAG Active: True, "
    "PAG SANF: True, PAG Scale: 1, PAG Start Step: 0, PAG End Step: 2048, Version: v1.10.1": dict(
        query_blur=10_000.0, pag_scale=1.0, pag_layers="M00.0", sanf=True
    ),
    'FreeU Stages: "[{\\"backbone_factor\\": 1.1, \\"skip_factor\\": 0.6}, {\\"backbone_factor\\": 1.2, '
    '\\"skip_factor\\": 0.4}]", FreeU Schedule: "0.0, 1.0, 0.0", FreeU Version: 2, Dynamic thresholding '
    "enabled: True, Mimic scale: 1, Separate Feature Channels: False, Scaling Startpoint: MEAN, Variability "
    "Measure: AD, Interpolate Phi: 0.3, Threshold percentile: 100, PAG Active: True, PAG Scale: 1": dict(
        freeu_b1=1.1, freeu_s1=0.6, freeu_b2=1.2, freeu_s2=0.4, mimic_scale=1.0, mimic_phi=0.3
    )
    | dict(mimic_per_channel=False, pag_scale=1.0, pag_layers="M00.0"),
    "seg_enabled: True, seg_scale: 3, seg_rescale: 0, seg_rescale_mode: full, seg_blur_sigma: -1, seg_block: "
    "middle, seg_block_id: 0, freeu_enabled: True, freeu_b1: 1.01, freeu_b2: 1.02, freeu_s1: 0.99, "
    "freeu_s2: 0.95, freeu_start: 0.0, freeu_end: 1.0": dict(
        seg_scale=3.0, freeu_b1=1.01, freeu_b2=1.02, freeu_s1=0.99, freeu_s2=0.95
    ),
    "dynthres_enabled: True, dynthres_mimic_scale: 7, dynthres_threshold_percentile: 0.95, "
    "dynthres_mimic_mode: Constant, dynthres_mimic_scale_min: 0, dynthres_cfg_mode: Constant, "
    "dynthres_cfg_scale_min: 0, dynthres_sched_val: 1, dynthres_separate_feature_channels: enable, "
    "dynthres_scaling_startpoint: MEAN, dynthres_variability_measure: AD, dynthres_interpolate_phi: 1, "
    "CFG Interval Enable: True, "
    "CFG Interval Schedule: Constant, CFG Interval Low: 0.28, CFG Interval High: 5.42": dict(
        mimic_scale=7.0, mimic_percentile=0.95, cfg_sigma_low=0.28, cfg_sigma_high=5.42
    ),
}


@pytest.mark.parametrize(("said", "drawn"), PUBLISHED.items(), ids=["SEG", "FreeU", "Forge", "thresholds"])
def test_guidance_of_web_uis_is_read_and_what_a_picture_of_ours_says_of_it_is_the_same(tmp_path, said, drawn):
    """With the settings that the text stands for there is nothing to note, and without them each is."""
    text = f"{AS_HERE}, {said}"
    render = "\n".join(f"{name} = {json.dumps(value)}" for name, value in drawn.items())
    assert of_settings(tmp_path, text, f"{SAME}\n{render}") == []
    (note,) = of_settings(tmp_path, text)
    assert all(f"{name} " in note for name, value in drawn.items() if value != getattr(Render(), name))
    usual = {"width": 1024, "height": 1024, "steps": 28, "cfg": 5.0, "timestep_spacing": "linspace"}
    own = sampling(**usual, **drawn)
    ours = parameters_text(Case("p", "a", "b", 5), own, model="m", model_hash="", recipe="r", place="cpu")
    png_with(tmp_path / "x.png", parameters=ours)
    assert prompt_notes(load(tmp_path, 'file = "x.png"', render=f"{SAME}\n{render}")) == []
    (note,) = prompt_notes(load(tmp_path, 'file = "x.png"', render=SAME))
    assert all(f"{name} " in note for name, value in drawn.items() if value != getattr(Render(), name))


def test_many_values_of_a_setting_are_one_note(tmp_path):
    lines = [f"--prompt {i} --steps {100 + i}" for i in range(40)]
    (note,) = of_lines(tmp_path, "\n".join(lines))
    where = "p.txt line 1 and 39 others were rendered with"
    assert note == f"{where} steps 100, 101, 102 or others (here 28): {APPLIES}"


def test_notes_are_a_handful_and_the_random_numbers_come_first(tmp_path):
    """Each picture but the first differs in one more setting than the one before it."""
    settings = ["Steps: 9", "Sampler: Heun", "CFG scale: 9", "Size: 64x64", "Clip skip: 1", "CFG rescale: 1"]
    settings += ["RNG: NV"]
    usual = ["Steps: 28", "Sampler: Euler", "CFG scale: 5", "Size: 1024x1024", "RNG: CPU"]
    for i in range(len(settings)):
        own = {setting.split(":")[0]: setting for setting in [*usual, *settings[: i + 1]]}
        png_with(tmp_path / f"{i}.png", parameters=f"{i}\n{', '.join(own.values())}, Seed: 1")
    found = prompt_notes(load(tmp_path, 'file = "*.png"', render=SAME))
    assert len(found) == 6
    assert found[0].startswith("6.png was rendered with rng gpu (here cpu)")
    assert found[1].startswith("0.png and 6 others were rendered with steps 9 (here 28)")
    assert found[-1] == "3 prompts differ in clip skip, cfg_rescale, too."


# -- what is not done


def asked(what: str, more: str = "") -> str:
    return f"Not done here, of what prompt files ask for: {what}. Their pictures will differ.{more}"


def test_what_a_line_asks_for_and_is_not_done_is_noted(tmp_path):
    assert of_lines(tmp_path, "--prompt a --styles anime") == [asked("styles (p.txt line 1)")]


@pytest.mark.parametrize(
    ("said", "noted"),
    [
        ("ENSD: 31337", "ENSD 31337"),
        ("Eta: 0.67", "Eta 0.67"),
        ("Eta DDIM: 0.5", "Eta DDIM 0.5"),
        ("Emphasis: No norm", "Emphasis No norm"),
        ("Token merging ratio: 0.5", "Token merging ratio 0.5"),
        ("Denoising strength: 0.4", "img2img"),
        ("Denoising strength: 0.4, Hires resize: 9x7, Hires upscaler: 4x", "hires fix"),
        ("Mask blur: 4, Inpaint area: Only masked, Denoising strength: 0.4", "img2img"),
        ("SEG Active: True, SEG Blur Sigma: 0, SEG Start Step: 5, SEG End Step: 20", "SEG"),
        ("SEG Scale: 3, SEG SANF: True", "SEG and SANF"),
        ("seg_enabled: False, seg_rescale: 0, seg_rescale_mode: snf", "SEG"),
        ("PAG Active: True, PAG End Step: 20, PAG Scale: 0, pag_block: input", "PAG"),
        ("freeu_enabled: False, freeu_b1: 1.01, freeu_start: 0.2", "FreeU"),
        ('FreeU Stages: "[{\\"backbone_offset\\": 0.2}]"', "FreeU"),
        ('FreeU Schedule: "0.0, 0.5, 0.0", FreeU Version: 2', "FreeU"),
        ("dynthres_enabled: False, dynthres_mimic_mode: Linear Up", "dynamic thresholding"),
        ("CFG Interval Enable: False, CFG Interval Schedule: Linear", "guidance interval"),
        ("Skip Early CFG: 0.2", "Skip Early CFG 0.2"),
        ("sag_enabled: True, sag_scale: 0.5", "SAG"),
        ("ADetailer model: face_yolov8n.pt, ADetailer confidence: 0.3", "ADetailer"),
        ('ControlNet 0: "Module: canny, Weight: 1"', "ControlNet"),
        ("Refiner: sd_xl_refiner, Refiner switch at: 0.8", "refiner"),
        ("Variation seed: 7, Variation seed strength: 0.2", "Variation seed strength 0.2"),
        ('TI hashes: "easynegative: c74b4e810b03"', "textual inversion"),
        ("MaHiRo: True", "MaHiRo True"),  # known to no table here
        (
            "Schedule rho: 5, Discard penultimate sigma: True",
            "Schedule rho 5 and Discard penultimate sigma True",
        ),
    ],
)
def test_what_a_picture_was_drawn_with_and_is_not_done_is_one_note(tmp_path, said, noted):
    assert of_settings(tmp_path, f"{AS_HERE}, {said}") == [asked(f"{noted} (x.png)")]


@pytest.mark.parametrize(
    "said",
    [
        "Model hash: a22204df31, Model: last, VAE hash: 235745af8d, Version: v1.10.1",
        "Emphasis: Original, Eta: 1.0, Denoising strength: 1, ENSD: 0, Tiling: False, VAE: Automatic",
        "Variation seed: 7, Refiner: None, Seed resize from: -1x-1",
        'Wildcard prompt: "a __b__", Civitai resources: [{"air":"urn:air:sdxl"}], Hashes: {"lora:a": "12"}',
        "TIPO Parameters: {}, TIPO prompt: a cat, TIPO nl prompt: a, TIPO format: <|special|>",  # of z-tipo
        "Script: X/Y/Z plot, X Type: Checkpoint name, X Values: a, Batch size: 4, Batch pos: 1",
    ],
)
def test_what_changes_nothing_is_not_noted(tmp_path, said):
    assert of_settings(tmp_path, f"{AS_HERE}, {said}") == []


HIRES = "Denoising strength: 0.4, Hires upscale: 1.5, Hires steps: 9, Hires CFG Scale: 5.0"


def test_hires_fix_is_compared_and_an_upscaler_with_weights_is_not_done(tmp_path):
    settings = f"{AS_HERE}, {HIRES}, Hires upscaler: R-ESRGAN 4x+, Hires sampler: DDIM"
    own = "\nhires_scale = 1.5\nhires_steps = 9\nhires_denoise = 0.4"
    left = "Hires upscaler R-ESRGAN 4x+ and Hires sampler DDIM"
    assert of_settings(tmp_path, settings, render=SAME + own) == [asked(f"{left} (x.png)")]
    (note, _) = of_settings(tmp_path, settings, render=SAME)
    assert "was rendered with hires_scale 1.5 (here unset)" in note
    other = own.replace("0.4", "0.7").replace("9", "0")
    (note,) = of_settings(tmp_path, f"{AS_HERE}, {HIRES}, Hires upscaler: Lanczos", render=SAME + other)
    assert "hires_steps 9 (here 28), hires_denoise 0.4 (here 0.7) and hires_upscaler Lanczos (here" in note


def test_what_is_set_for_all_is_said_where(tmp_path):
    settings = f'{AS_HERE}, VAE: sdxl.vae.safetensors, Lora hashes: "a: 1234"'
    more = " A VAE is set in [components]. A LoRA is set in [adapters]."
    assert of_settings(tmp_path, settings) == [asked("VAE sdxl.vae.safetensors and LoRA (x.png)", more)]
    own = '[components]\nvae = "files/SDXL.vae.safetensors"'
    (note,) = of_settings(tmp_path, settings, more=own)
    assert "VAE" not in note


def test_one_note_for_all_pictures(tmp_path):
    for i in range(20):
        settings = f"{AS_HERE.replace('Seed: 5', f'Seed: {i}')}, ENSD: {i + 1}, sag_enabled: True"
        png_with(tmp_path / f"{i:02}.png", parameters=f"a\n{settings}")
    (note,) = prompt_notes(load(tmp_path, 'file = "*.png"', render=SAME))
    assert "SAG (00.png and 19 others), ENSD 1 (00.png), ENSD 2 (01.png)" in note
    assert note.endswith(" and 11 more. Their pictures will differ.")


def test_other_programs_ask_too(tmp_path):
    swarm = {
        "prompt": "a",
        "negativeprompt": "b",
        "seed": 1,
        "sampler": "euler",
        "scheduler": "simple",
        "refinerupscale": 2,
    }
    png_with(tmp_path / "x.png", parameters={"sui_image_params": swarm | {"cfgscale": 7, "loras": ["a"]}})
    assert prompt_notes(load(tmp_path, 'file = "x.png"')) == [
        f"x.png was rendered with CFG 7 (here 5) and timestep_spacing trailing (here unset): {APPLIES}",
        asked("refiner and LoRA (x.png)", " A LoRA is set in [adapters]."),
    ]
    comment = {"prompt": "{{a}}", "seed": 1, "steps": 28, "sampler": "k_euler", "sm": True}
    png_with(tmp_path / "x.png", Software="NovelAI", Comment=json.dumps(comment))
    (note,) = prompt_notes(load(tmp_path, 'file = "x.png"'))
    assert note == asked("Emphasis NovelAI and SMEA True (x.png)")


def test_options_of_a_line_that_are_not_done_are_called_as_in_pictures():
    families = {"styles": "styles", "tiling": "tiling", "restore_faces": "face restoration"}
    for option in OPTIONS.keys() - COMPARED - HARMLESS - {"prompt", "negative_prompt", "seed"}:
        own = (families[option], "") if option in families else (option, "7")
        assert list(not_done({option: "7"})) == [own]


# -- words that other programs replace


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a __animal__ in __place/indoor*__, red", "__animal__ and __place/indoor*__"),
        ("a {red|blue} car", "{red|blue}"),
        ("a {2$$red|blue|green} car", "{2$$red|blue|green}"),
        ("embedding:easynegative, dog", "embedding:easynegative"),
        ("(embedding:a/b.pt:1.2)", "embedding:a/b.pt"),
        ("{{best quality}}, {cat}, a|b, ^__^, snake__case__name, __init, an embedding: yes", ""),
    ],
)
def test_words_that_are_taken_as_they_are_are_noted(tmp_path, text, found):
    why = "wildcards and variants are not expanded, and textual inversions are not loaded"
    note = [f"Taken word by word, as {why}: {found} (prompt p1)."] if found else []
    assert prompt_notes(load(tmp_path, f"text = '{text}'")) == note
    assert prompt_notes(load(tmp_path, f"text = 'a'\nnegative = '{text}'")) == note
    (tmp_path / "p.txt").write_text(f"a\n{text}\n")
    in_file = [line.replace("prompt p1", "p.txt line 2") for line in note]
    assert prompt_notes(load(tmp_path, 'file = "p.txt"')) == in_file


def test_an_experiment_with_nothing_to_say_has_no_notes(tmp_path):
    assert prompt_notes(load(tmp_path, 'text = "a"')) == []
