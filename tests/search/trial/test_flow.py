"""Rectified flow in an experiment: what is drawn so, how it is shifted, and what it is not defined for."""

import json
from dataclasses import replace

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.merge.parents import open_parents, require_drawable, warnings_about
from gridsearch.results.analysis.identical import drawn_with
from gridsearch.search.trial.settings import native_sampling, provenance, sampling_of
from tests.helpers.small_run import experiment, settings


def flowing(toy, references=("base",), **render):
    """base predicts epsilon, flow is said to be a flow; merges are drawn as flow unless asked otherwise."""
    usual = {"config": str(toy / "config"), "width": 64, "height": 64, "prediction_type": "flow"}
    models = {
        "base": str(toy / "base.safetensors"),
        "flow": {"path": str(toy / "vpred.safetensors"), "prediction_type": "flow"},
    }
    step = settings(toy)["merge"][0] | {"models": ["base", "flow"]}
    changes = {"models": models, "merge": [step], "score": {"references": [*references]}}
    return experiment(toy, render=usual | render, **changes)


def rows(what, parents):
    return {row["setting"]: (row["value"], row["source"]) for row in provenance(what, parents)}


def test_merges_and_references_are_each_drawn_in_their_own_mode_and_only_flow_is_shifted(toy):
    what = flowing(toy, ("base", "flow"))
    parents = open_parents(what)
    require_drawable(what, parents)
    drawn = [
        sampling_of(what.render, parents),
        *(native_sampling(what.render, parents, m) for m in parents.merged),
    ]
    modes = [(one.prediction_type, one.shift, one.timestep_spacing, one.zero_terminal_snr) for one in drawn]
    # the file of the flow has the marker key ztsnr, which says nothing to a flow
    flow = ("flow", 3.0, "trailing", False)
    assert modes == [flow, ("epsilon", None, None, False), flow]
    said = rows(what, parents)
    assert said["shift"] == ("3", "usual for rectified flow on SDXL")
    assert said["zero_terminal_snr"] == ("False", "rectified flow ends there by itself")
    assert "shift" not in rows(flowing(toy, prediction_type="epsilon", shift=2.0), parents)


def test_a_shift_comes_from_the_experiment_or_else_from_a_models_folder(toy):
    parents = open_parents(flowing(toy))
    said = {name: replace(one, shift=6.5) for name, one in parents.predictions.items() if name == "flow"}
    parents = replace(parents, predictions={**parents.predictions, **said})
    for render, shift, source in [
        ({}, 6.5, "the scheduler config of flow"),
        ({"shift": 2.0}, 2.0, "the experiment"),
    ]:
        what = flowing(toy, **render)
        assert sampling_of(what.render, parents).shift == shift
        assert native_sampling(what.render, parents, "flow").shift == shift
        assert rows(what, parents)["shift"] == (f"{shift:g}", source)


@pytest.mark.parametrize(
    ("render", "references", "said"),
    [
        ({"sampler": ["euler", "tcd"]}, ("base",), "sampler tcd is not defined for rectified flow"),
        ({"schedule": "karras"}, ("base",), "schedule karras is not defined"),
        ({"timestep_spacing": "leading"}, ("base",), "timestep spacing leading is not defined"),
        ({"prediction_type": "epsilon", "sampler": "dpmpp_sde"}, ("flow",), "sampler dpmpp_sde is not"),
        ({"prediction_type": "epsilon", "sampler": "dpmpp_sde"}, ("base",), ""),
        ({"prediction_type": ["epsilon", "flow"], "sampler": "tcd"}, ("base",), "sampler tcd is not"),
        ({"schedule": ["beta"], "timestep_spacing": "linspace"}, ("flow",), ""),
    ],
)
def test_what_is_not_defined_for_a_flow_is_refused_only_where_one_is_drawn(toy, render, references, said):
    what = flowing(toy, references, **render)
    parents = open_parents(what)
    if said:
        with pytest.raises(BadInput, match=said):
            require_drawable(what, parents)
    else:
        require_drawable(what, parents)


def test_a_shift_that_shifts_nothing_is_said(toy):
    what = flowing(toy, prediction_type="epsilon", shift={"low": 1, "high": 6, "step": 1})
    said = "render.shift has no effect: only rectified flow is shifted."
    assert said in warnings_about(what, open_parents(what))
    what = flowing(toy, prediction_type=["epsilon", "flow"], shift=[1.0, 3.0])
    assert said not in warnings_about(what, open_parents(what))
    tables = json.loads(what.model_dump_json())
    modes = [
        {"render.prediction_type": mode, "render.shift": shift, "ratio": 0.5}
        for mode in ("epsilon", "flow")
        for shift in (1.0, 3.0)
    ]
    assert len({drawn_with(tables, parameters) for parameters in modes}) == 3


def test_the_mode_must_be_set_where_parents_differ(toy):
    what = flowing(toy, prediction_type=None)
    with pytest.raises(BadInput) as refused:
        require_drawable(what, open_parents(what))
    assert (
        refused.value.fix
        == 'Set render.prediction_type to "epsilon" or "flow", or a list of them to try each.'
    )
