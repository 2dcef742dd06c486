"""Prompts in texts and pictures."""

import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompt_files import prompts_in
from tests.helpers.experiments import load
from tests.helpers.generated import PIXELS, png_with, unicode_comment, with_tags

# -- texts


def test_each_line_is_a_prompt_of_its_own(tmp_path):
    lines = (
        b'\xef\xbb\xbfa cat\r\n\r\n--prompt "a dog, red" --negative_prompt blurry --seed 7\r\n  \xe9\x9b\xaa'
    )
    (tmp_path / "p.txt").write_bytes(lines)
    experiment = load(tmp_path, 'text = "first"', 'file = "p.txt"\nseeds = [1, 2]\nnegative = "bad"')
    said = [(p.id, p.text, p.negative, p.seeds) for p in experiment.prompt]
    assert said == [
        ("p1", "first", "", (1,)),
        ("p2-1", "a cat", "bad", (1, 2)),
        ("p2-3", "a dog, red", "blurry", (7,)),
        ("p2-4", "雪", "bad", (1, 2)),
    ]
    assert [p.origin for p in experiment.prompt] == ["", "p.txt line 1", "p.txt line 3", "p.txt line 4"]


def test_a_prompt_may_be_empty_wherever_it_is_said_to_be(tmp_path):
    (tmp_path / "p.txt").write_text('--prompt "" --seed 7\n,\n')
    png_with(tmp_path / "x.png", parameters="\nSteps: 20, Seed: 5, Size: 64x64")
    experiment = load(tmp_path, 'text = ""', 'file = "p.txt"', 'file = "x.png"')
    assert [(p.text, p.seeds) for p in experiment.prompt] == [("", (1,)), ("", (7,)), (",", (1,)), ("", (5,))]
    stored = Experiment.model_validate(experiment.model_dump(mode="json"))
    assert [(p.text, p.seeds) for p in stored.prompt] == [(p.text, p.seeds) for p in experiment.prompt]


def test_options_are_those_of_a1111(tmp_path):
    (tmp_path / "p.txt").write_text(
        '--prompt a cat on a mat --steps 20 --negative_prompt "it\'s" bad --seed -1\n'
        '--cfg_scale 7.5 --prompt "say \\"hi\\"" --negative_prompt "" --sampler_name "Euler a"\n'
    )
    first, second = prompts_in("p.txt", tmp_path)
    assert (first.text, first.negative, first.seed) == ("a cat on a mat", "it's bad", None)
    assert first.others == {"steps": "20"}
    assert (second.text, second.negative) == ('say "hi"', "")
    assert second.others == {"cfg_scale": "7.5", "sampler_name": "Euler a"}


WORD = st.text(string.printable.replace("\n", "").replace("\r", ""), min_size=1).filter(
    lambda text: text.strip() and not text.startswith("--") and "\x0b" not in text and "\x0c" not in text
)


@given(WORD, WORD, st.integers(0, 2**63 - 1))
def test_a_quoted_line_says_what_was_quoted(tmp_path_factory, prompt, negative, seed):
    folder = tmp_path_factory.getbasetemp()
    line = f"--seed {seed} --prompt {shlex.quote(prompt)} --negative_prompt {shlex.quote(negative)}"
    (folder / "p.txt").write_text(line, "utf-8")
    (read,) = prompts_in("p.txt", folder)
    assert (read.text, read.negative, read.seed) == (prompt, negative, seed)


@given(st.binary(max_size=200))
def test_any_bytes_are_prompts_or_bad_input(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    (folder / "p.txt").write_bytes(data)
    try:
        found = prompts_in("p.txt", folder)
    except BadInput as error:
        said = error.lines
    else:
        said = [prompt.place for prompt in found]
    assert said


# -- pictures


TEXT = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"


def test_a_picture_is_the_prompt_it_was_drawn_with(tmp_path):
    png_with(tmp_path / "0001 - 5.png", parameters=TEXT)
    (prompt,) = load(tmp_path, 'file = "0001 - 5.png"').prompt
    assert (prompt.id, prompt.text, prompt.negative, prompt.seeds) == ("p1-0001---5", "a cat", "dog", (5,))
    assert prompt.others == {"Steps": "20", "Sampler": "Euler a", "CFG scale": "7", "Size": "512x512"}


@pytest.mark.parametrize("file", ["pictures", "pictures/*", "pictures/*.[Ppw]*", "**/?.*"])
def test_a_folder_or_a_pattern_names_its_pictures_in_order(tmp_path, file):
    (tmp_path / "pictures").mkdir()
    for i, name in enumerate(["b.png", "a.png", "C.PNG", ".hidden.png"]):
        text = f"picture {name}\nSteps: 1, Seed: {i}, Size: 8x8"
        png_with(tmp_path / "pictures" / name, parameters=text)
    (tmp_path / "pictures" / "c.txt").write_text("no picture")
    with_tags(tmp_path / "pictures" / "a.webp", {}, unicode_comment("as webp"))
    prompts = load(tmp_path, f'file = "{file}"\nseeds = [8, 9]\nnegative = "n"').prompt
    assert [p.text for p in prompts] == ["picture C.PNG", "picture a.png", "as webp", "picture b.png"]
    assert [p.id for p in prompts] == ["p1-C", "p1-a", "p1-a-2", "p1-b"]
    assert [p.seeds for p in prompts] == [(2,), (1,), (8, 9), (0,)]
    assert {p.negative for p in prompts} == {"n"}


def test_a_long_or_foreign_name_becomes_an_id(tmp_path):
    png_with(
        tmp_path / "雪 — ²½ — masterpiece, best quality, a very long prompt as a name.png", parameters=TEXT
    )
    (prompt,) = load(tmp_path, 'id = "mine"\nfile = "*.png"').prompt
    assert prompt.id.startswith("mine-雪------")
    assert len(prompt.id) == len("mine-") + 40


# -- what is wrong is said with its place


WRONG = {
    "no file": ('file = "none.txt"', "no such prompt file", "none.txt"),
    "no match": ('file = "*.webp"', "no such prompt file", "*.webp"),
    "null": ('file = "a\\u0000b"', "prompt[0].file", "x.toml"),
    "empty": ('file = "empty.txt"', "empty", "empty.txt"),
    "folder without pictures": ('file = "folder"', "no pictures", "folder"),
    "kind": ('file = "x.toml"', "cannot hold prompts", "x.toml"),
    "not utf-8": ('file = "latin.txt"', "not UTF-8", "latin.txt line 2"),
    "silent picture": ('file = "silent.png"', "no generation parameters", "silent.png"),
    "no picture": ('file = "words.png"', "not a picture", "words.png"),
    "no prompt in it": ('file = "negative.png"', "prompt is empty", "negative.png"),
    "seed of a picture": ('file = "seed.png"', "'x' is not a seed", "seed.png"),
    "both": ('file = "a.txt"\ntext = "b"', "either a text", "x.toml"),
    "neither": ("seeds = [1]", "either a text", "x.toml"),
    "origin": ('text = "b"\norigin = "a"', "prompt[0].origin", "x.toml"),
    "others": ('text = "b"\nothers = { a = "b" }', "prompt[0].others", "x.toml"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_cannot_be_read_is_named(tmp_path, case):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.txt").write_text("\n  \n")
    (tmp_path / "latin.txt").write_bytes("ok\nné".encode("latin-1"))
    (tmp_path / "words.png").write_text("words")
    Image.fromarray(PIXELS).save(tmp_path / "silent.png")
    png_with(tmp_path / "negative.png", parameters="Negative prompt: x")
    png_with(tmp_path / "seed.png", parameters="a\nSteps: 1, Seed: x, Size: 8x8")
    table, what, where = WRONG[case]
    with pytest.raises(BadInput) as caught:
        load(tmp_path, table)
    assert what in caught.value.lines[0]
    assert where in caught.value.lines[1]
    assert len(caught.value.lines) <= 4


LINES = {
    "--prompt a --sede 5": "Unknown option '--sede'",
    "--prompt a --steps 5 6": "Unknown option '6'",
    "--prompt 'a": "cannot be parsed",
    "--prompt a\\": "cannot be parsed",
    "--steps 5": "no prompt",
    "--prompt a --seed": "--seed has no value",
    "--prompt --seed 5": "--prompt has no value",
    "--prompt a --steps many": "--steps takes a number, not 'many'",
    "--prompt a --seed 9223372036854775808": "is not a seed",
    "--prompt a --seed -2": "is not a seed",
    "--": "Unknown option '--'",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_cannot_be_read_is_named(tmp_path, line):
    (tmp_path / "p.txt").write_text(f"fine\n{line}\n")
    with pytest.raises(BadInput) as caught:
        load(tmp_path, 'file = "p.txt"')
    assert LINES[line] in caught.value.lines[0]
    assert caught.value.lines[1].endswith("p.txt line 2")


def test_the_nearest_option_is_named(tmp_path):
    (tmp_path / "p.txt").write_text("--prompt a --negative b")
    with pytest.raises(BadInput, match=r"nearest known option is --negative_prompt\."):
        load(tmp_path, 'file = "p.txt"')


def test_a_misspelt_key_is_still_counted_as_the_experiment_has_it(tmp_path):
    (tmp_path / "p.txt").write_text("a\nb\nc\n")
    with pytest.raises(BadInput, match=r"prompt\[1\]\.seed"):
        load(tmp_path, 'file = "p.txt"', 'text = "d"\nseed = 1')


def test_one_prompt_with_one_seed_is_there_once(tmp_path):
    (tmp_path / "p.txt").write_text("a\nb\n--prompt a --seed 2\n")
    with pytest.raises(BadInput, match=r"p\.txt line 1 and p\.txt line 3"):
        load(tmp_path, 'file = "p.txt"\nseeds = [1, 2]')
    with pytest.raises(BadInput, match=r"\[\[prompt\]\] 1 and p\.txt line 2"):
        load(tmp_path, 'text = "b"', 'file = "p.txt"')
    assert len(load(tmp_path, 'text = "b"', 'file = "p.txt"\nseeds = [3]').prompt) == 4


def test_an_id_is_there_once(tmp_path):
    (tmp_path / "p.txt").write_text("a\n")
    with pytest.raises(BadInput, match="Two prompts have the id 'p1-1'"):
        load(tmp_path, 'file = "p.txt"', 'text = "b"\nid = "p1-1"')


# -- what is kept


def test_an_experiment_is_kept_with_its_prompts_and_without_their_files(tmp_path):
    (tmp_path / "p.txt").write_text("a\n--prompt b --seed 3 --steps 9\n")
    experiment = load(tmp_path, 'file = "p.txt"')
    kept = experiment.model_dump(mode="json")
    again = Experiment.model_validate(kept)
    assert again.model_dump(mode="json") == kept
    one = {"text": "b", "negative": "", "seeds": [3], "id": "p1-2", "held_out": False}
    assert kept["prompt"][1] == one
    written = [
        'text = "a"\nid = "p1-1"',
        'text = "b"\nid = "p1-2"\nseeds = [3]',
    ]
    assert load(tmp_path, *written).model_dump(mode="json") == kept
    assert experiment.at({"ratio": 0.2}).prompt == again.prompt


# -- pictures of other programs


@pytest.mark.parametrize(
    ("seed", "read"),
    [(7, (7,)), ("7", (7,)), (7.0, (7,)), (-1, (1,)), (None, (1,)), (2**63 - 1, (2**63 - 1,))],
)
def test_a_seed_in_json_is_the_pictures_own(tmp_path, seed, read):
    said = {"sui_image_params": {"prompt": "a", "seed": seed}}
    png_with(tmp_path / "x.png", parameters=said)
    assert load(tmp_path, 'file = "x.png"').prompt[0].seeds == read


@pytest.mark.parametrize("seed", [1.5, True, "x", -2, 2**64, 1e300])
def test_a_seed_in_json_that_is_none_is_refused(tmp_path, seed):
    png_with(tmp_path / "x.png", parameters={"sui_image_params": {"prompt": "a", "seed": seed}})
    with pytest.raises(BadInput, match="is not a seed") as caught:
        load(tmp_path, 'file = "x.png"')
    assert caught.value.lines[1].endswith("x.png")


def test_a_prompt_that_is_too_long_is_refused_with_its_picture(tmp_path):
    png_with(tmp_path / "x.png", parameters={"sui_image_params": {"prompt": "a" * 20_001, "seed": 1}})
    with pytest.raises(BadInput, match="at most 20,000 characters") as caught:
        load(tmp_path, 'file = "x.png"')
    assert "x.png" in caught.value.lines[1]
