"""Settings of small images, for the tests that draw."""

from gridsearch.render.sampling import Sampling


def sampling(prediction_type="epsilon", sampler="euler", **changes) -> Sampling:
    """Four steps at 64 px; a v-prediction from zero terminal SNR."""
    settings = {
        "prediction_type": prediction_type,
        "zero_terminal_snr": prediction_type == "v_prediction",
        "timestep_spacing": None,
        "sampler": sampler,
        "steps": 4,
        "cfg": 3.5,
        "cfg_rescale": 0.0,
        "pag_scale": 0.0,
        "unconditional": "zeros",
        "clip_skip": 2,
        "rng": "cpu",
        "width": 64,
        "height": 64,
        "original_width": 64,
        "original_height": 64,
        "crop_left": 0,
        "crop_top": 0,
        "target_width": 64,
        "target_height": 64,
    }
    return Sampling(**settings | changes)
