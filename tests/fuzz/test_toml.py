"""Experiments and prompt files from strangers."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput
from gridsearch.experiment import prompt_files
from gridsearch.experiment.experiment import load_experiment
from gridsearch.experiment.prompt_files import prompts_in
from tests.fuzz.bounds import ALL, inputs
from tests.fuzz.mutation import mutated

DOORS = {"load_experiment": load_experiment}

WHOLE = b"""name = "x"
[models]
a = "a.safetensors"
b = { path = "~/b.safetensors", prediction_type = "v_prediction" }
[adapters]
style = "style.safetensors"
[[merge]]
name = "first"
models = ["a", ["b", "a"]]
ratio = { low = 0.0, high = 1.0, step = 0.1 }
[[merge]]
method = "dare_ties"
models = ["first", "a", "b"]
ratio = { IN04.attention = 0.5, BASE = [0.1, 0.2] }
k = 0.2
seed = 3
[[merge]]
name = "last"
method = ["slerp", "weighted_sum"]
models = ["merged", "b"]
ratio = { preset = ["GRAD_V", "SMOOTHSTEP/2"], scale = 0.5, BASE = { low = 0.0, high = 1.0, step = 0.5 } }
[components]
vae = ["b", "merged", "vae/clear.safetensors"]
[render]
sampler = ["DPM++ 2M Karras", "euler"]
steps = { low = 10, high = 30, step = 10 }
width = 1344
batch = "auto"
early_abort = false
config = "config"
[[prompt]]
id = "p"
text = "(a cat:1.2) BREAK [a|b]"
negative = "bad"
seeds = [1, 2]
[[prompt]]
file = "*.txt"
[score]
references = ["a"]
[score.thresholds]
noise_sigma = 6
[[score.scorer]]
name = "clip_agreement"
weight = 1.0
direction = "higher"
folder = "clip"
[search]
sampler = "window"
trials = 10
width = 0.01
"""

WORDS = (
    *(b'"', b"'", b'"""', b"[", b"]", b"{", b"}", b"=", b",", b"\n", b".", b"#", b"\\u0000", b"\\", b"\r"),
    *(b"nan", b"-inf", b"1e400", b"1e308", b"9" * 30, b"0x" + b"f" * 60, b"9" * 5000, b"1979-05-27", b"true"),
    *(b'"../../../x"', b'"~nobody/x"', b'"a\\u0000b"', b'".."', b'"/**/*.png"', b'"' + b"x" * 300 + b'"'),
    *(b"{low=0,high=1e308,step=1e-300}", b"{low=0,high=9223372036854775807}", b"[1e-320, -1e300]", b"[[]]"),
)

# -- tables that are put together

TEXT = st.one_of(
    st.text(max_size=10),
    st.sampled_from(
        [
            *(
                "a",
                "b",
                "x",
                "merged",
                "vae",
                "window",
                "grid",
                "epsilon",
                "../../../x",
                "~nobody/x",
                "a\0b",
                "..",
            ),
            *(
                "/**/*.png",
                "**/**/**",
                "[",
                "x" * 300,
                "(" * 200,
                "[a:b:1]",
                "<lora:x:1>",
                "-1",
                "=1+1",
                "\x1b[2J",
            ),
            *("weighted_sum", "ties", "adapter", "/dev/zero", "/dev/stdin", "prompts.txt", "BASE", "IN04"),
        ]
    ),
)
NUMBER = st.one_of(
    st.integers(-3, 30),
    st.floats(),
    st.sampled_from([2**31, 2**63 - 1, -(2**63), 2**64, 1e308, 5e-324, 10**30]),
)
KEYS = st.sampled_from(
    [
        *("name", "models", "adapters", "merge", "components", "render", "prompt", "score", "search", "path"),
        *(
            "method",
            "ratio",
            "weights",
            "k",
            "seed",
            "seeds",
            "text",
            "file",
            "negative",
            "id",
            "low",
            "high",
        ),
        *("step", "sampler", "steps", "cfg", "width", "height", "trials", "references", "scorer", "weight"),
        *(
            "high",
            "direction",
            "thresholds",
            "vae",
            "text_encoders",
            "a",
            "b",
            "IN04",
            "others",
            "origin",
            "batch",
        ),
    ]
)
VALUE = st.recursive(
    TEXT | NUMBER | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | TEXT, inner, max_size=4),
    max_leaves=8,
)


def toml(value) -> str:
    """A value as TOML writes it, in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    return repr(value)


def _quoted(text: str) -> str:
    plain = text.isascii() and text.isprintable() and not set(text) & set('"\\')
    escaped = "".join(f"\\U{ord(c):08x}" for c in text if not 0xD800 <= ord(c) < 0xE000)
    return f'"{text if plain else escaped}"'


TABLES = {
    "name": "x",
    "models": {"a": "a.safetensors", "b": {"path": "b.safetensors", "prediction_type": "v_prediction"}},
    "merge": [{"name": "m", "models": ["a", "b"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.1}}],
    "components": {"vae": "a"},
    "render": {"steps": 10, "cfg": [1.0, 2.0], "width": 512},
    "prompt": [{"text": "a cat", "seeds": [1, 2]}, {"file": "prompts.txt"}],
    "score": {"references": ["a"], "scorer": [{"name": "blur_effect", "weight": 1.0, "direction": "lower"}]},
    "search": {"sampler": "tpe", "trials": 10},
}


@st.composite
def tables(draw, value):
    """The same with a few things in it that are others, or are there too."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        changed = {**value, key: draw(tables(value[key]))}
        return {**changed, draw(KEYS): draw(VALUE)} if draw(st.integers(0, 3)) == 0 else changed
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        return [*value[:-1], draw(tables(value[-1]))]
    return draw(VALUE)


@pytest.fixture(scope="module")
def place(bounds):
    """Where the experiment stands, with prompts beside it."""
    folder = bounds.folder.parent
    (folder / "prompts.txt").write_text("a cat\n--prompt 'a dog' --seed 5\n")
    return folder / "x.toml"


@inputs(4_500, 100)
@given(data=tables(TABLES))
def test_tables_near_those_of_an_experiment(bounds, place, data):
    data = data if isinstance(data, dict) else {"name": data}
    place.write_text("\n".join(f"{_quoted(key)} = {toml(value)}" for key, value in data.items()))
    bounds.hold(place, DOORS)


@inputs(4_500, 100)
@given(seed=st.integers(0, 2**64))
def test_experiments_that_were_whole_once(bounds, place, seed):
    chance = random.Random(seed)
    place.write_bytes(mutated(WHOLE, chance, WORDS))
    bounds.hold(place, DOORS)


@inputs(1_000, 20)
@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(bounds, place, content):
    place.write_bytes(content)
    bounds.hold(place, DOORS)


START = b'name = "x"\n[models]\na = "a"\nb = "b"\n[[merge]]\nmodels = ["a", "b"]\nratio = 0.5\n'
SIZE = 480_000


def repeated(piece: bytes) -> bytes:
    return piece * (SIZE // len(piece))


BOMBS = {
    "a key of many parts": repeated(b"a.") + b"b = 1",
    "a table of many parts": b"[" + repeated(b"a.") + b"b]",
    "many keys of ten parts": b"".join(b"a%d." % i + b"b." * 10 + b"c = 1\n" for i in range(15_000)),
    "many keys": b"".join(b"k%d = 1\n" % i for i in range(40_000)),
    "many tables": b"".join(b"[k%d]\n" % i for i in range(45_000)),
    "arrays in arrays": b"a = " + b"[" * SIZE,
    "tables in tables": b"a = " + repeated(b"{a = "),
    "a long number": b"[search]\nseed = " + b"9" * SIZE,
    "a long hexadecimal number": b"[search]\nseed = 0x" + b"f" * SIZE,
    "many empty lists": b"a = [" + repeated(b"[],") + b"]",
    "many seeds": START + b'[[prompt]]\ntext = "a"\nseeds = [' + repeated(b"1,") + b"]",
    "many different seeds": START
    + b'[[prompt]]\ntext = "a"\nseeds = ['
    + b",".join(b"%d" % i for i in range(70_000))
    + b"]",
    "many prompts": START + repeated(b'[[prompt]]\ntext="a"\n'),
    "many models": START.replace(b"a =", b"".join(b'm%d = "x"\n' % i for i in range(30_000)) + b"a ="),
    "many steps": START
    + b"".join(b'[[merge]]\nname="s%d"\nmodels=["a","b"]\nratio=1\n' % i for i in range(8_000)),
    "a chain of steps": START.replace(b"ratio", b'name = "s0"\nratio')
    + b"".join(
        b'[[merge]]\nname="s%d"\nmodels=["s%d","b"]\nratio=[1,2]\n' % (i + 1, i) for i in range(5_000)
    ),
    "a long name": b'name = "' + b"x" * SIZE + b'"',
    "an unknown key that is long": b"x" * SIZE + b" = 1",
    "a word that is long": START + b'[search]\nsampler = "' + b"x" * SIZE + b'"',
    "a prompt of brackets": START + b'[[prompt]]\ntext = "' + b"(" * 400_000 + b'"',
    "a prompt of brackets, as long as may be": START + b'[[prompt]]\ntext = "' + b"(a" * 9_999 + b'"',
    "a prompt of edits": START + b'[[prompt]]\ntext = "' + b"[a|" * 6_600 + b'"',
    "a prompt of tags": START + b'[[prompt]]\ntext = "' + b"<a:" * 6_600 + b'"',
    "a prompt of spaces": START + b'[[prompt]]\ntext = "a' + b" " * 19_000 + b':"',
    "as large as it may not be": b"#" * 40_000_000,
    "whole disks": START + b'[[prompt]]\nfile = "/**/*.png"\n',
    "whole disks, again and again": START + b'[[prompt]]\nfile = "/**/x/**/y/**/*"\n',
    "a null in a home": START + b'[[prompt]]\nfile = "~a\\u0000b/*"\n',
    "a file name that is too long": START + b'[[prompt]]\nfile = "' + b"x" * 5_000 + b'.txt"\n',
    "a device": START + b'[[prompt]]\nfile = "/dev/zero"\n',
}


USUALLY = (
    "a key of many parts",
    "arrays in arrays",
    "a long hexadecimal number",
    "a null in a home",
    "a device",
)
USUALLY += ("a prompt of spaces", "a file name that is too long", "as large as it may not be", "many prompts")


@pytest.mark.parametrize("bomb", BOMBS if ALL else USUALLY)
def test_experiments_that_would_grow(bounds, place, bomb):
    place.write_bytes(BOMBS[bomb])
    bounds.hold(place, DOORS)


# -- prompt files

LINES = b"""a cat, (blue:1.2)
--prompt "a dog" --negative_prompt 'bad' --seed 5 --steps 20
--prompt unquoted words --cfg_scale 7.5

"""
LINE_WORDS = (
    b'"',
    b"'",
    b"\\",
    b"--",
    b"--seed ",
    b"9" * 5000,
    b"\0",
    b"\r",
    b"(",
    b"[",
    b"\xff",
    b"\xed\xa0\x80",
)


@inputs(1_000, 30)
@given(seed=st.integers(0, 2**64))
def test_prompt_files(bounds, place, seed):
    chance = random.Random(seed)
    path = place.parent / "lines.txt"
    path.write_bytes(mutated(LINES, chance, LINE_WORDS))
    place.write_bytes(START + b'[[prompt]]\nfile = "lines.txt"\n')
    bounds.hold(path, {"prompts_in": lambda path: prompts_in(path.name, path.parent)})
    bounds.hold(place, DOORS)


@pytest.mark.parametrize(
    "content",
    [
        b'--prompt "' + b'\\"' * 900_000,
        b"a\n" * 900_000,
        b"--prompt " + b"a " * 900_000,
        b"--seed " * 250_000,
        b"(" * 1_900_000,
        b"\n".join(b"%d" % i for i in range(9_900)),
        b"x" * 40_000_000,
    ][: None if ALL else 2],
)
def test_prompt_files_that_would_grow(bounds, place, content):
    (place.parent / "lines.txt").write_bytes(content)
    place.write_bytes(START + b'[[prompt]]\nfile = "lines.txt"\n')
    bounds.hold(place, DOORS)


def test_a_pipe_in_the_place_of_prompts_is_not_waited_for(bounds, place):
    os.mkfifo(place.parent / "pipe.txt")
    place.write_bytes(START + b'[[prompt]]\nfile = "pipe.txt"\n')
    bounds.hold(place, DOORS)
    (place.parent / "pipe.txt").unlink()


def test_a_pattern_looks_through_so_many_files_only(tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_files, "MOST_ENTRIES", 20)
    for i in range(30):
        (tmp_path / f"{i}.txt").touch()
    with pytest.raises(BadInput, match="too many files"):
        prompts_in("**/*.png", tmp_path)
