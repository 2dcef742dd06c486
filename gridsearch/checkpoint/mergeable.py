"""Whether a file can be a model of a merge, by itself: what `inspect` says and a plan requires."""

from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import LATENT_CHANNELS
from gridsearch.checkpoint.header import Checkpoint, require_name
from gridsearch.checkpoint.ldm.recognise import (
    family_of,
    has_vae,
    input_channels,
    reading_latents,
    require_float_weights,
    require_known,
)
from gridsearch.checkpoint.ldm.shapes import check_file, has_usual_size
from gridsearch.checkpoint.prediction import Prediction, prediction_of

YES = "yes"  # how the words begin where a file can be merged


def require_mergeable(checkpoint: Checkpoint, prediction_type: str | None = None) -> Prediction:
    """Return the prediction type of a model that can be merged; `prediction_type` is the experiment's.

    A BadInput where it is of no known family, where its weights are in a format that has no values by itself,
    or where it predicts neither epsilon, v, x0 nor a flow.
    """
    for path in checkpoint.files:
        require_name(path)
    require_known(checkpoint)
    require_float_weights(checkpoint)
    return prediction_of(checkpoint, prediction_type)


def merge_in_words(checkpoint: Checkpoint, config: Path | None = None) -> str:
    """Return whether a plan takes this file as a model, and on which condition, or its reason why not.

    Without `config` a model of another size than its family's is not compared with configs.
    """
    conditions, family = [], family_of(checkpoint)
    try:
        require_mergeable(checkpoint)
        if config or has_usual_size(checkpoint):
            parts = ("",) if has_vae(checkpoint) else family.beside_vae
            check_file(reading_latents(checkpoint), config or family.configs, parts)
        else:
            conditions.append(
                f"it is not of {family.title}'s size, so [render] config must name its component configs"
            )
    except BadInput as error:
        return f"no: {error.lines[0]}"
    if (channels := input_channels(checkpoint)) > LATENT_CHANNELS:
        said = "gridsearch merge takes it as the first model of a step, and a run cannot draw it"
        conditions.append(f"its UNet reads {channels} channels: {said}")
    if not has_vae(checkpoint):
        conditions.append("it has no VAE: where it is the first model, [components] vae must name one")
    return "; ".join([YES, *conditions])
