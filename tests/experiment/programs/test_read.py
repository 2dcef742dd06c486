"""Pictures of other programs: their prompt, seed and settings are read, or the program is named."""

import json
import time

import pytest
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.experiment.programs import names
from gridsearch.experiment.programs.invokeai import read_dream
from gridsearch.experiment.programs.read import read_picture
from gridsearch.render.denoise.sampling import SAMPLERS
from gridsearch.render.pictures import MAX_INFOTEXT, Infotext
from tests.helpers.generated import (
    MAKER_NOTE,
    MODEL,
    PIXELS,
    SOFTWARE,
    USER_COMMENT,
    png_with,
    unicode_comment,
    with_tags,
)

# -- A1111's text, and lines behind it

A1111 = "a cat\nNegative prompt: a dog\nSteps: 25, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"


@pytest.mark.parametrize(
    "behind",
    [
        "\nTemplate: a {cat|fox}\nNegative Template: a dog",
        "\nTemplate: a {cat|fox},\nin __place__, style: {a|b}, light: c, mood: d",  # over several lines
        "\nNegative Template: a dog",
        "\nTemplate:a {cat|fox}",  # as versions up to 2.10 wrote it
    ],
)
def test_templates_of_dynamic_prompts_are_no_part_of_the_prompt(tmp_path, behind):
    said = read_picture(png_with(tmp_path / "x.png", parameters=A1111 + behind))
    assert (said.prompt, said.negative, said.settings["Seed"]) == ("a cat", "a dog", "5")


def test_a_prompt_may_have_a_line_that_begins_as_a_template(tmp_path):
    text = "a form\nTemplate: round\nSteps: 25, Sampler: Euler a, Seed: 5"
    assert read_picture(png_with(tmp_path / "x.png", parameters=text)).prompt == "a form\nTemplate: round"


def test_settings_may_be_separated_by_pipes(tmp_path):
    text = "a cat\nSteps: 25 | Seed: 5 | Sampler: DPM++ 2M Karras | CFG scale: 7 | Size: 512x512"
    said = read_picture(png_with(tmp_path / "x.png", parameters=text))
    assert said.prompt == "a cat"
    assert said.settings["Seed"] == "5"
    assert said.settings["Sampler"] == "DPM++ 2M Karras"


@pytest.mark.parametrize("behind", ["\nUpscaled by hand", "\nNegative prompt: late", "\n\nsome words"])
def test_unknown_lines_behind_the_settings_are_refused(tmp_path, behind):
    with pytest.raises(BadInput, match="cannot be told from its prompt") as caught:
        read_picture(png_with(tmp_path / "x.png", parameters=A1111 + behind))
    assert "x.png" in caught.value.lines[1]


def test_settings_that_are_too_few_are_refused(tmp_path):
    """A1111 itself reads two of them as a part of the prompt."""
    for few in ("Steps: 20", "Steps: 20, Size: 512x512"):
        with pytest.raises(BadInput, match="too few"):
            read_picture(png_with(tmp_path / "x.png", parameters=f"a cat\n{few}"))


def test_lists_and_objects_among_the_settings_hide_no_others(tmp_path):
    """As Civitai's generator writes them, and A1111 its hashes: a name in them is no setting."""
    resources = '[{"type":"checkpoint","air":"urn:air:sdxl:checkpoint:civitai:1908679@2224012","weight":1}]'
    settings = f"Steps: 25, Seed: 5, Civitai resources: {resources}, Civitai metadata: {{}}"
    hashes = '{"model": "a22204df31", "lora:add_detail": "7c6bad76eb54"}'
    said = read_picture(png_with(tmp_path / "x.png", parameters=f"a\n{settings}, Hashes: {hashes}, RNG: CPU"))
    assert said.settings == {
        "Steps": "25",
        "Seed": "5",
        "Civitai resources": resources,
        "Civitai metadata": "{}",
        "Hashes": hashes,
        "RNG": "CPU",
    }


def test_a_text_behind_the_pixels_is_read(tmp_path):
    whole = png_with(tmp_path / "a.png", parameters=A1111).read_bytes()
    at, end = whole.index(b"tEXt") - 4, whole.index(b"IDAT") - 4
    last = whole.index(b"IEND") - 4
    (tmp_path / "x.png").write_bytes(whole[:at] + whole[end:last] + whole[at:end] + whole[last:])
    assert read_picture(tmp_path / "x.png").settings["Seed"] == "5"


# -- SwarmUI and the kin of Fooocus, which write JSON where A1111 has its text

SWARM = {
    "sui_image_params": {
        "prompt": "a photo of a cat",
        "negativeprompt": "a dog",
        "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 882695506,
        "steps": "28",
        "cfgscale": 6.0,
        "aspectratio": "8:5",
        "width": 1216,
        "height": 768,
        "sampler": "euler_ancestral",
        "scheduler": "normal",
        "clipstopatlayer": -2,
        "automaticvae": True,
        "refinermodel": "(Use Base)",
        "refinerupscale": 1.5,
        "swarm_version": "0.9.3.1",
    },
    "sui_extra_data": {"date": "2024-11-13", "generation_time": "6.11 (prep) and 4.84 (gen) seconds"},
}
SWARM_SAYS = {
    "Steps": "28",
    "Sampler": "Euler a",
    "Schedule type": "Uniform",
    "CFG scale": "6",
    "Seed": "882695506",
    "Size": "1216x768",
    "RNG": "CPU",
    "Clip skip": "2",
    "refinerupscale": "1.5",
    "App": "SwarmUI",
}


def test_swarmui(tmp_path):
    pictures = [
        png_with(tmp_path / "a.png", parameters=json.dumps(SWARM, indent=2)),
        with_tags(tmp_path / "b.jpg", {}, unicode_comment(SWARM)),
        with_tags(tmp_path / "c.webp", {MODEL: SWARM}),  # of versions before 0.6.3
    ]
    for picture in pictures:
        assert read_picture(picture) == Infotext("a photo of a cat", "a dog", SWARM_SAYS)


FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "clip_skip": 2,
    "full_negative_prompt": ["(worst quality:1.4)", "anime"],
    "full_prompt": ["cinematic still a cat . film grain", "a cat, highly detailed"],
    "guidance_scale": 4,
    "lora_combined_1": "sd_xl_offset_example-lora_1.0 : 0.1",
    "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "",
    "performance": "Speed",
    "prompt": "a cat",
    "refiner_model": "None",
    "resolution": "(896, 1152)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "6952411511246973023",
    "sharpness": 2,
    "steps": 30,
    "styles": "['Fooocus V2']",
    "vae": "Default (model)",
    "version": "Fooocus v2.5.5",
}


def test_fooocus(tmp_path):
    """With EXIF's user comment in the first directory, where Fooocus' `get_exif` puts it."""
    tags = {USER_COMMENT: FOOOCUS, SOFTWARE: "Fooocus v2.5.5", MAKER_NOTE: "fooocus"}
    pictures = [
        png_with(tmp_path / "a.png", parameters=FOOOCUS, fooocus_scheme="fooocus"),
        with_tags(tmp_path / "b.webp", tags),
        with_tags(tmp_path / "c.jpg", tags),
    ]
    settings = {
        "Steps": "30",
        "Sampler": "DPM++ 2M SDE",
        "Schedule type": "Karras",
        "CFG scale": "4",
        "Seed": "6952411511246973023",
        "Size": "896x1152",
        "RNG": "CPU",
        "Clip skip": "2",
        "Lora": "sd_xl_offset_example-lora_1.0 : 0.1",
        "ADM Guidance": "(1.5, 0.8, 0.3)",
        "Refiner": "None",
        "Sharpness": "2",
        "VAE": "Default (model)",
        "App": "Fooocus",
    }
    for picture in pictures:
        assert read_picture(picture) == Infotext(
            "cinematic still a cat . film grain, a cat, highly detailed",
            "(worst quality:1.4), anime",
            settings,
        )


def test_a_fork_of_fooocus_in_a_comment(tmp_path):
    """Without the full prompt, so its styles are not in there."""
    said = {"prompt": "a cat", "negative_prompt": "a dog", "base_model": "x", "sampler": "euler", "seed": 3}
    said |= {"steps": 20, "cfg": 6, "width": 1152, "height": 896, "styles": ["a"]}
    settings = {"Steps": "20", "Sampler": "Euler", "CFG scale": "6", "Seed": "3", "Size": "1152x896"}
    settings |= {"RNG": "CPU", "styles": "set", "App": "Fooocus"}
    assert read_picture(png_with(tmp_path / "x.png", Comment=said)) == Infotext("a cat", "a dog", settings)


def test_ruined_fooocus(tmp_path):
    said = {"Prompt": "a cat", "Negative": "a dog", "seed": 7, "steps": 30, "cfg": 8, "width": 1152}
    said |= {"height": 896, "sampler_name": "dpmpp_2m", "scheduler": "karras", "software": "RuinedFooocus"}
    read = read_picture(png_with(tmp_path / "x.png", parameters=said | {"base_model_name": "x", "loras": []}))
    assert (read.prompt, read.negative, read.settings["Seed"]) == ("a cat", "a dog", "7")
    assert (read.settings["Sampler"], read.settings["Size"]) == ("DPM++ 2M", "1152x896")


# -- NovelAI

NOVELAI = {
    "prompt": "{a cat}, best quality",
    "steps": 28,
    "height": 1216,
    "width": 832,
    "scale": 5.0,
    "uncond_scale": 1.0,
    "cfg_rescale": 0.4,
    "seed": 3816166865,
    "n_samples": 1,
    "noise_schedule": "native",
    "sampler": "k_euler",
    "controlnet_strength": 1.0,
    "controlnet_model": None,
    "sm": False,
    "uc": "nsfw, lowres, {bad}",
    "request_type": "PromptGenerateRequest",
}
V4 = NOVELAI | {
    "prompt": "2girls",
    "v4_prompt": {
        "caption": {
            "base_caption": "2girls, car",
            "char_captions": [{"char_caption": "girl, red hair", "centers": [{"x": 0.5, "y": 0.5}]}] * 2,
        },
        "use_coords": False,
    },
    "v4_negative_prompt": {"caption": {"base_caption": "lowres", "char_captions": []}},
}


def novelai(comment):
    return {"Title": "AI generated image", "Description": "shown", "Software": "NovelAI", "Comment": comment}


def test_novelai(tmp_path):
    """In a PNG's chunks, and in a WebP as JSON with the comment as a text in it."""
    chunks = novelai(json.dumps(NOVELAI))
    pictures = [
        png_with(tmp_path / "a.png", **chunks),
        with_tags(tmp_path / "b.webp", {SOFTWARE: "NovelAI"}, b"ASCII\0\0\0" + json.dumps(chunks).encode()),
    ]
    settings = {
        "Steps": "28",
        "Sampler": "Euler",
        "Schedule type": "Uniform",
        "CFG scale": "5",
        "Seed": "3816166865",
        "Size": "832x1216",
        "CFG rescale": "0.4",
        "Emphasis": "NovelAI",
        "App": "NovelAI",
    }
    for picture in pictures:
        assert read_picture(picture) == Infotext("{a cat}, best quality", "nsfw, lowres, {bad}", settings)


def test_a_comment_of_novelai_alone(tmp_path):
    """As copies have it that kept no other text."""
    for picture in (
        png_with(tmp_path / "a.png", Comment=NOVELAI),
        with_tags(tmp_path / "b.webp", {}, unicode_comment(NOVELAI)),
    ):
        assert read_picture(picture).settings["Seed"] == "3816166865"


def test_novelai_with_a_prompt_for_each_character(tmp_path):
    said = read_picture(png_with(tmp_path / "x.png", **novelai(json.dumps(V4))))
    assert (said.prompt, said.negative) == ("2girls, car", "lowres")
    assert said.settings["Character prompts"] == "2"
    assert "Emphasis" not in said.settings


# -- InvokeAI

INVOKE = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a lighthouse at dusk",
    "negative_prompt": "people",
    "width": 1024,
    "height": 768,
    "seed": 987654321,
    "rand_device": "cpu",
    "cfg_scale": 5.5,
    "cfg_rescale_multiplier": 0,
    "steps": 30,
    "scheduler": "dpmpp_2m_k",
    "seamless_x": False,
    "model": {"key": "k1", "hash": "blake3:aa", "name": "Juggernaut XL v9", "base": "sdxl", "type": "main"},
    "loras": [{"model": {"name": "add-detail-xl"}, "weight": 0.75}],
    "positive_style_prompt": "",
    "controlnets": [],
    "app_version": "5.4.2",
}


def test_invokeai(tmp_path):
    picture = png_with(tmp_path / "x.png", invokeai_metadata=INVOKE, invokeai_graph="{}")
    settings = {
        "Steps": "30",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "5.5",
        "Seed": "987654321",
        "Size": "1024x768",
        "RNG": "CPU",
        "CFG rescale": "0",
        "Lora": "set",
        "App": "InvokeAI",
    }
    assert read_picture(picture) == Infotext("a lighthouse at dusk", "people", settings)


@pytest.mark.parametrize(
    ("prompt", "emphasis"),
    [
        ("a cat++, red", True),
        ("a (red cat)1.2", True),
        ("a (red cat)-", True),
        ('("a cat", "a dog").blend(1, 1)', True),
        ("a red-haired cat (sitting), 1+1", False),
        ("c++ code", True),
    ],
)
def test_invokeai_has_a_syntax_of_its_own(tmp_path, prompt, emphasis):
    said = read_picture(png_with(tmp_path / "x.png", invokeai_metadata=INVOKE | {"positive_prompt": prompt}))
    assert ("Emphasis" in said.settings) == emphasis


def test_invokeai_2(tmp_path):
    image = {
        "prompt": [{"prompt": "a boat [storm] on water [fog]", "weight": 1.0}],
        "steps": 50,
        "seed": 1234,
    }
    image |= {"cfg_scale": 7.5, "width": 512, "height": 640, "sampler": "k_lms", "type": "txt2img"}
    image |= {"seamless": False, "hires_fix": False, "postprocessing": None, "variations": []}
    metadata = {"model": "stable diffusion", "app_id": "invoke-ai/InvokeAI", "app_version": "2.2.5"}
    dream = '"a boat [storm] on water [fog]" -s 50 -S 1234 -W 512 -H 640 -C 7.5 -A k_lms'
    pictures = [
        png_with(tmp_path / "a.png", sd_in_metadata=metadata | {"image": image}, Dream=dream),
        png_with(tmp_path / "b.png", Dream=dream),
        png_with(tmp_path / "c.png", Dream=dream.replace("-s 50 -S 1234 -W 512", "-s50 -S1234 -W512")),
    ]
    settings = {
        "Steps": "50",
        "Sampler": "k_lms",
        "CFG scale": "7.5",
        "Seed": "1234",
        "Size": "512x640",
        "App": "InvokeAI",
    }
    for picture in pictures:
        assert read_picture(picture) == Infotext("a boat on water", "storm fog", settings)


def test_what_a_dream_did_to_the_picture_is_among_its_settings(tmp_path):
    dream = (
        '"a cat, 5\' tall" -s 50 -S 7 -W 512 -H 768 -C 5.0 -A k_lms -I a.png -f 0.6 -G 0.9 -U 4 0.95 -cf 0.75'
    )
    said = read_picture(png_with(tmp_path / "x.png", Dream=dream))
    assert said.prompt == "a cat, 5' tall"
    assert said.settings["Denoising strength"] == "0.6"
    assert (said.settings["Face restoration"], said.settings["Upscale"]) == ("0.9", "4")
    assert said.settings["Size"] == "512x768"


def test_brackets_that_are_never_closed_take_no_longer_than_others():
    """They are text; looked for from each of them, an end that is not there would take hours."""
    said = read_dream(f'"a [b] {"[" * 10**6}" -s 50', "x.png")
    assert (said.prompt, said.negative) == (f"a {'[' * 10**6}", "b")
    said = read_dream(f'"{"[" * 10**6}] c" -s 50', "x.png")
    assert (said.prompt, said.negative) == ("c", "[" * (10**6 - 1))


def test_invokeai_2_with_several_prompts_is_refused(tmp_path):
    image = {"prompt": [{"prompt": "a", "weight": 1}, {"prompt": "b", "weight": 0.5}], "seed": 1}
    with pytest.raises(BadInput, match="mixes 2 prompts"):
        read_picture(png_with(tmp_path / "x.png", sd_in_metadata={"image": image}))


# -- Civitai

CIVITAI = {
    "prompt": "a cat",
    "negativePrompt": "a dog",
    "cfgScale": 5,
    "sampler": "Euler a",
    "clipSkip": 2,
    "steps": 25,
    "seed": 1311178179,
    "width": 832,
    "height": 1216,
    "transformations": [{"type": "upscale", "upscaleWidth": 1248, "upscaleHeight": 1824}],
}


def test_civitai(tmp_path):
    """Beside the graph of its upscaler, as a chunk or in the same JSON."""
    graph = {"resource-stack": {"class_type": "CheckpointLoaderSimple", "inputs": {}}, "extra": {"airs": []}}
    pictures = [
        png_with(tmp_path / "a.png", prompt=graph, extraMetadata=CIVITAI),
        with_tags(tmp_path / "b.jpg", {}, unicode_comment(graph | {"extraMetadata": json.dumps(CIVITAI)})),
    ]
    settings = {
        "Steps": "25",
        "Sampler": "Euler a",
        "CFG scale": "5",
        "Seed": "1311178179",
        "Size": "832x1216",
        "Clip skip": "2",
        "transformations": "set",
        "App": "Civitai",
    }
    for picture in pictures:
        assert read_picture(picture) == Infotext("a cat", "a dog", settings)


# -- whose it is, and why it cannot be read

DEEP = '{"a": ' * 100_000
REFUSED = {
    "unknown json": ({"parameters": '{"cat": 1, "dog": 2}'}, "an unknown program", "JSON with cat, dog"),
    "half a swarm": ({"parameters": '{"sui_image_params": {"prompt": "a'}, "SwarmUI", "not valid JSON"),
    "not a number": ({"parameters": '{"sui_image_params": {"seed": NaN}}'}, "SwarmUI", "NaN is not a number"),
    "endless": ({"parameters": '{"sui_image_params": {"seed": 1e999}}'}, "SwarmUI", "1e999 is not a number"),
    "thousands of digits": (
        {"parameters": '{"sui_image_params": {"seed": ' + "1" * 5000 + "}}"},
        "SwarmUI",
        "not valid JSON",
    ),
    "a list for a seed": (
        {"parameters": {"sui_image_params": {"prompt": "a", "seed": [1]}}},
        "SwarmUI",
        "'seed' is a list",
    ),
    "an object for a prompt": (
        {"parameters": {"sui_image_params": {"prompt": {}}}},
        "SwarmUI",
        "'prompt' is an",
    ),
    "a list for an object": (
        {"parameters": {"sui_image_params": []}},
        "SwarmUI",
        "'sui_image_params' is a list",
    ),
    "deep": ({"invokeai_metadata": DEEP}, "InvokeAI", "nested too deeply"),
    "deep parameters": ({"parameters": DEEP}, "an unknown program", "nested too deeply"),
    "long": ({"prompt": '{"a":"' + "x" * MAX_INFOTEXT + '"}'}, "ComfyUI", "too long"),
    "no object": ({"invokeai_metadata": "[1]"}, "InvokeAI", "a list instead of an object"),
    "no comment": ({"Software": "NovelAI", "Comment": "by hand"}, "NovelAI", "not valid JSON"),
    "no quotes": ({"Dream": "a cat -s 50"}, "InvokeAI", "not a prompt in quotes"),
    "workflow alone": ({"workflow": {"nodes": [], "links": []}}, "ComfyUI", "without the graph"),
    "easy diffusion": ({"prompt": "a cat", "negative_prompt": "a dog"}, "Easy Diffusion", "not supported"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_whose_it_is_and_why_it_cannot_be_read(tmp_path, case):
    texts, program, why = REFUSED[case]
    began = time.process_time()
    with pytest.raises(BadInput) as caught:
        read_picture(png_with(tmp_path / "x.png", **texts))
    what, where, reason, fix = caught.value.lines
    assert program in what
    assert "x.png" in where
    assert why in reason
    assert ".txt" in fix
    assert time.process_time() - began < 2


def test_a_text_hidden_in_the_pixels_is_not_read_and_that_is_said(tmp_path):
    Image.fromarray(PIXELS).convert("RGBA").save(tmp_path / "x.png")
    with pytest.raises(BadInput, match="stealth") as caught:
        read_picture(tmp_path / "x.png")
    assert "no generation parameters" in caught.value.lines[0]


def test_half_a_character_becomes_a_question_mark(tmp_path):
    text = '{"sui_image_params": {"prompt": "a \\ud800 cat", "seed": 1}}'
    assert read_picture(png_with(tmp_path / "x.png", parameters=text)).prompt == "a ? cat"


def test_a_prompt_that_begins_as_json_does_is_one_before_settings(tmp_path):
    text = '{"cat"}, red\nSteps: 25, Sampler: Euler a, Seed: 5'
    assert read_picture(png_with(tmp_path / "x.png", parameters=text)).prompt == '{"cat"}, red'


@pytest.mark.parametrize("table", [names.COMFY_SAMPLERS, names.INVOKE_SAMPLERS, names.NOVELAI_SAMPLERS])
def test_names_of_samplers_are_a1111s(table):
    assert set(table.values()) <= {known.name for known in SAMPLERS.values()}
