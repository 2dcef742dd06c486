"""Errors of an experiment's values: what is wrong, on which line, and how to mend it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from gridsearch.base.errors import BadInput, nearest_key, nearest_text
from gridsearch.checkpoint.ldm.keys import V_PREDICTION_MARKER, ZERO_SNR_MARKER
from gridsearch.experiment.any_of import SEVERAL
from gridsearch.experiment.methods import METHODS
from gridsearch.experiment.values import Range, Table
from gridsearch.experiment.wording import in_words, line_of, place_in_words

MOST_TOLD = 9  # problems after the first

_HINTS = {
    "prompt": 'Add at least one: [[prompt]] with text = "..." and seeds = [1, 2].',
    "merge": 'Add [[merge]] with models = ["a", "b"] and ratio = { low = 0.0, high = 1.0, step = 0.05 }.',
    "models": 'Add [models] with a = "path/to/a.safetensors" and b = "path/to/b.safetensors".',
    "name": 'Give the experiment a name of letters, digits, "." , "_" or "-": it names the results folder.',
}
_METHOD_HINTS = {
    "rebasin": "Put one model in the order of the other first: gridsearch rebasin B --to A -o FILE.",
    "lerp": 'It is the default here: method = "weighted_sum".',
}
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
    **dict.fromkeys(("enable_hr", "hr_scale", "hires", "hires_upscale"), "hires_scale"),
    **dict.fromkeys(("hr_upscaler", "upscaler"), "hires_upscaler"),
    **dict.fromkeys(("hr_second_pass_steps", "hires_step"), "hires_steps"),
    **dict.fromkeys(("denoising_strength", "denoise", "hires_denoising_strength"), "hires_denoise"),
    **dict.fromkeys(("negative_prompt", "uncond", "neg", "neg_prompt"), "negative"),
    **dict.fromkeys(("prompt", "positive", "positive_prompt", "caption"), "text"),
    **dict.fromkeys(("seed", "noise_seed"), "seeds"),
    **dict.fromkeys(("alpha", "weight", "multiplier", "interp_amount", "base_alpha", "strength"), "ratio"),
    **dict.fromkeys(("mode", "merge_mode", "interp_method", "merge_method"), "method"),
    **dict.fromkeys(("checkpoints", "checkpoint", "inputs", "model"), "models"),
    **dict.fromkeys(("min", "minimum", "start", "from", "lo"), "low"),
    **dict.fromkeys(("max", "maximum", "stop", "end", "to", "hi"), "high"),
    **dict.fromkeys(("increment", "step_size", "stepsize", "by"), "step"),
    **dict.fromkeys(("prompts",), "prompt"),
    **dict.fromkeys(("n_trials", "max_trials"), "trials"),
    **dict.fromkeys(("file", "filename", "location"), "path"),
}
# Names that mean two settings elsewhere -> what to write for each.
_AMBIGUOUS = {
    "scheduler": 'In ComfyUI this is the noise schedule ("schedule"), in diffusers the sampler ("sampler").',
    "vae": 'A separate VAE goes in [components]: vae = "my.vae.safetensors".',
    "eta": "It is 1 for ancestral samplers and 0 for DDIM, as in A1111; there is no setting for it.",
}
_PROMPT = (
    'Prompts have tables of their own: [[prompt]] with text = "...", negative = "..." and seeds = [1, 2].'
)
# Keys of elsewhere, by what they are called here -> where that is set.
_ELSEWHERE = {
    **dict.fromkeys(("text", "negative", "seeds", "prompt"), _PROMPT),
    **dict.fromkeys(
        ("size", "resolution"), "Each side has a key of its own: width = 1024 and height = 1024."
    ),
    **dict.fromkeys(
        ("lora", "loras"), 'LoRAs are named in [adapters] and added by a [[merge]] with method = "adapter".'
    ),
}
# of the unions of values: no keys of the file
_TAGS = ("value", "range", "list", "number", "blocks", "shape")


def bad_key(
    error: pydantic.ValidationError, source: object, tables: Mapping[str, type[Table]], text: str = ""
) -> BadInput:
    """Return an error that words every problem, a line each after the first.

    Args:
        tables: the file's tables by name, the file itself under "".
        text: that of the file, in which the lines are looked for.
    """
    # A misspelt key is also a missing one: report the misspelling. A bad item makes its list "too short" too.
    problems = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    problems = [one for one in problems if one["type"] != "too_short"] or problems[:1]
    told = [(one, _told(one, tables, text)) for one in problems]
    (what, line, fix), *others = [said for one, said in told if not _is_misspelt(one, told)]
    also = [f"{said}{at and f' (line {at})'}.{hint and f' {hint}'}" for said, at, hint in others[:MOST_TOLD]]
    if len(others) > MOST_TOLD:
        also.append(f"{len(others) - MOST_TOLD} more")
    return BadInput(
        f"{what}.", where=f"{source}, line {line}" if line else source, fix=fix or None, also=also
    )


def _is_misspelt(problem: Mapping[str, Any], told: Sequence[tuple[Mapping[str, Any], tuple]]) -> bool:
    """Return whether a key is only missing because it is misspelt, as another problem's mend says."""
    place = problem["loc"]
    return problem["type"] == "missing" and any(
        other["type"] == "extra_forbidden" and other["loc"][:-1] == place[:-1] and repr(place[-1]) in fix
        for other, (_, _, fix) in told
    )


def _told(problem: Mapping[str, Any], tables: Mapping[str, type[Table]], text: str) -> tuple[str, Any, str]:
    """Return what is wrong, on which line (empty where that is not known), and how to mend it."""
    place, given = tuple(_keys(problem["loc"])), problem["input"]
    key, said = place_in_words(place), f"{given!r:.60}"
    is_table = len(place) == 1
    what, fix = "", _HINTS.get(key, "")
    match problem["type"]:
        case "extra_forbidden":
            what = f"Unknown key {key!r:.200}"
            fix = _other_key(str(place[-1]), _known_keys(problem["loc"][:-1], tables))
        case "missing" if isinstance(place[-1], int):
            what = f"{place_in_words(place[:-1])}: give {place[-1] + 1} of them or more"
        case "missing":
            what = f"The key {key!r} is missing"
        case "tuple_type" if is_table and isinstance(given, dict):
            what, fix = f"{key}: there may be several", f"Write [[{key}]] with two brackets on each side."
        case "tuple_type":
            example = f'["{given:.60}"]' if isinstance(given, str) and place[-1] != "seeds" else "[1, 2]"
            what = f"{key}: give a list, as in {example}, not {said}"
        case "model_type" | "model_attributes_type" if is_table and isinstance(given, list):
            what, fix = f"{key}: there is only one", f"Write [{key}] with one bracket on each side."
        case "union_tag_invalid" if place[0] == "merge" and len(place) == 2:
            method = str(problem["ctx"]["tag"])
            what, place = f"{key}.method: there is no merge method {method!r:.60}", (*place, "method")
            fix = _METHOD_HINTS.get(method) or nearest_text(method, METHODS)
        case "literal_error":
            what = f"{key}: there is no {said}"
            known = re.findall("'([^']*)'", problem["ctx"]["expected"])
            fix = nearest_text(given, known)
        case "model_type" | "model_attributes_type" if place[0] == "models":
            what = f'{key}: give a path in quotes, as in "models/a.safetensors", not {said}'
        case _:
            what, fix = _in_words(key, problem), _mend(problem, place, given) or fix
    return what, line_of(text, place) or "", fix


def _mend(problem: Mapping[str, Any], place: Sequence[str | int], given: Any) -> str:
    """Return how to mend a value that cannot be used; empty where its words say so."""
    if not place:  # of the file as a whole
        return ""
    if place[0] == "merge" and _OTHER_NAMES.get(str(place[-1])) in Range.model_fields:
        return "A range is written { low = 0.0, high = 1.0, step = 0.05 }."
    match problem["type"]:
        case "multiple_of" if isinstance(given, int):
            step = int(problem["ctx"]["multiple_of"])
            return f"The nearest are {given - given % step} and {given - given % step + step}."
        case "float_parsing" if re.fullmatch(r"\s*\d+([.,]\d+)?\s*%\s*", str(given)):
            share = float(str(given).strip(" %").replace(",", ".")) / 100
            return f"Write a share as a number from 0 to 1, without quotes: {share:g}."
        case "int_parsing" if sides := re.fullmatch(r"(\d+) ?[xX*×] ?(\d+)", str(given)):
            return f"Each side has a key of its own: width = {sides[1]} and height = {sides[2]}."
        case "too_long" if place[0] == "merge" and place[-1] == "models":
            return 'For more models take method = "average", or merge the result in a further [[merge]].'
        case "greater_than_equal" if "seeds" in place:
            return "Elsewhere -1 means a random seed; here every ratio uses the same seeds: give numbers."
        case "string_type" if place[-1] == "text" and isinstance(given, list):
            return "Write a [[prompt]] for each text."
        case "string_pattern_mismatch" if place[0] == "merge" and "models" in place:
            return 'Steps call models by their names under [models], as in models = ["a", "b"].'
        case _ if place[-1] == "clip_skip" and isinstance(given, int) and given < 0:
            return f"ComfyUI counts from the end: its {given} is {-given} here."
    return ""


def _in_words(key: str, problem: Mapping[str, Any]) -> str:
    words = in_words(problem)
    words += "" if isinstance(problem["input"], (dict, Table)) else f", got {problem['input']!r:.60}"
    return f"{key}: {words}" if key else words[0].upper() + words[1:]


def _keys(loc: tuple[str | int, ...]) -> list[str | int]:
    """Return a problem's place in the file, without pydantic's tags."""
    loc = tuple(part for part in loc if part != "[key]")  # pydantic's own, of a table's key
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
    return _ELSEWHERE.get(own or plain) or nearest_key(name, known)


def _known_keys(loc: tuple[str | int, ...], tables: Mapping[str, type[Table]]) -> list[str]:
    """Return the keys that the table at this place may have."""
    if loc and loc[-1] == "range":
        return list(Range.model_fields)
    if len(loc) == 3 and loc[0] == "merge":
        return list(METHODS[str(loc[2])].model_fields)
    named = ".".join(part for part in loc if isinstance(part, str))
    fields = (tables[named] if named in tables else tables[str(loc[0])]).model_fields
    return [name for name, field in fields.items() if field.repr]
