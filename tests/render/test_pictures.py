"""A1111's `parameters` text, written and read, and the pictures that hold it."""

import contextlib
import io
import string
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from gridsearch import __version__
from gridsearch.base.errors import BadInput
from gridsearch.render import pictures
from gridsearch.render.cases import Case
from gridsearch.render.pictures import (
    Infotext,
    as_kept,
    as_text,
    embedded_text,
    parameters_text,
    png_bytes,
    read_parameters,
    reduced_from,
    webp_bytes,
)
from tests.helpers.settings import sampling

SAMPLING = sampling(
    "v_prediction",
    "dpmpp_2m_karras",
    timestep_spacing="trailing",
    steps=28,
    cfg=5.0,
    rng="gpu",
    width=1024,
    height=1024,
)


def text_of(text="a cat", negative="", model="mix", recipe="0.5 a + 0.5 b", **settings):
    case = Case("p1", text, negative, 7)
    drawn_with = replace(SAMPLING, **settings)
    return parameters_text(
        case, drawn_with, model=model, model_hash="0123456789", recipe=recipe, place="cpu float32"
    )


# -- writing


def test_the_last_line_has_the_keys_and_the_order_of_a1111_and_then_our_own():
    prompt, negative, settings = text_of(negative="dog").split("\n")
    assert (prompt, negative) == ("a cat", "Negative prompt: dog")
    assert settings == (
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5, Seed: 7, Size: 1024x1024, "
        "Model hash: 0123456789, Model: mix, Clip skip: 2, RNG: NV, Noise Schedule: Zero Terminal SNR, "
        "Prediction type: v_prediction, Zero terminal SNR: True, Timestep spacing: trailing, "
        "Unconditional: zeros, CFG rescale: 0, Recipe: 0.5 a + 0.5 b, Drawn on: cpu float32, "
        f"Version: gridsearch {__version__}"
    )


def test_a_sampler_without_a_schedule_is_not_left_to_a_web_ui_that_would_choose_another():
    assert "Sampler: DPM++ 2M, Schedule type: Uniform, " in text_of(sampler="dpmpp_2m")
    assert "Sampler: Euler a, CFG scale" in text_of(sampler="euler_a")
    free = text_of(sampler="euler_a", schedule="align_your_steps")
    assert "Sampler: Euler a, Schedule type: Align Your Steps, CFG scale" in free


def test_what_is_usual_is_not_said_and_what_is_not_is():
    usual, other = text_of(), text_of(pag_scale=3.0, original_width=2048, crop_top=64.5, cfg=4.25)
    assert "PAG" not in usual
    assert "Original size" not in usual
    for part in ("PAG scale: 3, ", "Original size: 2048x1024, Crop: 0x64.5, Recipe", "CFG scale: 4.25, "):
        assert part in other
    assert "Noise Schedule" not in text_of(zero_terminal_snr=False)


def test_weights_of_no_file_have_no_hash():
    text = parameters_text(Case("p", "x", "", 1), SAMPLING, model="m", model_hash="", recipe="r", place="cpu")
    assert "Model hash" not in read_parameters(text).settings


# -- reading


def test_the_example_of_a1111_is_read():
    text = """girl with an artist's beret, determined, ((eyeshadow)), (coquettish), intricate
Negative prompt: ugly, fat, (((deformed))), [blurry], (extra_limb), messy drawing
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x512, Model hash: 45dee52b"""
    read = read_parameters(text)
    assert read.prompt == "girl with an artist's beret, determined, ((eyeshadow)), (coquettish), intricate"
    assert read.negative == "ugly, fat, (((deformed))), [blurry], (extra_limb), messy drawing"
    assert read.settings == {
        "Steps": "20",
        "Sampler": "Euler a",
        "CFG scale": "7",
        "Seed": "965400086",
        "Size": "512x512",
        "Model hash": "45dee52b",
    }


QUOTED = 'x\nSteps: 4, Lora hashes: "one: 0a1b, two: c3d4", TI hashes: "a \\"b\\": 1", Hires: R-ESRGAN 4x+'


@pytest.mark.parametrize(
    ("text", "prompt", "negative", "settings"),
    [
        ("", "", "", {}),
        ("just words, and more", "just words, and more", "", {}),
        ("one\n\n two \nthree", "one\n\ntwo\nthree", "", {}),
        ("a\nNegative prompt: b\nc", "a", "b\nc", {}),
        ("Negative prompt: b\nSteps: 1, Seed: 2, Size: 8x8", "", "b", dict(Steps="1", Seed="2", Size="8x8")),
        ("a\r\nSteps: 1, Seed: 2, Size: 8x8\r\n", "a", "", dict(Steps="1", Seed="2", Size="8x8")),
        ("a\nSteps: 1, Seed: 2", "a\nSteps: 1, Seed: 2", "", {}),  # two settings are not enough
        (
            QUOTED,
            "x",
            "",
            {
                "Steps": "4",
                "Lora hashes": "one: 0a1b, two: c3d4",
                "TI hashes": 'a "b": 1',
                "Hires": "R-ESRGAN 4x+",
            },
        ),
        ('a\nSteps: 1, Seed: 2, Model: "half', "a", "", {"Steps": "1", "Seed": "2", "Model": '"half'}),
        ('a\nSteps: 1, Seed: 2, Hashes: {"half', "a", "", {"Steps": "1", "Seed": "2", "Hashes": '{"half'}),
        (
            'a\nSteps: 1, Seed: 2, Model: "\\ud800"',
            "a",
            "",
            {"Steps": "1", "Seed": "2", "Model": "?"},
        ),
    ],
)
def test_what_a_text_says(text, prompt, negative, settings):
    assert read_parameters(text) == Infotext(prompt, negative, settings)


@given(st.text())
def test_any_text_can_be_read(text):
    read = read_parameters(text)
    assert all(isinstance(value, str) for value in read.settings.values())


OPEN = [part * (2**18 // len(part)) for part in ('ab: {"x, ', 'ab: [{"x, ')]  # and never closed


def test_a_hostile_line_takes_no_longer_than_another():
    began = time.process_time()
    for line in ("a" * 10**6, " \t" * 10**6, 'ab:"\\"' * 10**5, "-/" * 10**6, "ab: " * 10**5, *OPEN):
        read_parameters(line)
    assert time.process_time() - began < 5  # quadratic would be minutes


# -- the law of the round trip


WORDS = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(string.ascii_letters + string.digits + " -/", min_size=1).map(lambda key: f"K{key}")


def has_negative_line(text: str) -> bool:
    return any(line.strip().startswith("Negative prompt:") for line in text.split("\n"))


@given(
    WORDS.filter(lambda text: not has_negative_line(text)),
    WORDS.filter(lambda text: not has_negative_line(text)),
    st.dictionaries(KEYS, WORDS, min_size=3, max_size=6),
)
def test_what_is_written_is_read_as_it_is_kept(prompt, negative, settings):
    read = read_parameters(as_text(Infotext(prompt, negative, settings)))
    assert read == Infotext(as_kept(prompt), as_kept(negative), settings)
    assert read_parameters(as_text(read)) == read


@given(WORDS, WORDS)
def test_a_models_name_and_a_recipe_come_back_whatever_they_are(model, recipe):
    settings = read_parameters(text_of(model=model, recipe=recipe)).settings
    assert (settings["Model"], settings["Recipe"]) == (model, recipe)


def test_a_line_that_looks_like_the_negative_prompt_is_where_it_begins():
    read = read_parameters(text_of(text="a\nNegative prompt: b", negative="c\nNegative prompt: d"))
    assert (read.prompt, read.negative) == ("a", "b\nc\nd")


# -- pictures


PIXELS = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("text", ["plain\nSteps: 1", "雪, é, 🎨", "ünï"])
def test_a_png_keeps_the_text(tmp_path, text):
    (tmp_path / "x.png").write_bytes(png_bytes(PIXELS, text))
    assert embedded_text(tmp_path / "x.png") == text


@pytest.mark.parametrize("text", ["plain\nSteps: 1", "雪, é, 🎨", ""])
def test_a_webp_keeps_the_text_and_every_pixel(tmp_path, text):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    (tmp_path / "x.webp").write_bytes(webp_bytes(pixels, text))
    assert embedded_text(tmp_path / "x.webp") == text
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.webp").convert("RGB")), pixels)


# What piexif 1.1.3 makes of "a 雪", as A1111 puts it into a WebP.
BY_A1111 = (
    b"MM\0*\0\0\0\x08\0\x01\x87i\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0"
    b"\0\x01\x92\x86\0\x07\0\0\0\x0e\0\0\0(UNICODE\0\0a\0 \x96\xea"
)


def test_a_webp_of_a1111_is_read_and_ours_has_the_comment_in_the_type_that_it_asks_for(tmp_path):
    """Type 7, "undefined", of 14 bytes: as bytes, type 1, A1111 could not read it."""
    Image.fromarray(PIXELS).save(tmp_path / "a1111.webp", lossless=True, exif=BY_A1111)
    assert embedded_text(tmp_path / "a1111.webp") == "a 雪"
    with Image.open(io.BytesIO(webp_bytes(PIXELS, "a 雪"))) as image:
        ours = image.info["exif"].removeprefix(b"Exif\0\0")
    assert ours[:36] == BY_A1111[:36]
    at = int.from_bytes(ours[36:40], "big")
    assert ours[at:] == BY_A1111[40:]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("a cat\nSteps: 1, Seed: 2, Size: 8x8, Reduced from: 1024x768", (1024, 768)),
        ("Reduced from: 8x8", (8, 8)),
        ("Reduced from: 8x8\nSteps: 1, Seed: 2, Size: 8x8", None),  # a prompt that says so
        ('a\nSteps: 1, Seed: 2, Model: "x, Reduced from: 8x8"', None),
        ("a\nSteps: 1, Seed: 2, Reduced from: 8x", None),
        ("", None),
    ],
)
def test_a_picture_that_is_kept_small_says_what_it_was(tmp_path, text, size):
    (tmp_path / "x.png").write_bytes(png_bytes(PIXELS, text))
    assert reduced_from(tmp_path / "x.png") == size


COMMENTS = {
    "as a1111": b"UNICODE\0" + "a 雪".encode("utf-16-be"),
    "low byte first": b"UNICODE\0" + "a 雪".encode("utf-16-le"),
    "ascii": b"ASCII\0\0\0" + "a 雪".encode(),
    "unnamed": b"\0" * 8 + "a 雪".encode(),
    "no name": "a 雪 without a name".encode(),
}


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
@pytest.mark.parametrize("comment", COMMENTS)
def test_a_jpeg_and_a_webp_keep_it_as_their_users_comment(tmp_path, suffix, comment):
    path = tmp_path / f"x{suffix}"
    exif = Image.Exif()
    exif.get_ifd(pictures.EXIF)[pictures.USER_COMMENT] = COMMENTS[comment]
    Image.fromarray(PIXELS).save(path, exif=exif)
    assert embedded_text(path).startswith("a 雪")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_picture_that_says_nothing_has_no_text(tmp_path, suffix):
    Image.fromarray(PIXELS).save(tmp_path / f"x{suffix}")
    assert embedded_text(tmp_path / f"x{suffix}") == ""


def test_the_pixels_are_not_decoded(tmp_path):
    data = png_bytes(PIXELS, "words")
    at = data.index(b"IDAT") + 4
    (tmp_path / "x.png").write_bytes(data[:at] + b"rubbish")
    assert embedded_text(tmp_path / "x.png") == "words"


def write_hostile(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "x" * (2 * pictures.MAX_INFOTEXT), zip=True)
    Image.fromarray(PIXELS).save(tmp_path / "bomb.png", pnginfo=text)
    (tmp_path / "long.png").write_bytes(png_bytes(PIXELS, "x" * (pictures.MAX_INFOTEXT + 1)))
    (tmp_path / "wide.png").write_bytes(
        png_bytes(PIXELS, "x").replace(b"IHDR\0\0\0\x08\0\0\0\x08", b"IHDR\0\2\0\0\0\2\0\0")
    )
    (tmp_path / "words.png").write_text("words")
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(PIXELS).save(
        tmp_path / "broken.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff" + b"\x87" * 20
    )


@pytest.mark.parametrize("name", ["bomb.png", "long.png", "wide.png", "words.png", "folder.png", "none.png"])
def test_a_hostile_picture_is_refused_in_words(tmp_path, name):
    write_hostile(tmp_path)
    with pytest.raises(BadInput) as caught:
        embedded_text(tmp_path / name)
    assert len(caught.value.lines) <= 4
    assert str(tmp_path / name) in caught.value.lines[1]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_damaged_picture_is_read_or_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    exif = Image.Exif()
    exif.get_ifd(pictures.EXIF)[pictures.USER_COMMENT] = COMMENTS["as a1111"]
    Image.fromarray(PIXELS).save(path, exif=exif)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = whole[: rng.integers(1, len(whole) + 1)].copy()
        places = rng.integers(0, len(damaged), 3)
        damaged[places] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(BadInput):
            assert isinstance(embedded_text(path), str)
