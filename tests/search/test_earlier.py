"""The curve of an earlier study as what a run expects: which fit, which are refused, and what is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.results import store
from gridsearch.results.analysis.probe import expectation_of
from gridsearch.search import earlier
from gridsearch.search.earlier import earlier_curve, expectation_notes
from tests.helpers.small_run import facts

LOSSES = {0.0: 1.8, 0.2: 1.2, 0.4: 0.3, 0.5: 0.1, 0.6: 0.4, 1.0: 1.5}


class Study:
    """As much of an earlier study as is looked at."""

    def __init__(self, of: store.Facts) -> None:
        self.facts, self.parameters = of, ("ratio",)


@pytest.fixture
def told(monkeypatch):
    """What a run expects of an earlier one; each is given as facts, models by the hashes of their files."""

    def run(before: store.Facts, now: store.Facts, losses=LOSSES):
        monkeypatch.setattr("gridsearch.results.results.load_results", lambda _: Study(before))
        monkeypatch.setattr(earlier, "drawn_losses", lambda _: [*losses.items()])
        return earlier_curve(Path("results/x"), now)

    return run


def of(toy, first: str, second: str, **changes) -> store.Facts:
    found = facts(toy, **changes)
    hashes = dict(zip(found.experiment["merge"][0]["models"], (first, second), strict=True))
    models = {name: known | {"sha256": hashes.get(name, name)} for name, known in found.models.items()}
    return replace(found, models=models)


def test_the_same_models_give_their_curve(toy, told):
    found = told(of(toy, "A", "B"), of(toy, "A", "B"))
    assert dict(zip(found["ratios"], found["losses"], strict=True)) == LOSSES
    assert len(found["shared"]) == 2
    assert found["differs"] == []
    expected = expectation_of(found)
    assert expected.best == 0.5
    assert expected.window() == (pytest.approx(0.2 + 0.2 * 0.2 / 0.9), pytest.approx(0.6 + 0.4 * 0.6 / 1.1))


@pytest.mark.parametrize(
    ("before", "turned"), [("AC", False), ("CB", False), ("BA", True), ("CA", True), ("BC", True)]
)
def test_one_shared_model_is_enough_and_the_other_end_turns_the_curve_round(toy, told, before, turned):
    found = told(of(toy, *before), of(toy, "A", "B"))
    assert [*found["ratios"]] == sorted(1 - ratio if turned else ratio for ratio in LOSSES)
    assert found["losses"][0] == (1.5 if turned else 1.8)
    assert len(found["shared"]) == len(set(before) & set("AB"))


def test_what_is_otherwise_is_said_and_so_is_what_is_expected(toy, told):
    now = of(toy, "A", "B", render={"steps": 3})
    found = told(of(toy, "A", "C"), now)
    assert any(part.startswith("render.steps (") for part in found["differs"])
    (note,) = expectation_notes(replace(now, probe=found))
    assert "Expected from x, which" in note
    assert "the best near 0.50, and sound images from 0.24 to 0.82" in note
    assert "render.steps" in note
    assert expectation_notes(now) == []


def test_what_shares_nothing_or_searched_something_else_is_refused(toy, told):
    now = of(toy, "A", "B")
    with pytest.raises(BadInput, match="none of these models"):
        told(of(toy, "C", "D"), now)
    with pytest.raises(BadInput, match="drew 2 of the values"):
        told(now, now, {0.1: 1.0, 0.2: 0.5})
    render = now.experiment["render"] | {"cfg": {"low": 1.0, "high": 9.0, "step": 1.0}}
    merge = [now.experiment["merge"][0] | {"ratio": 0.5}]
    other = replace(now, experiment=now.experiment | {"render": render, "merge": merge})
    with pytest.raises(BadInput, match=r"it searched render.cfg, and this one ratio"):
        told(other, now)
