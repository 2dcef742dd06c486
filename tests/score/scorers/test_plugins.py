"""Plug-in scorers: found by name, checked before they are needed, and harmless when they break."""

import sys
from collections import namedtuple
from math import isnan

import numpy as np
import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.tables import ScorerTable as Wanted
from gridsearch.results.columns import IMAGES_CSV, REFERENCES, RESERVED, STORED, TRIALS_CSV, names
from gridsearch.score.metrics import METRICS
from gridsearch.score.scorers import plugins
from gridsearch.score.scorers.plugins import open_scorers, scorer_values
from gridsearch.search.trial.standard import Standard, with_values
from tests.helpers.plugin_package import install

CODE = """
from gridsearch.base.errors import BadInput

def red(rgb, case):
    return rgb[..., 0].mean()

def shifted(rgb, case, by, of="nothing"):
    return case.seed + by

def anything(rgb, case, **options):
    return len(options)

def painting(rgb, case):
    rgb[:] = 0
    return 1

def raising(rgb, case):
    raise KeyError("two\\nlines")

def refusing(rgb, case):
    raise BadInput("Too dark.", why="it is night")

def giving(rgb, case, what):
    return {"nan": float("nan"), "inf": float("inf"), "huge": 1e300, "text": "3", "none": None,
            "list": [1.0], "array": rgb, "true": True, "int": 2}[what]

def leaving(rgb, case):
    raise KeyboardInterrupt

def picky(rgb, case, folder):
    return 0

def check_picky(folder):
    if folder == "bad":
        raise BadInput("No such folder.", where=folder)
    raise OSError("disk on fire")

picky.check = check_picky
constant = 3

def lonely(rgb):
    return 0
"""
NAMES = ("red", "shifted", "anything", "painting", "raising", "refusing", "giving", "leaving", "picky")
CASE_ = namedtuple("Case", "prompt_id text negative seed")("p1", "a cat", "", 7)
PICTURE = np.full((4, 4, 3), (10, 20, 30), np.uint8)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package above, installed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "scorers_of_a_test", raising=False)
    names = {name: name for name in (*NAMES, "constant", "lonely")} | {"gone": "no_such", "defect": "red"}
    install(tmp_path, "scorers_of_a_test", CODE, names)
    return tmp_path


def opened(*names, **options):
    return open_scorers([Wanted(name=name, **options) for name in names], RESERVED)


def test_a_value_is_what_the_function_says_of_image_case_and_options(package):
    wanted = [Wanted(name="red"), Wanted(name="shifted", by=0.5), Wanted(name="anything", a=1)]
    scorers = open_scorers(wanted, RESERVED)
    assert scorer_values(scorers, PICTURE, CASE_) == ({"red": 10.0, "shifted": 7.5, "anything": 1.0}, {})


def test_an_unknown_scorer_is_told_the_nearest_installed_one(package):
    with pytest.raises(BadInput, match="The nearest is 'shifted'") as caught:
        opened("shiftet")
    assert "'shiftet' is installed" in caught.value.lines[0]
    with pytest.raises(BadInput, match="The nearest is 'blur_effect'"):
        opened("blur")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("red", {"wieght": 1}, "The nearest known key is 'weight'"),
        ("shifted", {"by": 1, "off": 1}, "The nearest known key is 'of'"),
        ("shifted", {}, "missing a required argument: 'by'"),
        ("lonely", {}, "too many positional arguments"),
        ("constant", {}, "not a function"),
        ("gone", {}, "has no attribute 'no_such'"),
        ("defect", {}, "a column has that name"),
        ("picky", {"folder": "bad"}, "No such folder."),
        ("picky", {"folder": "good"}, "OSError: disk on fire"),
    ],
)
def test_what_cannot_work_is_said_before_any_image(package, name, options, said):
    with pytest.raises(BadInput, match=said) as caught:
        opened(name, **options)
    assert 1 < len(caught.value.lines) <= 4


def test_a_module_that_cannot_be_imported_is_said(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "broken_at_import", "import no_such_package_at_all", {"x": "x"})
    with pytest.raises(BadInput, match="No module named 'no_such_package_at_all'"):
        opened("x")


def test_one_name_in_two_packages_is_refused(package):
    install(package, "another_of_a_test", CODE, {"red": "anything"})
    with pytest.raises(BadInput, match="2 installed packages have a scorer 'red'") as caught:
        opened("red")
    assert "another_of_a_test:anything, scorers_of_a_test:red" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("raising", {}, "KeyError: 'two\\nlines'"),
        ("refusing", {}, "Too dark. why: it is night"),
        ("giving", {"what": "nan"}, "it gave nan"),
        ("giving", {"what": "inf"}, "it gave inf"),
        ("giving", {"what": "huge"}, "it gave 1e+300"),
        ("giving", {"what": "text"}, "it gave '3', which is not a number"),
        ("giving", {"what": "none"}, "it gave None, which is not a number"),
        ("giving", {"what": "list"}, "it gave [1.0], which is not a number"),
        ("giving", {"what": "array"}, "TypeError: only"),
        ("giving", {"what": "unheard of"}, "KeyError: 'unheard of'"),
    ],
)
def test_what_raises_or_gives_no_number_has_no_value_and_the_others_have(package, name, options, said):
    scorers = [*opened(name, **options), *opened("red")]
    values, unscored = scorer_values(scorers, PICTURE, CASE_)
    assert isnan(values[name])
    assert values["red"] == 10
    assert list(unscored) == [name]
    assert unscored[name].startswith(said.replace("\n", " "))
    assert "\n" not in unscored[name]


def test_whole_numbers_and_truths_are_numbers(package):
    assert [
        scorer_values(opened("giving", what=w), PICTURE, CASE_)[0]["giving"] for w in ("int", "true")
    ] == [
        2,
        1,
    ]


def test_a_scorer_that_paints_over_its_image_changes_nothing(package):
    scorers = [*opened("painting"), *opened("red")]
    assert scorer_values(scorers, PICTURE, CASE_)[0] == {"painting": 1.0, "red": 10.0}
    assert (PICTURE == (10, 20, 30)).all()


def test_an_interrupt_is_no_failure_of_a_scorer(package):
    with pytest.raises(KeyboardInterrupt):
        scorer_values(opened("leaving"), PICTURE, CASE_)


def test_where_pixels_mean_nothing_no_scorer_is_asked(package):
    scorers = [*opened("leaving"), *opened("red")]
    values = with_values({"finite": False}, Standard(scorers=scorers), PICTURE, CASE_)["scorers"]
    assert list(values) == ["leaving", "red"]
    assert all(map(isnan, values.values()))


def test_what_a_scorer_says_is_cut_to_a_line():
    assert plugins._short("a\n b\t c") == "a b c"
    assert len(plugins._short("x" * 1000)) == plugins.MOST_SAID


def test_no_scorer_can_take_the_name_of_a_column():
    assert {*names((*IMAGES_CSV, *REFERENCES, *STORED, *TRIALS_CSV)), *METRICS, "ratio"} <= RESERVED


def test_one_scorer_is_asked_twice_and_of_some_prompts_only(package):
    wanted = [
        Wanted(name="near", scorer="shifted", by=1),
        Wanted(name="far", scorer="shifted", by=100, prompts=["p1"]),
        Wanted(name="other", scorer="raising", prompts=["p2"]),
    ]
    values, unscored = scorer_values(open_scorers(wanted, RESERVED), PICTURE, CASE_)
    assert (values["near"], values["far"]) == (8, 107)
    assert isnan(values["other"])
    assert unscored == {}  # it was not asked, so it did not fail


def test_a_prompt_may_have_a_weight_of_its_own(package):
    (scorer,) = open_scorers(
        [Wanted(name="red", weight=0.5, prompt_weights={"p2": 3, "p3": 0}, direction="higher")], RESERVED
    )
    assert [scorer.weight_for(prompt) for prompt in ("p1", "p2", "p3")] == [0.5, 3, 0]
    (only,) = open_scorers([Wanted(name="red", prompt_weights={"p2": 1}, direction="higher")], RESERVED)
    assert (only.counts, only.weight_for("p1")) == (True, 0)
    with pytest.raises(ValueError, match="a weight needs a direction"):
        Wanted(name="red", prompt_weights={"p2": 1})
