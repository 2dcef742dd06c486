"""The settings of an experiment's images: every value, and where it comes from.

A setting that the experiment leaves open follows from the models. Where a value is searched, the references
are rendered at its middle or its first choice.
"""

from dataclasses import MISSING, fields
from typing import Any

from gridsearch.checkpoint.prediction import reaches_zero_snr
from gridsearch.experiment.experiment import Experiment, Render
from gridsearch.experiment.parameters import RENDER_VALUES
from gridsearch.experiment.values import is_searched, usual_value
from gridsearch.merge.parents import Parents, mode_of_merge, zero_snr_of
from gridsearch.render.denoise.sampling import Sampling, usual_spacing

RENDERING_VERSION = 2  # to be raised when the same settings give other images than before


def sampling_of(render: Render, parents: Parents) -> Sampling:
    """Return the settings of a merge's images."""
    return _sampling(render, *mode_of_merge(render, parents))


def native_sampling(render: Render, parents: Parents, name: str) -> Sampling:
    """Return the same settings in a parent's own prediction type."""
    own = parents.predictions[name]
    return _sampling(render, own.type, zero_snr_of(render, own.type, own.zero_terminal_snr))


def _sampling(render: Render, prediction_type: str, zero_terminal_snr: bool) -> Sampling:
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
    decided = {"prediction_type": prediction_type, "zero_terminal_snr": zero_terminal_snr}
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
    reaches = reaches_zero_snr(sampling.prediction_type)
    follows = {
        "prediction_type": f"{first} predicts it ({merged[first].source})",
        "zero_terminal_snr": snr_source if reaches else "epsilon prediction is undefined at zero SNR",
        "timestep_spacing": usual_spacing(sampling.prediction_type, sampling.zero_terminal_snr)[1],
    }
    rows = []
    off = {field.name: field.default for field in fields(Sampling) if field.default is not MISSING}
    for name, value in vars(sampling).items():
        asked = getattr(render, name)
        given = name in render.model_fields_set and asked is not None
        if not given and off.get(name, MISSING) == value:
            continue
        never = name == "zero_terminal_snr" and not reaches
        source = "the experiment" if given and not never else follows.get(name, "the default")
        rows.append({"setting": name, "value": _shown(asked, value), "source": source})
    return rows


def _shown(asked: Any, value: Any) -> str:
    if is_searched(asked):
        return "searched"
    if value is None:
        return "as the component configs say"
    return f"{value:g}" if isinstance(value, float) else str(value)
