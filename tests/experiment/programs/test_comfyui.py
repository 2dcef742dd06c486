"""ComfyUI's graph: from the sampler that begins with noise to its seed and to the text encoders."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput
from gridsearch.experiment.programs.comfyui import read_comfyui
from gridsearch.experiment.programs.fields import Fields
from gridsearch.experiment.programs.read import read_picture
from gridsearch.render.pictures import Infotext
from tests.helpers.generated import MAKE, MODEL, png_with, unicode_comment, with_tags


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


SAMPLING = {"steps": 20, "cfg": 7.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0}
BASE = {
    "4": node("CheckpointLoaderSimple", ckpt_name="sdxl.safetensors"),
    "5": node("EmptyLatentImage", width=1216, height=832, batch_size=1),
    "6": node("CLIPTextEncode", text="a cat", clip=["4", 1]),
    "7": node("CLIPTextEncode", text="a dog", clip=["4", 1]),
    "3": node(
        "KSampler",
        seed=156680208700286,
        model=["4", 0],
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["5", 0],
        **SAMPLING,
    ),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
}
SAYS = {
    "Steps": "20",
    "Sampler": "DPM++ 2M",
    "Schedule type": "Karras",
    "CFG scale": "7.5",
    "Size": "1216x832",
    "Denoising strength": "1",
    "Seed": "156680208700286",
    "RNG": "CPU",
    "App": "ComfyUI",
}


def changed(id_="3", **inputs):
    """The graph with other inputs of one node."""
    new = BASE[id_] | {"inputs": BASE[id_]["inputs"] | inputs}
    return BASE | {id_: new}


def read(graph) -> Infotext:
    return read_comfyui(Fields("ComfyUI", "x.png", graph))


def test_where_comfyui_and_its_nodes_write_it(tmp_path: Path):
    """SaveImage in a PNG's chunks; SaveAnimatedWEBP in EXIF; other nodes as JSON in the user comment."""
    workflow = {"nodes": [], "links": []}
    pictures = [
        png_with(tmp_path / "a.png", prompt=BASE, workflow=workflow),
        with_tags(tmp_path / "b.webp", {MODEL: f"prompt:{json.dumps(BASE)}", MAKE: "workflow:{}"}),
        with_tags(tmp_path / "c.jpg", {}, unicode_comment({"prompt": BASE, "workflow": workflow})),
        with_tags(tmp_path / "d.webp", {}, unicode_comment({"prompt": json.dumps(BASE)})),
        with_tags(tmp_path / "e.webp", {}, unicode_comment(BASE)),
    ]
    for picture in pictures:
        assert read_picture(picture) == Infotext("a cat", "a dog", SAYS)


def test_a_text_of_a1111_beside_the_graph_is_read_first(tmp_path):
    text = "by hand\nSteps: 25, Sampler: Euler a, Seed: 5"
    assert read_picture(png_with(tmp_path / "x.png", parameters=text, prompt=BASE)).prompt == "by hand"


def test_the_seed_and_the_text_may_be_held_by_nodes_of_their_own():
    graph = changed(seed=["20", 0], steps=["22", 0]) | {
        "20": node("Seed (rgthree)", seed=7),
        "21": node("PrimitiveStringMultiline", value="a fox"),
        "22": node("PrimitiveInt", value=["23", 0]),
        "23": node("easy int", value=31),
        "6": node("CLIPTextEncode", text=["21", 0], clip=["4", 1]),
    }
    said = read(graph)
    assert (said.prompt, said.settings["Seed"], said.settings["Steps"]) == ("a fox", "7", "31")


def test_sdxls_encoder_and_the_nodes_on_the_way():
    graph = changed(positive=["30", 0], negative=["30", 1], model=["31", 0]) | {
        "6": node("CLIPTextEncodeSDXL", text_g="a cat", text_l="a cat", width=1024, clip=["4", 1]),
        "30": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=0.8),
        "31": node("FreeU_V2", model=["32", 0], b1=1.3),
        "32": node("RescaleCFG", model=["33", 0], multiplier=0.7),
        "33": node("LoraLoader", model=["34", 0], clip=["4", 1], lora_name="x.safetensors", strength_model=1),
        "34": node("ModelSamplingDiscrete", model=["4", 0], sampling="v_prediction", zsnr=True),
        "35": node("CLIPSetLastLayer", clip=["4", 1], stop_at_clip_layer=-2),
        "36": node("VAELoader", vae_name="sdxl.vae.safetensors"),
    }
    said = read(graph)
    assert (said.prompt, said.negative) == ("a cat", "a dog")
    assert said.settings == SAYS | {
        "CFG rescale": "0.7",
        "Noise Schedule": "Zero Terminal SNR",
        "Clip skip": "2",
        "VAE": "sdxl.vae.safetensors",
        "Lora": "x.safetensors",
        "Model patches": "FreeU_V2",
        "Conditioning": "ControlNetApplyAdvanced",
    }


def test_the_shift_of_a_rectified_flow():
    graph = changed(model=["31", 0]) | {"31": node("ModelSamplingSD3", model=["4", 0], shift=6)}
    assert read(graph).settings == SAYS | {"advanced_sampling_mode": "SD3", "sd3_shift": "6"}


def test_the_first_of_two_passes_is_read_and_the_second_is_named():
    second = BASE["3"]["inputs"] | {"seed": 99, "latent_image": ["11", 0], "denoise": 0.5}
    graph = BASE | {
        "11": node("LatentUpscale", samples=["3", 0], upscale_method="bilinear", width=2048, height=1600),
        "12": node("KSampler", **second),
        "13": node("VAEDecode", samples=["12", 0], vae=["4", 2]),
        "14": node("FaceDetailer", image=["13", 0], seed=5, positive=["6", 0], negative=["7", 0], **SAMPLING),
        "15": node("ImageUpscaleWithModel", image=["14", 0], upscale_model=["16", 0]),
        "16": node("UpscaleModelLoader", model_name="4x.pth"),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["15", 0]),
    }
    assert read(graph).settings == SAYS | {
        "Other samplers": "KSampler, FaceDetailer",
        "Image nodes": "ImageUpscaleWithModel, LatentUpscale",
    }


def test_an_advanced_sampler_has_a_noise_seed():
    inputs = {key: value for key, value in BASE["3"]["inputs"].items() if key not in ("seed", "denoise")}
    first = node("KSamplerAdvanced", noise_seed=11, add_noise="enable", end_at_step=16, **inputs)
    refined = inputs | {"latent_image": ["3", 0]}
    second = node("KSamplerAdvanced", noise_seed=0, add_noise="disable", start_at_step=16, **refined)
    said = read(BASE | {"3": first, "10": second, "8": node("VAEDecode", samples=["10", 0], vae=["4", 2])})
    assert (said.prompt, said.settings["Seed"]) == ("a cat", "11")
    assert said.settings["Other samplers"] == "KSamplerAdvanced"


def test_a_custom_sampler_is_spread_over_nodes():
    graph = BASE | {
        "3": node(
            "SamplerCustomAdvanced",
            noise=["40", 0],
            guider=["41", 0],
            sampler=["42", 0],
            sigmas=["43", 0],
            latent_image=["5", 0],
        ),
        "40": node("RandomNoise", noise_seed=12),
        "41": node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=4),
        "42": node("KSamplerSelect", sampler_name="euler_ancestral"),
        "43": node("BasicScheduler", model=["4", 0], scheduler="sgm_uniform", steps=25, denoise=1),
    }
    said = read(graph)
    assert (said.prompt, said.negative) == ("a cat", "a dog")
    expected = {"Seed": "12", "CFG scale": "4", "Sampler": "Euler a", "Schedule type": "SGM Uniform"}
    assert said.settings == SAYS | expected | {"Steps": "25"}


def test_texts_that_nodes_hand_on_or_join_are_followed():
    """ShowText shows what it hands on; StringConcatenate joins; the Impact Pack keeps what it drew."""
    graph = changed("6", text=["20", 0]) | {
        "7": node("CLIPTextEncode", text=["24", 0], clip=["4", 1]),
        "20": node("ShowText|pysssss", text=["21", 0], text_0="an earlier text"),
        "21": node("StringConcatenate", string_a=["22", 0], string_b="red", delimiter=", "),
        "22": node("PrimitiveStringMultiline", value="a fox"),
        "24": node("ImpactWildcardProcessor", wildcard_text="__x__", populated_text="drawn", mode="populate"),
    }
    said = read(graph)
    assert (said.prompt, said.negative) == ("a fox, red", "drawn")


def test_an_encoder_with_the_parser_of_another_program():
    """smZNodes': it has the inputs of SDXL's encoder too, empty, and A1111's brackets mean what they say."""
    unused = {"text_g": "", "text_l": "", "with_SDXL": False, "clip": ["4", 1]}
    graph = BASE | {"6": node("smZ CLIPTextEncode", text="[a cat], (red)", parser="A1111", **unused)}
    said = read(graph)
    assert said.prompt == "[a cat], (red)"
    assert said.settings["Conditioning"] == "smZ CLIPTextEncode"
    assert "Emphasis" not in said.settings
    assert (
        read(BASE | {"6": node("smZ CLIPTextEncode", text="[a]", parser="comfy", **unused)}).prompt
        == r"\[a\]"
    )


def test_what_is_no_node_is_passed_over():
    data = {"extra": {"airs": []}, "extraMetadata": "{}", "80": 7}
    assert read(BASE | data).settings == SAYS


def test_a_loader_may_have_the_prompts_and_an_empty_negative_one_may_be_zeros():
    size = {"empty_latent_width": 512, "empty_latent_height": 640}
    loader = node("Efficient Loader", positive="a wolf", negative="a sheep", **size)
    said = read(changed(positive=["50", 1], negative=["50", 2], latent_image=["50", 3]) | {"50": loader})
    assert (said.prompt, said.negative, said.settings["Size"]) == ("a wolf", "a sheep", "512x640")
    said = read(changed(negative=["51", 0]) | {"51": node("ConditioningZeroOut", conditioning=["6", 0])})
    assert (said.prompt, said.negative, said.settings["Unconditional"]) == ("a cat", "", "zeros")
    assert read(changed("7", text="")).settings["Unconditional"] == "empty"


def test_conditioning_that_is_concatenated_is_a_prompt_with_break():
    concatenated = node("ConditioningConcat", conditioning_to=["6", 0], conditioning_from=["7", 0])
    assert read(changed(positive=["60", 0]) | {"60": concatenated}).prompt == "a cat\nBREAK\na dog"


def test_square_brackets_are_text_and_weights_are_named():
    said = read(changed("6", text=r"[a cat], (red:1.2), \(fate\), \[b\]"))
    assert said.prompt == r"\[a cat\], (red:1.2), \(fate\), \[b\]"
    assert said.settings["Emphasis"] == "ComfyUI"
    assert "Emphasis" not in read(changed("6", text=r"a \(fate\) cat")).settings


def test_the_one_of_two_samplers_that_was_saved_is_read():
    other = BASE["3"]["inputs"] | {"seed": 99}
    assert read(BASE | {"70": node("KSampler", **other)}).settings["Seed"] == "156680208700286"


JOIN = node("Text Concatenate", text_a="a", text_b="b", delimiter=", ")
REPLACE = node("StringReplace", string="a cat", find="cat", replace="dog")
BOTH = BASE | {
    "70": BASE["3"],
    "71": node("VAEDecode", samples=["70", 0]),
    "72": node("SaveImage", filename_prefix="b", images=["71", 0]),
}
REFUSED = {
    "text is computed": (changed("6", text=["80", 0]) | {"80": JOIN}, "computed by 'Text Concatenate'"),
    "text is replaced": (changed("6", text=["80", 0]) | {"80": REPLACE}, "computed by 'StringReplace'"),
    "seed is computed": (
        changed(seed=["80", 0]) | {"80": node("Math", value=1, b=["5", 0])},
        "computed by 'Math'",
    ),
    "no sampler": ({"4": BASE["4"]}, "no sampler"),
    "empty": ({}, "no sampler"),
    "two pictures": (BOTH, "2 samplers that begin with noise"),
    "circle of texts": (
        changed("6", text=["80", 0]) | {"80": node("T", text=["81", 0]), "81": node("T", text=["80", 0])},
        "in a circle",
    ),
    "circle of latents": (changed(latent_image=["3", 0]), "in a circle"),
    "circle of conditioning": (
        changed(positive=["80", 0])
        | {"80": node("C", conditioning=["81", 0]), "81": node("C", conditioning=["80", 0])},
        "in a circle",
    ),
    "link to nowhere": (changed(positive=["99", 0]), "not there"),
    "mixed": (
        changed(positive=["80", 0])
        | {"80": node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["7", 0])},
        "mixes several prompts",
    ),
    "two encoders": (
        BASE | {"6": node("CLIPTextEncodeSDXL", text_g="a", text_l="b", clip=["4", 1])},
        "different prompts",
    ),
    "no text": (changed(positive=["4", 0]), "leads to no text"),
    "a class that is none": (BASE | {"80": {"class_type": [], "inputs": {}}}, "'class_type' is a list"),
    "inputs that are none": (BASE | {"80": {"class_type": "X", "inputs": [1]}}, "'inputs' is a list"),
    "a prompt that is none": (changed("6", text={"a": 1}), "'text' is an object"),
    "a seed that is none": (changed(seed=[1]), "'seed' is a list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_graph_that_cannot_be_read_is_refused_with_the_reason(case):
    graph, why = REFUSED[case]
    with pytest.raises(BadInput) as caught:
        read(graph)
    assert "ComfyUI" in caught.value.lines[0]
    assert why in caught.value.lines[2]


def test_a_chain_that_goes_on_for_too_long_is_refused():
    chain = {str(i): node("C", conditioning=[str(i + 1), 0]) for i in range(100, 400)}
    with pytest.raises(BadInput, match="for too long"):
        read(changed(positive=["100", 0]) | chain | {"400": BASE["6"]})


def test_joins_of_joins_take_no_longer_than_others():
    """Each doubles the text: thirty would be a billion."""

    def join(i):
        return node("ConditioningConcat", conditioning_to=[str(i + 1), 0], conditioning_from=[str(i + 1), 0])

    joins = {str(i): join(i) for i in range(100, 130)}
    began = time.process_time()
    with pytest.raises(BadInput, match="mixes several prompts"):
        read(changed(positive=["100", 0]) | joins | {"130": BASE["6"]})
    assert time.process_time() - began < 1


def test_joined_texts_take_no_longer_than_others():
    joins = {
        str(i): node("StringConcatenate", string_a=[str(i + 1), 0], string_b=[str(i + 1), 0], delimiter="")
        for i in range(100, 130)
    }
    began = time.process_time()
    with pytest.raises(BadInput, match="computed by 'StringConcatenate'"):
        read(changed("6", text=["100", 0]) | joins | {"130": node("PrimitiveString", value="a")})
    assert time.process_time() - began < 1


def test_joined_texts_are_refused_where_they_are_too_long():
    """Eight joins and then five, each of which doubles the text, would make 34 MB of 4 kB."""
    joins = {
        f"j{i}": node("StringConcatenate", string_a=[f"j{i + 1}", 0], string_b=[f"j{i + 1}", 0], delimiter="")
        for i in range(8)
    }
    joins |= {"j8": node("PrimitiveString", value="a" * 4_097)}
    with pytest.raises(BadInput, match="texts that it joins are too long"):
        read(changed("6", text=["j0", 0]) | joins)
    joins |= {"j8": node("PrimitiveString", value="a" * 4_096)}
    assert read(changed("6", text=["j0", 0]) | joins).prompt == "a" * 2**20
    twice = node("ConditioningConcat", conditioning_to=["6", 0], conditioning_from=["6", 0])
    with pytest.raises(BadInput, match="texts that it joins are too long"):
        read(changed("6", text=["j0", 0]) | joins | {"3": changed(positive=["t", 0])["3"], "t": twice})


def test_many_nodes_take_no_longer_than_others():
    """Each of many samplers and of many saved images is followed along a hundred nodes."""
    chain = {f"c{i}": node("VAEDecode", samples=[f"c{i + 1}", 0]) for i in range(95)}
    samplers = {f"s{i}": node("KSampler", seed=i, positive=["6", 0], latent=["c0", 0]) for i in range(900)}
    saved = {f"i{i}": node("SaveImage", filename_prefix="x", images=["c0", 0]) for i in range(900)}
    began = time.process_time()
    with pytest.raises(BadInput, match="901 samplers"):
        read(
            changed(latent_image=["c0", 0]) | chain | samplers | saved | {"c95": BASE["5"], "9": saved["i0"]}
        )
    with pytest.raises(BadInput, match="2,001 nodes"):
        read({str(i): node("X") for i in range(2001)})
    assert time.process_time() - began < 3


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
LINKS = st.tuples(st.sampled_from(list(BASE)), st.integers(0, 2)).map(list)


@settings(max_examples=40)
@given(st.sampled_from(list(BASE)), st.data())
def test_any_graph_is_read_or_refused(id_, data):
    name = data.draw(st.sampled_from(list(BASE[id_]["inputs"])))
    graph = changed(id_, **{name: data.draw(VALUES | LINKS)})
    try:
        said = read(graph).prompt
    except BadInput as error:
        said = error.lines[3]
    assert isinstance(said, str)
