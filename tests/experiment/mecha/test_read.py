"""Recipes of sd-mecha as others write them, and as nobody should."""

import os
import time

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import UNET, VAE
from gridsearch.checkpoint.sdxl.family import BLOCKS
from gridsearch.experiment.mecha.read import read_mecha
from gridsearch.merge.engine.collapse import terms_of

HEAD = """version 0.1.0
model "a.safetensors" model_config=null merge_space="weight"
model "sub/b.safetensors"
model "/elsewhere/c.v2.safetensors" "sdxl-sgm" "weight"
"""


@pytest.fixture
def read(tmp_path):
    """The recipe in the lines after three models a, b and c, which are &0, &1 and &2."""

    def parse(lines, head=HEAD):
        path = tmp_path / "x.mecha"
        path.write_bytes((head + lines).encode())
        return read_mecha(path)

    return parse


def one(recipe):
    """The only step's settings."""
    (step,) = recipe.merge
    assert step.name == "merged"
    return step.model_dump(exclude={"name"}, exclude_none=True)


def test_models_are_named_by_their_files_and_found_from_the_recipe(read, tmp_path):
    recipe = read('merge "n_average" &0 &1 &2')
    assert {name: model.path for name, model in recipe.models.items()} == {
        "a": tmp_path / "a.safetensors",
        "b": tmp_path / "sub/b.safetensors",
        "c_v2": tmp_path / "/elsewhere/c.v2.safetensors",
    }
    assert (recipe.components.vae, recipe.components.text_encoders) == ("merged", "merged")


def test_names_are_made_valid_and_unique(read):
    files = [
        "merged.safetensors",
        "x/step1.ckpt",
        "C:\\\\m\\\\a b.safetensors",
        "y/a b.ckpt",
        "-.safetensors",
        "²",
    ]
    lines = "".join(f'model "{file}"\n' for file in files)
    recipe = read(f'{lines}merge "n_average" &0 &1 &2 &3 &4 &5\nmerge "slerp" &6 &0', "version 0.1.0\n")
    assert list(recipe.models) == ["merged_2", "step1_2", "a_b", "a_b_2", "model", "_"]
    assert [step.name for step in recipe.merge] == ["step1", "merged"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('merge "weighted_sum" &0 &1', {"method": "weighted_sum", "models": ("a", "b"), "ratio": 0.5}),
        ('merge "weighted_sum" &0 &1 -1', {"method": "weighted_sum", "models": ("a", "b"), "ratio": -1.0}),
        (
            'merge "weighted_sum" b=&0 a=&1 alpha=.25',
            {"method": "weighted_sum", "models": ("b", "a"), "ratio": 0.25},
        ),
        ('merge "slerp" &0 &1', {"method": "slerp", "models": ("a", "b"), "ratio": 0.5}),
        ('merge "add_cosine_a" &0 &1', {"method": "cosine_a", "models": ("a", "b"), "ratio": 1.0}),
        ('merge "add_cosine_b" &0 &1 5e-1', {"method": "cosine_b", "models": ("a", "b"), "ratio": 0.5}),
        ('merge "n_average" &0 &1', {"method": "average", "models": ("a", "b"), "normalize": True}),
        (
            'merge "n_average" &0 &1 &0',
            {"method": "average", "models": ("a", "b"), "weights": (2.0, 1.0), "normalize": True},
        ),
        ('merge "geometric_median" &0 &1 &2', {"method": "geometric_median", "models": ("a", "b", "c_v2")}),
        (
            'merge "clamp" &2 &0 &1 stiffness=0.5',
            {"method": "clamp", "models": ("c_v2", "a", "b"), "stiffness": 0.5},
        ),
        (
            'merge "tensor_sum" &0 &1',
            {"method": "tensor_sum", "models": ("a", "b"), "ratio": 0.5, "offset": 0.0},
        ),
        (
            'merge "subtract" &1 &0\nmerge "truncate_rank" &3 use_approximate_basis=false rank=4\n'
            'merge "add_difference" &0 &4',
            {"method": "low_rank", "models": ("a", "b"), "ratio": 1.0, "rank": 4},
        ),
        (
            'merge "subtract" &0 &2\nmerge "subtract" &1 &2\nmerge "perpendicular_component" &3 &4\n'
            'merge "add_difference" &0 &5 alpha=0.25',
            {"method": "add_perpendicular", "models": ("a", "b", "c_v2"), "ratio": 0.25},
        ),
        (
            'merge "subtract" &1 &2\nmerge "add_difference" &0 &3',
            {"method": "add_difference", "models": ("a", "b", "c_v2"), "ratio": 1.0},
        ),
        (
            'merge "subtract" &1 &2\nmerge "train_difference_mask" &0 &1 &2 0.5\n'
            'merge "add_difference" &0 &3 &4',
            {"method": "train_difference", "models": ("a", "b", "c_v2"), "ratio": 0.5},
        ),
        (
            'merge "subtract" &1 &0\nmerge "subtract" &2 &0\nmerge "ties_sum" &3 &4\n'
            'merge "add_difference" &0 &5 0.5',
            {"method": "ties", "models": ("a", "b", "c_v2"), "ratio": 0.5, "k": 1.0}
            | {"vote": "count", "combine": "mean"},
        ),
        (
            'merge "subtract" &1 &0\nmerge "subtract" &2 &0\nmerge "model_stock" &3 &4\n'
            'merge "add_difference" &0 &5',
            {"method": "model_stock", "models": ("a", "b", "c_v2"), "ratio": 1.0, "cosine": "rows"},
        ),
        (
            'merge "subtract" &1 &0\nmerge "subtract" &2 &0\n'
            'merge "ties_sum_with_dropout" &3 &4 apply_stock=true seed=3\nmerge "add_difference" &0 &5',
            {"method": "dare_ties", "models": ("a", "b", "c_v2"), "ratio": 1.0}
            | {"k": 0.2, "probability": 0.9, "seed": 3, "vote": "count", "combine": "mean", "rescale": True},
        ),
    ],
)
def test_each_method_with_its_defaults(read, line, expected):
    assert one(read(line)) == expected


def test_what_sd_mecha_writes_is_read(tmp_path):
    sd_mecha = pytest.importorskip("sd_mecha")
    from sd_mecha.extensions import merge_methods

    a, b, c = (sd_mecha.model(f"{name}.safetensors") for name in "abc")
    table = sd_mecha.literal({"BASE": 0.1, "IN04": 0.5}, config="sdxl-supermerger_blocks") | 0.25
    table = sd_mecha.convert(table, "sdxl-sgm")
    ties = merge_methods.resolve("ties_sum")(sd_mecha.subtract(b, a), sd_mecha.subtract(c, a), k=0.3)
    step1 = merge_methods.resolve("add_difference")(a, ties, alpha=0.7)
    step2 = sd_mecha.weighted_sum(step1, b, alpha=table)
    step3 = sd_mecha.add_ties_with_dare(a, b, c, seed=3, k=0.3, apply_stock=True, della_eps=0.2)
    step4 = sd_mecha.add_difference(a, b, c, alpha=sd_mecha.train_difference_mask(a, b, c, alpha=0.6))
    for last in (sd_mecha.n_average(step2, step3, step4, sd_mecha.n_model_stock(a, b, c)), step4):
        (tmp_path / "x.mecha").write_text(sd_mecha.serialize(last, finalize=False))
        recipe = read_mecha(tmp_path / "x.mecha")
    assert [step.method for step in recipe.merge] == ["train_difference"]
    (tmp_path / "x.mecha").write_text(
        sd_mecha.serialize(sd_mecha.n_average(step2, step3, step4, sd_mecha.slerp(a, b)), finalize=False)
    )
    ties, blocks, della, train, slerp, average = read_mecha(tmp_path / "x.mecha").merge
    assert (ties.method, ties.models, ties.k, ties.ratio) == ("ties", ("a", "b", "c"), 0.3, 0.7)
    assert blocks.models == ("step1", "b")
    assert blocks.ratio == {**dict.fromkeys(BLOCKS, 0.25), "BASE": 0.1, "IN04": 0.5, f"{VAE}*": 0.25}
    assert (della.method, della.della_eps, della.seed, della.probability) == ("della", 0.2, 3, 0.9)
    assert (train.method, train.ratio) == ("train_difference", 0.6)
    assert (slerp.method, slerp.ratio) == ("slerp", 0.5)
    assert average.models == ("step2", "step3", "step4", "step5")


def test_differences_from_another_model_take_a_step_more(read):
    recipe = read(
        'merge "subtract" &1 &2\nmerge "subtract" &0 &2\nmerge "ties_sum" &3 &4 k=0.3\n'
        'merge "add_difference" &0 &5 0.5'
    )
    assert [(step.method, step.models, step.ratio) for step in recipe.merge] == [
        ("ties", ("c_v2", "b", "a"), 1.0),
        ("add_difference", ("a", "step1", "c_v2"), 0.5),
    ]


def test_differences_from_several_models_are_taken_from_the_first_of_them(read):
    lines = 'merge "subtract" &1 &0\nmerge "subtract" &2 &1\nmerge "subtract" &0 &2\nmerge "subtract" &2 &2\n'
    recipe = read(lines + 'merge "ties_sum" &3 &4 &5 &6\nmerge "add_difference" &0 &7')
    ties = recipe.merge[-1]
    assert (ties.method, ties.models) == ("ties", ("a", "b", "step1", "step2", "a"))
    terms = terms_of(recipe, [f"{UNET}out.0.weight"])[f"{UNET}out.0.weight"]
    inputs = terms[0][0].inputs
    assert inputs[2] == (("c_v2", 1.0), ("b", -1.0), ("a", 1.0))  # exactly a where b and c are equal
    assert dict(inputs[3]) == {"a": 2.0, "c_v2": -1.0}


BLOCKWISE = (
    'dict BASE=0.1 IN04=0.5\nliteral &3 model_config="sdxl-supermerger_blocks"\n'
    'merge "convert_sdxl_blocks_to_sgm" &4\nmerge "weighted_sum" &0 &1 &5\n'
)


def test_blocks_that_are_left_out_come_from_the_model_behind(read):
    terms = terms_of(
        read(BLOCKWISE + 'merge "fallback" &6 &0'), [f"{UNET}input_blocks.{i}.x" for i in (4, 5)]
    )
    assert list(terms.values()) == [(("a", 0.5), ("b", 0.5)), (("a", 1.0),)]
    with pytest.raises(BadInput, match=r"leave 19 blocks out, IN00 first(.|\n)*line 8"):
        read(BLOCKWISE)


def test_components_that_a_model_lends(read):
    for lines in (
        'merge "slerp" &0 &1\nmerge "omit_component" &3 "vae"\nmerge "fallback" &4 &2',
        'merge "slerp" &0 &1\nmerge "pick_component" &2 "vae"\nmerge "fallback" &4 &3',
    ):
        recipe = read(lines)
        assert recipe.components.vae == "c_v2"
        assert recipe.components.text_encoders == "merged"


def test_comments_empty_lines_and_windows_line_ends_do_not_count(read):
    lines = '# x "\n\n  # y\nmerge "weighted_sum" &0 &1 # z'
    with pytest.raises(BadInput, match="line 8"):
        read(lines)
    assert one(read(lines[:-4].replace("\n", "\r\n") + "\r\n\r\n"))["ratio"] == 0.5


def test_what_the_result_does_not_need_is_left_out(read):
    recipe = read('merge "slerp" &0 &2\nmerge "weighted_sum" &0 &1')
    assert list(recipe.models) == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ('merge "weighted_sum" &0 &3', 5, "&3 refers to no earlier"),
        ('merge "weighted_sum" &0 &-1', 5, "&-1 refers to no earlier"),
        ('merge "weighted_sum" &0 &99999999999999999999999', 5, "a usable number"),
        ('merge "weighted_sum" &0 &1 alpha=&3', 5, "&3 refers to no earlier"),
        ('merge "rotate" &0 &1', 5, "'rotate' of sd-mecha has no counterpart"),
        ('merge "__import__" &0', 5, "no counterpart"),
        ('merge "rebasin" &0 &1 iters=10', 5, "gridsearch rebasin A --to REF"),
        ("merge weighted_sum &0 &1", 5, "'weighted_sum' is not a usable number"),
        ('merge "weighted_sum &0 &1', 5, "quote is not closed"),
        ('merge "weighted_sum\\" &0 &1', 5, "quote is not closed"),
        ('merge "weighted_sum"&0 &1', 5, "cannot be read"),
        ("merge", 5, "method's name is missing"),
        ("merge &0", 5, "method's name is missing"),
        ("exec &0", 5, "'exec' is not an instruction"),
        ('merge "weighted_sum" &0', 5, "lacks its argument 'b'"),
        ('merge "weighted_sum" &0 &1 0.5 7', 5, "has 3 arguments, not 4"),
        ('merge "weighted_sum" &0 &1 0.5 alpha=0.5', 5, "has its argument 'alpha' twice"),
        ('merge "weighted_sum" &0 &1 alpha=0.5 alpha=0.5', 5, "given twice"),
        ('merge "weighted_sum" &0 &1 beta=0.5', 5, "no argument 'beta'"),
        ('merge "weighted_sum" &0 &1 alpha=nan', 5, "'nan' is not a usable number"),
        ('merge "weighted_sum" &0 &1 alpha=1e999', 5, "a usable number"),
        ('merge "weighted_sum" &0 &1 alpha=true', 5, "alpha is neither a number"),
        ('merge "weighted_sum" &0 &1 alpha="0.5"', 5, "alpha is neither a number"),
        ('merge "weighted_sum" &0 0.5', 5, "neither a model nor a merge"),
        ('dict key=0.5\nmerge "weighted_sum" &0 &1 &3', 6, "alpha is neither a number"),
        ('merge "n_average"', 5, "no inputs"),
        ('merge "subtract" &0 &1', 5, "it gives no weights"),
        ('merge "n_average" &0', 5, "it gives one model"),
        ("dict a=1", 5, "it gives no weights"),
        ("dict 1", 5, "NAME=VALUE"),
        ("dict BASE=0.1 IN09=1\nliteral &3", 6, "'IN09'"),
        ('dict BASE=0.1\nliteral &3 model_config="sd1-supermerger_blocks"', 6, "sd1-supermerger_blocks"),
        ('dict BASE="x"\nliteral &3', 6, "BASE is not a number"),
        ("literal 0.5", 5, "made of a dict"),
        ('model "x" model_config="sd1-ldm"', 5, "sd1-ldm"),
        ('model "x" merge_space="delta"', 5, "not a checkpoint"),
        ("model", 5, "lacks its path"),
        ("model &0", 5, "path in quotes"),
        ('merge "geometric_median" &0 &1 &2 maxiter=5', 5, "maxiter=100 only"),
        ('merge "geometric_median" &0 &1', 5, "at least 3"),
        ('merge "tensor_sum" &0 &1 width=1.5', 5, "ratio"),
        ('merge "tensor_sum" &0 &1 offset=null', 5, "offset must be one number"),
        ('merge "tensor_sum" &0 &1 offset=2.5', 5, "offset must be from 0 to 1"),
        ('merge "top_k_tensor_sum" &0 &1 offset=0.5', 5, "offset=0.0 only"),
        ('merge "clamp" &0 &1', 5, "at least 3"),
        ('merge "perpendicular_component" &0 &1', 5, "must be differences"),
        ('merge "subtract" &1 &0\nmerge "truncate_rank" &3', 6, "use_approximate_basis=false only"),
        (
            'merge "subtract" &1 &0\nmerge "truncate_rank" &3 rank=0 use_approximate_basis=false\n'
            'merge "add_difference" &0 &4',
            7,
            "rank must be from 1",
        ),
        ('merge "add_difference" &0 &1', 5, "adds no difference"),
        ('merge "train_difference_mask" &0 &1 &2\nmerge "weighted_sum" &0 &1 &3', 6, "it is a mask"),
        ('merge "slerp" &0 &1\nmerge "fallback" &3 &2', 6, "cannot change a weight"),
        ('merge "slerp" &0 &1\nmerge "omit_component" &3 "vae"', 6, "No model supplies vae"),
        ('merge "slerp" &0 &1\nmerge "omit_component" &3 "clip_l"\nmerge "fallback" &4 &0', 7, "Both text"),
        ('merge "slerp" &0 &1\nmerge "omit_component" &3 "diffuser"', 6, "vae, clip_l and clip_g only"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(read, lines, line, words):
    with pytest.raises(BadInput) as refused:
        read(lines)
    assert words in str(refused.value)
    assert f"x.mecha, line {line}" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("apply_stock=true seed=1 vote_sgn=0.5", "vote_sgn must be true or false"),
        ("seed=1 rescale=2", "rescale must be true or false"),
        ("seed=1 cos_eps=1e-3", "cos_eps=1e-06 only"),
        ("seed=1 apply_median=true maxiter=5", "maxiter=100 only"),
        ("apply_stock=true seed=1 probability=1.0", "probability"),
        ("apply_stock=true seed=1 della_eps=-1.1", "della_eps must be from -1 to 1"),
        ("apply_stock=true seed=9223372036854775808", "seed"),
    ],
)
def test_dropout_as_we_do_not_have_it(read, settings, words):
    deltas = 'merge "subtract" &1 &0\nmerge "subtract" &2 &0\n'
    with pytest.raises(BadInput, match=words):
        read(f'{deltas}merge "ties_sum_with_dropout" &3 &4 {settings}\nmerge "add_difference" &0 &5')


# -- hostile


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with"),
        (b"version 0.2.0\n", "begins with"),
        (b"version 0.1.0", "empty"),
        (b"version 0.1.0\n\xff", "UTF-8"),
        (b"version 0.1.0\n" + b"#" * 10_000_000, "at most 1,000,000 bytes"),
        (b"version 0.1.0\n" + b"dict\n" * 10_001, "at most 10,000 instructions"),
        (b'version 0.1.0\nmodel "' + b"\\" * 900_000, "quote is not closed|cannot be read"),
        (b'version 0.1.0\nmodel "x\x1b[31m"', "path in quotes"),
        (b"version 0.1.0\nmerge " + b"x" * 900_000, "a usable number"),
        (b"version 0.1.0\nmerge " + b"9" * 900_000, "a usable number"),
        (b'version 0.1.0\nmerge "' + b"x" * 900_000 + b'"', "no counterpart"),
        (b"version 0.1.0\nmerge " + b"a=1 " * 200_000, "given twice"),
    ],
)
def test_hostile_files_are_refused_at_once(content, words, tmp_path):
    (tmp_path / "x.mecha").write_bytes(content)
    began = time.process_time()  # not that of others on the machine
    with pytest.raises(BadInput, match=words) as refused:
        read_mecha(tmp_path / "x.mecha")
    assert time.process_time() - began < 20
    assert len(str(refused.value)) < 1_000
    assert "\x1b" not in str(refused.value)


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.mecha"):
        with pytest.raises(BadInput, match="cannot be read"):
            read_mecha(path)


def nested(method, count):
    return "".join(f'merge "{method}" &{i + 2} &{i + 2 if i else 0}\n' for i in range(count))


def test_a_long_chain_is_no_recursion(read):
    recipe = read(nested("weighted_sum", 900))
    assert len(recipe.merge) == 900
    terms_of(recipe, [f"{UNET}out.0.weight"])
    with pytest.raises(BadInput, match="At most 1,000 steps"):
        read(nested("weighted_sum", 1_500))


def test_steps_that_double_are_refused_before_they_are_evaluated(read):
    assert len(read(nested("slerp", 7)).merge) == 7
    with pytest.raises(BadInput, match="reasonable time"):
        read(nested("slerp", 40))
    chain = "".join(f'merge "slerp" &{i + 2} &0\n' for i in range(60))
    with pytest.raises(BadInput, match="reasonable time"):
        read(chain)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_models_are_not_opened(read, tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")  # whoever opened it would wait forever
    assert one(read('merge "weighted_sum" &0 &1'))["models"] == ("a", "b")
