"""Ratios over all blocks: gradients, presets against supermerger's own numbers, and pasted lists."""

import json

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import UNET
from gridsearch.checkpoint.sdxl.family import BLOCKS, SDXL
from gridsearch.experiment.checks import dependent_notes
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.gradients import PRESETS, preset_weights
from gridsearch.experiment.parameters import settings_at
from gridsearch.merge.engine.collapse import terms_of
from tests.docs.pages import REPOSITORY
from tests.helpers.experiments import STEPS, documented, parse

# Lines of supermerger's mbwpresets.txt, six digits of each: BASE, IN00 to IN11, M00, OUT00 to OUT11.
LINES = {
    "GRAD_V": (
        "0,1,.916667,.833333,.75,.666667,.583333,.5,.416667,.333333,.25,.166667,.083333,0,"
        ".083333,.166667,.25,.333333,.416667,.5,.583333,.666667,.75,.833333,.916667,1"
    ),
    "GRAD_A": (
        "0,0,.083333,.166667,.25,.333333,.416667,.5,.583333,.666667,.75,.833333,.916667,1,"
        ".916667,.833333,.75,.666667,.583333,.5,.416667,.333333,.25,.166667,.083333,0"
    ),
    "FLAT_75": "0," + ",".join([".75"] * 25),
    "WRAP08": "0,1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1",
    "WRAP14": "0,1,1,1,1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1,1,1",
    "MID12_50": "0,0,0,0,0,0,.5,.5,.5,.5,.5,.5,.5,.5,.5,.5,.5,.5,.5,.5,0,0,0,0,0,0",
    "OUT07": "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1,1,1",
    "OUT12": "0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1,1,1,1",
    "SMOOTHSTEP": (
        "0,0,.005064,.019676,.042969,.074074,.112124,.15625,.205584,.259259,.316406,"
        ".376157,.437645,.5,.562355,.623843,.683594,.740741,.794416,.84375,.887876,"
        ".925926,.957031,.980324,.994936,1"
    ),
    "R_SMOOTHSTEP*3": (
        "0,1,.984809,.940972,.871094,.777778,.663628,.53125,.383247,.222222,.050781,"
        ".128472,.312934,.5,.687066,.871528,.949219,.777778,.616753,.46875,.336372,"
        ".222222,.128906,.059028,.015191,0"
    ),
    "SMOOTHSTEP/4": (
        "0,0,.074074,.259259,.5,.740741,.925926,1,.925926,.740741,.5,.259259,.074074,0,"
        ".074074,.259259,.5,.740741,.925926,1,.925926,.740741,.5,.259259,.074074,0"
    ),
    "COSINE": (
        "0,1,.995722,.982963,.96194,.933013,.896677,.853553,.804381,.75,.691342,.62941,"
        ".565263,.5,.434737,.37059,.308658,.25,.19562,.146447,.103323,.066987,.03806,"
        ".017037,.004278,0"
    ),
}


def ratio_of(ratio, method="weighted_sum"):
    return parse(STEPS[method] | {"method": method, "ratio": ratio}).merge[0].ratio


@pytest.mark.parametrize("name", LINES)
def test_presets_have_supermergers_numbers_for_the_blocks_that_sdxl_has(name):
    """IN00 to IN08, M00, and OUT00 to OUT08 of the 25: supermerger's weights[:9] + weights[12:22]."""
    base, *inner = (float(one) for one in LINES[name].split(","))
    wanted = [base, *inner[:9], *inner[12:22]]
    assert preset_weights(name, SDXL) == pytest.approx(wanted, abs=1e-6)
    pasted = ratio_of(LINES[name])
    assert list(pasted) == list(BLOCKS)
    assert list(pasted.values()) == wanted
    assert ratio_of({"preset": name}) == pytest.approx(pasted, abs=1e-6)
    assert list(ratio_of({"preset": name, "scale": 0.5}).values()) == pytest.approx(
        [weight / 2 for weight in wanted], abs=1e-6
    )


def test_every_preset_stays_within_zero_and_one():
    for name in PRESETS:
        weights = preset_weights(name, SDXL)
        assert len(weights) == len(BLOCKS)
        assert min(weights) >= 0
        assert max(weights) <= 1


def test_a_gradient_is_linear_from_in00_to_out08():
    """19 blocks, so M00, the tenth, lies half way; BASE is the start's unless it is named."""
    found = ratio_of({"start": 0.2, "end": 0.8, "OUT08": 1, "vae": 0.3})
    assert found["BASE"] == found["IN00"] == 0.2
    assert found["M00"] == pytest.approx(0.5)
    assert found["OUT07"] == pytest.approx(0.2 + 0.6 * 17 / 18)
    assert (found["OUT08"], found["vae"], list(found)[-1]) == (1.0, 0.3, "vae")
    assert ratio_of({"start": 0.2, "end": 0.8, "BASE": 0.0})["BASE"] == 0.0
    assert ratio_of({"start": 0.2, "end": 0.8, "IN04": {"attention": 0.1}})["IN04.attention"] == 0.1


def test_lists_are_pasted_with_and_without_base():
    twenty = ", ".join(str(i / 20) for i in range(20))
    assert list(ratio_of(twenty).values()) == [i / 20 for i in range(20)]
    nineteen = twenty.partition(",")[2]
    assert ratio_of({"weights": nineteen, "BASE": 0.9}) == ratio_of(twenty) | {"BASE": 0.9}
    with pytest.raises(BadInput, match=r"add BASE = 0\.5"):
        ratio_of(nineteen)
    what = parse(STEPS["weighted_sum"] | {"ratio": LINES["COSINE"]})
    assert any("6 of the weights of step merged are for blocks" in note for note in dependent_notes(what))
    assert not any("blocks" in note for note in dependent_notes(parse(STEPS["slerp"] | {"ratio": twenty})))


def test_ends_scale_and_preset_are_searched_and_expanded_once_they_are_fixed():
    what = parse(
        STEPS["weighted_sum"]
        | {
            "ratio": {
                "start": {"low": 0.0, "high": 0.5, "step": 0.25},
                "end": [0.5, 1.0],
                "IN04.attention": [0.1, 0.2],
            }
        }
    )
    names = ["merged.ratio.start", "merged.ratio.end", "merged.ratio.IN04.attention"]
    assert sorted(what.searched()) == sorted(names)
    assert Experiment.model_validate_json(what.model_dump_json()) == what
    fixed = what.at(dict(zip(names, (0.25, 1.0, 0.2), strict=True)))
    assert fixed.searched() == {}
    assert fixed.merge[0].ratio == ratio_of({"start": 0.25, "end": 1.0, "IN04.attention": 0.2})
    assert isinstance(fixed.merge[0].ratio, dict)
    assert Experiment.model_validate_json(fixed.model_dump_json()) == fixed
    middle = f"{UNET}middle_block.1.proj_in.weight"
    assert terms_of(fixed, [middle])[middle] == (("a", 0.375), ("b", 0.625))
    assert what.pure_models() == ()
    assert set(what.with_blocks().searched()) == {"merged.ratio.IN04.attention"}

    presets = {"preset": ["GRAD_V", "SMOOTHSTEP/2"], "scale": {"low": 0.5, "high": 1.0, "step": 0.25}}
    what = parse(STEPS["slerp"] | {"method": "slerp", "ratio": presets})
    assert list(what.searched()) == ["merged.ratio.preset", "merged.ratio.scale"]
    fixed = what.at({"merged.ratio.preset": "SMOOTHSTEP/2", "merged.ratio.scale": 0.75})
    assert fixed.merge[0].ratio == ratio_of({"preset": "SMOOTHSTEP/2", "scale": 0.75})
    plain = settings_at(
        json.loads(what.model_dump_json()), {"merged.ratio.preset": "GRAD_V", "merged.ratio.scale": 1.0}
    )
    assert plain["merge"][0]["ratio"] == ratio_of({"preset": "GRAD_V"})
    left = {"start": 0.0, "end": [0.5, 1.0], "BASE": {"low": 0.0, "high": 1.0, "step": 0.5}}
    what = parse(STEPS["slerp"] | {"ratio": left})
    partly = settings_at(json.loads(what.model_dump_json()), {"merged.ratio.end": 1.0})["merge"][0]["ratio"]
    assert partly == ratio_of({"start": 0.0, "end": 1.0}) | {"BASE": left["BASE"]}


def test_the_documented_forms_are_real():
    heading = "## Gradients, presets and pasted lists"
    what = documented(heading, "blocks.md", models={name: f"{name}.safetensors" for name in ("a", "b")})
    assert list(what.searched()) == ["first.ratio.end", "second.ratio.preset", "second.ratio.scale"]
    assert len(what.merge[2].ratio) == 20
    text = (REPOSITORY / "docs" / "blocks.md").read_text("utf-8")
    named = text.split(heading)[1].split("\n## ")[0]
    assert all(f"`{name}`" in named for name in PRESETS)


WRONG = {
    "two shapes": ({"start": 0.1, "end": 0.2, "preset": "GRAD_V"}, "give either start and end, or a preset"),
    "half a gradient": ({"start": 0.1}, "a start and an end"),
    "no preset": ({"preset": "GRAD_W"}, "The nearest is 'GRAD_"),
    "misspelt": ({"start": 0.1, "edn": 0.2, "end": 0.5}, "nearest name is 'end'"),
    "scaled gradient": ({"start": 0.1, "end": 0.2, "scale": 2.0}, "has no scale"),
    "a scale alone": ({"scale": 2.0}, "give either"),
    "too few": ("0.1,0.2", "2 weights are given; SDXL has 20"),
    "too few between spaces": (" 0.1 0.2", "2 weights are given; SDXL has 20"),
    "too few between semicolons": ("0.1;0.2", "2 weights are given; SDXL has 20"),
    "a default": ({"start": 0.1, "end": 0.5, "default": 0.2}, "a default would overrule all blocks"),
    "no number": (LINES["COSINE"].replace(".75", "x"), "the 10th weight is 'x'"),
    "nan": (LINES["COSINE"].replace(".75", "nan"), "must be from -1e+06 to 1e+06"),
    "too great": ({"weights": LINES["WRAP08"].replace("1", "9e5"), "scale": 2.0}, "weights times scale"),
    "out of bounds": ({"start": 0.1, "end": 2e6}, "must be from -1e+06 to 1e+06"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_gradient_is_told(case):
    ratio, said = WRONG[case]
    with pytest.raises(BadInput) as caught:
        ratio_of(ratio)
    assert said in str(caught.value)
    assert "merge[0].ratio" in str(caught.value)
    assert ".shape" not in str(caught.value)
    assert len(caught.value.lines) <= 4
