"""Steps collapse to coefficients."""

from dataclasses import dataclass

import pytest
from gridsearch.merge.recipe import coefficients
from hypothesis import given
from hypothesis import strategies as st

MODELS = ("a", "b", "c")


@dataclass(frozen=True)
class Step:
    name: str
    models: tuple[str, str]
    ratio: float


@st.composite
def chains(draw):
    steps, known = [], list(MODELS)
    for i in range(draw(st.integers(1, 5))):
        models = (draw(st.sampled_from(known)), draw(st.sampled_from(known)))
        steps.append(Step(f"s{i}", models, draw(st.floats(-1, 2))))
        known.append(f"s{i}")
    return steps


@given(chains(), st.tuples(*[st.floats(-10, 10)] * 3))
def test_a_chain_collapses_to_what_its_steps_give_one_by_one(steps, values):
    known = dict(zip(MODELS, values, strict=True))
    for step in steps:
        first, second = (known[model] for model in step.models)
        known[step.name] = first * (1 - step.ratio) + second * step.ratio
    mix = coefficients(steps)
    collapsed = sum(weight * dict(zip(MODELS, values, strict=True))[source] for source, weight in mix.items())
    assert collapsed == pytest.approx(known[steps[-1].name], rel=1e-9, abs=1e-6)


def test_at_the_ends_only_one_source_is_left():
    assert coefficients([Step("m", ("a", "b"), 0.0)]) == {"a": 1.0}
    assert coefficients([Step("m", ("a", "b"), 1.0)]) == {"b": 1.0}
