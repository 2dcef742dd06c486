"""Errors of pydantic in plain words: what is wrong, where, and how to mend it."""

import re
from collections.abc import Mapping

import pydantic

from gridsearch.base.errors import BadInput, nearest, nearest_text
from gridsearch.checkpoint.ldm.keys import V_PREDICTION_MARKER, ZERO_SNR_MARKER
from gridsearch.experiment.any_of import SEVERAL
from gridsearch.experiment.methods import METHODS
from gridsearch.experiment.values import Range, Table

_HINTS = {
    "prompt": 'Add at least one: [[prompt]] with text = "..." and seeds = [1, 2].',
    "merge": 'Add [[merge]] with models = ["a", "b"] and ratio = { low = 0.0, high = 1.0, step = 0.05 }.',
    "models": 'Add [models] with a = "path/to/a.safetensors" and b = "path/to/b.safetensors".',
    "name": 'Give the experiment a name of letters, digits, "." , "_" or "-": it names the results folder.',
}
_REBASIN = "Put one model in the order of the other first: gridsearch rebasin B --to A -o FILE."
# What other programs call a setting -> the key here.
_OTHER_NAMES = {
    **dict.fromkeys(("cfg_scale", "guidance_scale", "guidance", "scale", "cfgscale"), "cfg"),
    **dict.fromkeys(("guidance_rescale", "rescale_cfg", "cfg_rescale_multiplier", "rescale"), "cfg_rescale"),
    **dict.fromkeys(("num_inference_steps", "sampling_steps", "sample_steps", "num_steps"), "steps"),
    **dict.fromkeys(("sampler_name", "sample_sampler", "sampler_index", "sampling_method"), "sampler"),
    **dict.fromkeys(("schedule_type", "noise_schedule", "sigmas"), "schedule"),
    **dict.fromkeys(("clip_stop_at_last_layers", "stop_at_clip_layer", "clip_layer"), "clip_skip"),
    **dict.fromkeys(("batch_size", "num_images_per_prompt", "vae_batch_size"), "batch"),
    **dict.fromkeys(("torch_dtype", "precision", "mixed_precision"), "dtype"),
    **dict.fromkeys((V_PREDICTION_MARKER, "v_parameterization", "parameterization"), "prediction_type"),
    **dict.fromkeys((ZERO_SNR_MARKER, "zero_snr", "zsnr", "rescale_betas_zero_snr"), "zero_terminal_snr"),
    **dict.fromkeys(("pag", "perturbed_attention_scale"), "pag_scale"),
    **dict.fromkeys(("negative_prompt", "uncond", "neg", "neg_prompt"), "negative"),
    **dict.fromkeys(("prompt", "positive", "positive_prompt", "caption"), "text"),
    **dict.fromkeys(("seed", "noise_seed"), "seeds"),
    **dict.fromkeys(("alpha", "weight", "multiplier", "interp_amount", "base_alpha", "strength"), "ratio"),
    **dict.fromkeys(("mode", "merge_mode", "interp_method", "merge_method"), "method"),
    **dict.fromkeys(("checkpoints", "inputs"), "models"),
}
# Names that mean two settings elsewhere -> what to write for each.
_AMBIGUOUS = {
    "scheduler": 'ComfyUI calls the noise schedule so (here "schedule"), diffusers the sampler ("sampler").',
    "vae": 'A VAE of its own belongs into [components]: vae = "my.vae.safetensors".',
    "eta": "It is 1 for ancestral samplers and 0 for DDIM, as in A1111; there is no setting for it.",
}
# of the unions of values: no keys of the file
_TAGS = ("value", "range", "list", "number", "blocks", "shape")


def bad_key(error: pydantic.ValidationError, source: object, tables: Mapping[str, type[Table]]) -> BadInput:
    """Return an error that words the first problem and counts the others.

    Args:
        tables: the file's tables by name, the file itself under "".
    """
    # A misspelt key is also a missing one: report the misspelling. A bad item makes its list "too short" too.
    problems = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    first, *others = [one for one in problems if one["type"] != "too_short"] or problems
    loc, given = _keys(first["loc"]), f"{first['input']!r:.60}"
    key = ".".join(f"[{part}]" if isinstance(part, int) else str(part) for part in loc).replace(".[", "[")
    fix = _HINTS.get(key)
    match first["type"]:
        case "extra_forbidden":
            what = f"Unknown key {key!r:.200}"
            fix = _other_key(str(loc[-1]), _known_keys(first["loc"][:-1], tables))
        case "missing":
            what = f"The key {key!r} is missing"
        case "tuple_type":
            what = f"{key}: give a list, as in [1, 2], not {given}"
        case "union_tag_invalid" if loc[0] == "merge" and len(loc) == 2:
            method = str(first["ctx"]["tag"])
            what = f"{key}.method: there is no merge method {method!r:.60}"
            fix = _REBASIN if method == "rebasin" else nearest_text(method, METHODS)
        case "union_tag_invalid":
            what = f"{key}: give one value or a list of values"
        case "literal_error":
            what = f"{key}: there is no {given}"
            fix = nearest_text(first["input"], re.findall("'([^']*)'", first["ctx"]["expected"]))
        case _:
            message = first["msg"].removeprefix("Value error, ")
            message += "" if isinstance(first["input"], (dict, Table)) else f", got {given}"
            what = f"{key}: {message}" if key else message[0].upper() + message[1:]
    more = f" ({len(others)} more after this one)" if others else ""
    return BadInput(f"{what}{more}.", where=source, fix=fix)


def _keys(loc: tuple[str | int, ...]) -> list[str | int]:
    """Return a problem's place in the file, without pydantic's tags."""
    if loc[:1] == ("merge",):
        kinds = (*METHODS, SEVERAL)
        return [part for i, part in enumerate(loc) if part not in _TAGS and not (i == 2 and part in kinds)]
    return [part for part in loc if part not in _TAGS or loc[0] in ("models", "adapters")]


def _other_key(name: str, known: list[str]) -> str:
    plain = name.lower().replace(" ", "_").replace("-", "_")
    if (own := plain if plain in known else _OTHER_NAMES.get(plain)) in known:
        return f"Here it is called {own!r}."
    if plain in _AMBIGUOUS:
        return _AMBIGUOUS[plain]
    return f"The nearest known key is {nearest(name, known)!r}."


def _known_keys(loc: tuple[str | int, ...], tables: Mapping[str, type[Table]]) -> list[str]:
    """Return the keys that the table at this place may have."""
    if loc and loc[-1] == "range":
        return list(Range.model_fields)
    if len(loc) == 3 and loc[0] == "merge":
        return list(METHODS[str(loc[2])].model_fields)
    named = ".".join(part for part in loc if isinstance(part, str))
    return list((tables[named] if named in tables else tables[str(loc[0])]).model_fields)
