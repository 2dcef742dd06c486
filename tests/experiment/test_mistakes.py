"""Mistakes that people make in an experiment file: each is told by its line, and how it is mended."""

import re

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import load_experiment

GOOD = """name = "night"

[models]
evo   = "models/evo.safetensors"
vpred = "models/vpred.safetensors"

[[merge]]
models = ["evo", "vpred"]
ratio  = { low = 0.0, high = 1.0, step = 0.05 }

[render]
prediction_type = "v_prediction"
zero_terminal_snr = true
sampler = "euler"
steps = 28
cfg = 5.0
width = 1024
height = 1024

[[prompt]]
text = "a lighthouse"
seeds = [1, 2]

[search]
sampler = "window"
"""
RATIO = "{ low = 0.0, high = 1.0, step = 0.05 }"
# What is written instead of what -> a part of the hint. The first line that differs is the one to name.
MISTAKES = [
    # values that are written otherwise elsewhere
    (RATIO, '{ low = "0%", high = 1.0, step = 0.05 }', "without quotes: 0."),
    (RATIO, '{ low = 0.0, high = "97,5 %", step = 0.05 }', "without quotes: 0.975."),
    (RATIO, "{ low = 1.0, high = 0.0, step = 0.05 }", "swap them"),
    (RATIO, "{ IN09 = 0.3 }", "BASE, IN00 to IN08, M00, OUT00 to OUT08, got 'IN09'"),
    ("1024\nheight = 1024", '"1024x768"\nheight = 1024', "width = 1024 and height = 768"),
    ('["evo", "vpred"]', '["evo", "vpred", "evo"]', 'method = "average"'),
    # strings
    ('"models/evo.safetensors"', r'"D:\models\evo.safetensors"', "use / or 'single quotes'"),
    ('"models/evo.safetensors"', r'"C:\Users\me\evo.safetensors"', "use / or 'single quotes'"),
    ('"a lighthouse"', r'"1boy, astolfo \(fate\)"', "use / or 'single quotes'"),
    ('"a lighthouse"', "“a lighthouse”", "straight ones"),
    ('"euler"', "‘euler’", "straight ones"),
    ('"models/vpred.safetensors"', "„models/vpred.safetensors“", "straight ones"),
    ('"euler"', "euler", "Text goes in quotes"),
    ('"euler"', "DPM++ 2M Karras", "Text goes in quotes"),
    ('"models/evo.safetensors"', "models/evo.safetensors", "Text goes in quotes"),
    ('"models/evo.safetensors"', "/home/me/evo.safetensors", "A path goes in quotes"),
    ('"models/evo.safetensors"', r"D:\evo.safetensors", "quotes"),
    ('"a lighthouse"', '"a lighthouse', "closing quote is missing"),
    ('"a lighthouse"', 'a lighthouse"', "closing quote is missing"),
    ('"a lighthouse"', '"a lighthouse\'', "closing quote is missing"),
    ('"a lighthouse"', '"a sign that says "open""', "'single quotes'"),
    ('"a lighthouse"', "'the sailor's lighthouse'", "quote"),
    # words that other languages have
    ("= true", "= True", "true or false, in small letters"),
    ("= true", "= FALSE", "true or false, in small letters"),
    ("= true", "= yes", "true or false, in small letters"),
    ("= true", "= on", "true or false, in small letters"),
    ('"v_prediction"', "None", "leave the line out"),
    ('"v_prediction"', "null", "leave the line out"),
    ("steps = 28", "steps: 28", "Put = between"),
    ("steps = 28", "steps := 28", "Put = between"),
    ("steps = 28", "steps == 28", "a single = between"),
    ("steps = 28", "steps 28", "Put = between"),
    ("steps = 28", "steps = 28;", "does not end with ;"),
    ("steps = 28", "steps = 28 // enough", "comment begins with #"),
    ("steps = 28", "// steps = 28", "comment begins with #"),
    ("steps = 28", "-- steps", "comment begins with #"),
    # numbers
    ("cfg = 5.0", "cfg = 4,5", "has a point"),
    ("cfg = 5.0", "cfg = .5", "digit before its point"),
    ("cfg = 5.0", "cfg = 5.", "digit after its point"),
    ("cfg = 5.0", "cfg =", "value after = is missing"),
    ("steps = 28", "steps = 028", "does not begin with 0"),
    ("cfg = 5.0", "cfg = 70%", "0.5 for 50%"),
    ("width = 1024", "width = 1024px", "without its unit"),
    # lists and tables
    ("[1, 2]", "1, 2", "square brackets"),
    ("[1, 2]", "(1, 2)", "square brackets"),
    ("[1, 2]", "[1, 2", "ends with ]"),
    ("[1, 2]", "[1, 2)", "ends with ]"),
    (RATIO, "0.0 - 1.0", "{ low = "),
    (RATIO, "0..1", "{ low = "),
    (RATIO, "{ 0.0, 1.0 }", "{ low = "),
    (RATIO, "{ low = 0.0, high = 1.0, }", "comma before }"),
    (RATIO, "{ low = 0.0,\n high = 1.0 }", "goes on a single line"),
    (RATIO, "{ low = 0.0, high = 1.0", "goes on a single line"),
    ("[render]", "[render", "in brackets, alone"),
    ("[[prompt]]", "[[prompt]", "in brackets, alone"),
    ("[render]", "render", "in brackets"),
    ("[search]", "[render]", "[[prompt]]"),
    ("cfg = 5.0", "steps = 20", "twice"),
    ("steps = 28", "steps = 28, cfg = 5", "line of its own"),
    ("steps = 28", "clip skip = 2", "A key has no spaces"),
    ("steps = 28", "steps\u00a0= 28", "invisible character"),
    ("[[prompt]]", "[prompt]", "[[prompt]] with two brackets"),
    ("[render]", "[[render]]", "[render] with one bracket"),
    # values
    ("steps = 28", 'steps = "many"', "give a whole number"),
    ("steps = 28", "steps = 28.5", "give a whole number"),
    ("steps = 28", "steps = 0", "from 1 to 1000"),
    ("cfg = 5.0", 'cfg = "high"', "give a number"),
    ("= true", '= "maybe"', "give true or false"),
    ("width = 1024", "width = 1020", "1016 and 1024"),
    ("[1, 2]", "5", "give a list"),
    ("[1, 2]", "[-1]", "-1 means a random seed"),
    ("[1, 2]", "[1, 1]", "listed twice"),
    ('"v_prediction"', '"v-pred"', "'v_prediction'"),
    ("cfg = 5.0", 'device = "metal"', "There are auto, cpu, cuda, mps"),
    ("cfg = 5.0", "cfg_scale = 5.0", "'cfg'"),
    ("high = 1.0", "max = 1.0", "'high'"),
    (RATIO, "{ low = 0, high = 100 }", "extrapolate"),
    ('["evo", "vpred"]', '["evo"]', "give 2 of them"),
    ('["evo", "vpred"]', '["evo", "vpred", "evo"]', "at most 2"),
    ('["evo", "vpred"]', '["evo", "vpredd"]', "'vpred'"),
    ('["evo", "vpred"]', '"evo"', "give a list"),
    ('name = "night"', 'name = "my night"', "letters"),
    # names that other programs have, and keys of other tables
    (RATIO, "{ min = 0.0, max = 1.0 }", "A range is written"),
    (RATIO, "{ from = 0.0, to = 1.0 }", "A range is written"),
    ("ratio  =", 'method = "lerp"\nratio =', '"weighted_sum"'),
    ("steps = 28", "n_iter = 4", "No known key is like it"),
    ("steps = 28", 'negative_prompt = "blurry"', "[[prompt]]"),
    ("steps = 28", "seed = 5", "[[prompt]]"),
    ("steps = 28", "size = [1024, 1024]", "width = 1024 and height = 1024"),
    ("steps = 28", 'loras = ["x.safetensors"]', "[adapters]"),
    ("steps = 28", "clip_skip = -2", "-2 is 2 here"),
    ('"euler"', '"res_multistep"', "there are Euler, Euler a"),
    ('"v_prediction"', '"eps"', "nearest is 'epsilon'"),
    ("[search]", "[optuna]", "known keys are family, models"),
    ('"window"', '"TPE"', "nearest is 'tpe'"),
    ('"window"', '"optuna"', "There are window, grid"),
    # values of other kinds
    ('"a lighthouse"', '["a lighthouse", "a ship"]', "[[prompt]] for each text"),
    ("[1, 2]", "[]", "give at least 1"),
    ("[1, 2]", "1-4", "seeds = [1, 2, 3, 4]"),
    ("[1, 2]", "[1, 2]\nweight = 2", "held_out."),
    ('"models/evo.safetensors"', '["models/evo.safetensors"]', "give a path in quotes"),
    ('"models/evo.safetensors"', '{ file = "models/evo.safetensors" }', "'path'"),
    ('["evo", "vpred"]', '["evo.safetensors", "vpred.safetensors"]', "names under [models]"),
    ("[search]", '[score]\nreferences = "evo"', '["evo"]'),
    ('"window"', '"bayes"', "there are window, grid"),
]  # fmt: skip
WITHOUT_LINE = {"extrapolate", "'vpred'"}  # of a whole step


@pytest.mark.parametrize(("old", "new", "hint"), MISTAKES, ids=[str(new) for _, new, _ in MISTAKES])
def test_a_mistake_is_told_by_its_line_with_its_mend_in_four_lines(tmp_path, old, new, hint):
    file = tmp_path / "night.toml"
    wrong = GOOD.replace(old, new, 1)
    assert wrong != GOOD
    file.write_text(wrong, "utf-8")
    with pytest.raises(BadInput) as caught:
        load_experiment(file)
    said = str(caught.value)
    assert hint in said
    assert len(said.splitlines()) <= 4
    assert not re.search("pydantic|Input should|String should|Tuple|validation|dictionary|Expected", said), (
        said
    )
    same = next(i for i, (a, b) in enumerate(zip(GOOD, wrong, strict=False)) if a != b)
    line = wrong.count("\n", 0, same) + 1
    assert hint in WITHOUT_LINE or re.search(rf"line ({line}|{line + 1})\b", said), said


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    wrong = GOOD.replace('"euler"', "euler").replace("= true", "= True").replace("steps = 28", "steps: 28")
    (tmp_path / "x.toml").write_text(wrong, "utf-8")
    with pytest.raises(BadInput) as caught:
        load_experiment(tmp_path / "x.toml")
    assert "line 13" in str(caught.value)
    assert [one.partition(":")[0] for one in caught.value.also] == ["line 14", "line 15"]
    wrong = GOOD.replace("steps = 28", "stepps = 28").replace("cfg = 5.0", 'cfg = "high"')
    (tmp_path / "x.toml").write_text(wrong.replace("height = 1024", "height = 1001"), "utf-8")
    with pytest.raises(BadInput) as caught:
        load_experiment(tmp_path / "x.toml")
    first, *also = caught.value.lines[0], *caught.value.also
    assert first == "Unknown key 'render.stepps'."
    assert [(one.split(":")[0], one[one.index("(line") :][:9]) for one in also] == [
        ("render.cfg", "(line 16)"),
        ("render.height", "(line 18)"),
    ]


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (GOOD.encode("utf-16"), "UTF-16, and TOML is UTF-8"),
        (GOOD.encode("utf-16-le"), "UTF-16, and TOML is UTF-8"),
        (GOOD.replace("lighthouse", "château").encode("cp1252"), "line 21"),
        (b"", "'name' is missing"),
        (b'{\n"name": "night"\n}', "looks like JSON"),
    ],
)
def test_a_file_in_another_encoding_or_of_another_kind_is_told_so(tmp_path, raw, hint):
    (tmp_path / "x.toml").write_bytes(raw)
    with pytest.raises(BadInput) as caught:
        load_experiment(tmp_path / "x.toml")
    assert hint in str(caught.value)
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())  # as Windows' Notepad saves it
    load_experiment(tmp_path / "x.toml")


def test_a_path_that_leads_nowhere_names_the_near_ones(tmp_path):
    (tmp_path / "night.toml").write_text(GOOD)
    for typed in ("nihgt.toml", "night", "night.tml"):
        with pytest.raises(BadInput, match=r"Did you mean .*night\.toml\?"):
            load_experiment(tmp_path / typed)
    (tmp_path / "model.safetensors").write_bytes(b"\x08")
    with pytest.raises(BadInput, match=r"gridsearch init A B writes"):
        load_experiment(tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"There is .*night\.toml\."):
        load_experiment(tmp_path / "a1b2.toml")
