"""Settings of small images, for the tests that draw."""

from gridsearch.render.denoise.sampling import Sampling


def sampling(prediction_type="epsilon", sampler="euler", width=64, height=64, **changes) -> Sampling:
    """Four steps at 64 px; a v-prediction from zero terminal SNR; SDXL is told the picture's own size."""
    settings = {
        "prediction_type": prediction_type,
        "zero_terminal_snr": prediction_type == "v_prediction",
        "shift": 3.0 if prediction_type == "flow" else None,
        "timestep_spacing": None,
        "sampler": sampler,
        "steps": 4,
        "cfg": 3.5,
        "cfg_rescale": 0.0,
        "pag_scale": 0.0,
        "unconditional": "zeros",
        "clip_skip": 2,
        "rng": "cpu",
        "width": width,
        "height": height,
        "original_width": width,
        "original_height": height,
        "crop_left": 0,
        "crop_top": 0,
        "target_width": width,
        "target_height": height,
    }
    return Sampling(**settings | changes)
