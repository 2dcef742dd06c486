"""The settings of an experiment's images: every value, and where it comes from.

A setting that the experiment leaves open follows from the models. Where a value is searched, the references
are rendered at its middle or its first choice.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from gridsearch.checkpoint.prediction import FLOW, Prediction, takes_zero_snr
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import RENDER_VALUES
from gridsearch.experiment.render_table import Render
from gridsearch.experiment.values import is_searched, usual_value
from gridsearch.merge.parents import Parents, mode_of_merge, zero_snr_of
from gridsearch.render.denoise.hires import SETTINGS as HIRES
from gridsearch.render.denoise.sampling import USUAL_SHIFT, Sampling, usual_spacing

RENDERING_VERSION = 2  # to be raised when the same settings give other images than before


def sampling_of(render: Render, parents: Parents) -> Sampling:
    """Return the settings of a merge's images."""
    prediction_type, zero_terminal_snr = mode_of_merge(render, parents)
    shift, _ = _shift(render, parents.merged_predictions)
    return _sampling(render, prediction_type, zero_terminal_snr, shift)


def native_sampling(render: Render, parents: Parents, name: str) -> Sampling:
    """Return the same settings in a parent's own prediction type."""
    own = parents.predictions[name]
    shift, _ = _shift(render, {name: own})
    return _sampling(render, own.type, zero_snr_of(render, own.type, own.zero_terminal_snr), shift)


def _shift(render: Render, predictions: Mapping[str, Prediction]) -> tuple[float, str]:
    """Return the shift of what these models draw as rectified flow, and where it comes from."""
    if render.shift is not None:
        return usual_value(render.shift), "the experiment"
    said = {name: prediction.shift for name, prediction in predictions.items() if prediction.shift}
    for name, shift in said.items():
        return shift, f"the scheduler config of {name}"
    return USUAL_SHIFT, "usual for rectified flow on SDXL"


def _sampling(render: Render, prediction_type: str, zero_terminal_snr: bool, shift: float) -> Sampling:
    given = {field.name: usual_value(getattr(render, field.name)) for field in fields(Sampling)}
    left_open = {
        "timestep_spacing": usual_spacing(prediction_type, zero_terminal_snr)[0],
        "original_width": render.width,
        "original_height": render.height,
        "crop_left": 0,
        "crop_top": 0,
        "target_width": render.width,
        "target_height": render.height,
    }
    decided = {
        "prediction_type": prediction_type,
        "zero_terminal_snr": zero_terminal_snr,
        "shift": shift if prediction_type == FLOW else None,
    }
    usual = {name: value for name, value in left_open.items() if given[name] is None}
    return Sampling(**given | usual | decided)


def usual_notes(render: Render) -> list[str]:
    """Return a note on each searched setting: the value at which the references are rendered."""
    return [
        f"The references are rendered at {name} {usual if isinstance(usual, str) else f'{usual:g}'}."
        for name in RENDER_VALUES
        if name != "prediction_type" and is_searched(value := getattr(render, name))
        for usual in [usual_value(value)]
    ]


def provenance(experiment: Experiment, parents: Parents) -> list[dict[str, str]]:
    """Return each setting of the merges' images: its name, its value, and where that comes from.

    Guidance and schedules that are not asked for have no rows.
    """
    render, merged = experiment.render, parents.merged_predictions
    sampling, first = sampling_of(render, parents), next(iter(merged))
    trained = [name for name, prediction in merged.items() if prediction.zero_terminal_snr]
    snr_source = f"{trained[0]} was trained with it" if trained else "no model was marked as trained with it"
    takes, is_flow = takes_zero_snr(sampling.prediction_type), sampling.prediction_type == FLOW
    no_snr = (
        "rectified flow ends there by itself" if is_flow else "epsilon prediction is undefined at zero SNR"
    )
    follows = {
        "prediction_type": f"{first} predicts it ({merged[first].source})",
        "zero_terminal_snr": snr_source if takes else no_snr,
        "timestep_spacing": usual_spacing(sampling.prediction_type, sampling.zero_terminal_snr)[1],
        "shift": _shift(render, merged)[1],
    }
    rows = []
    off = {field.name: field.default for field in fields(Sampling) if field.default is not MISSING}
    for name, value in vars(sampling).items():
        asked = getattr(render, name)
        given = name in render.model_fields_set and asked is not None
        active = sampling.hires_scale is not None and name in HIRES
        if (not given or name == "shift") and off.get(name, MISSING) == value and not active:
            continue
        never = name == "zero_terminal_snr" and not takes
        source = "the experiment" if given and not never else follows.get(name, "the default")
        rows.append({"setting": name, "value": _shown(asked, value), "source": source})
    return rows


def _shown(asked: Any, value: Any) -> str:
    if is_searched(asked):
        return "searched"
    if value is None:
        return "as the component configs say"
    return f"{value:g}" if isinstance(value, float) else str(value)
