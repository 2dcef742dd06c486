"""Guidance in A1111's text, under the names that extensions of web UIs write.

Of which program a name is, and what it stands for: PAG and the smoothed queries of sd-webui-incantations,
smoothed-energy guidance of sd-perturbed-attention (Forge), FreeU of sd-webui-freeu and of Forge, dynamic
thresholding of sd-dynamic-thresholding and of Forge.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from gridsearch.render.denoise.sampling import MIDDLE, UNLIMITED, Sampling

INFINITE_EXPONENT = 11.0  # the end of sd-webui-incantations' slider, which is for infinite blur (above 10.5)
PAG_OF_A1111 = f"{MIDDLE}.0"  # the one layer that sd-webui-incantations perturbs
_STAGES, _FACTORS = "FreeU Stages", ("backbone_factor", "skip_factor")
_DYNTHRES = {
    "mimic_scale": "mimic_scale",
    "threshold_percentile": "mimic_percentile",
    "separate_feature_channels": "mimic_per_channel",
    "interpolate_phi": "mimic_phi",
}
# What says that a group of names has an effect -> the names, and our settings.
_GROUPS: dict[str, dict[str, str]] = {
    "seg_enabled": {"seg_scale": "seg_scale", "seg_blur_sigma": "seg_sigma"},
    "SEG Active": {"SEG Blur Sigma": "query_blur"},
    "PAG Active": {"PAG SANF": "sanf"},
    "freeu_enabled": {name: name for name in ("freeu_b1", "freeu_b2", "freeu_s1", "freeu_s2")},
    "dynthres_enabled": {f"dynthres_{name}": own for name, own in _DYNTHRES.items()},
    "Dynamic thresholding enabled": {
        "Mimic scale": "mimic_scale",
        "Threshold percentile": "mimic_percentile",
        "Separate Feature Channels": "mimic_per_channel",
        "Interpolate Phi": "mimic_phi",
    },
    "CFG Interval Enable": {"CFG Interval Low": "cfg_sigma_low", "CFG Interval High": "cfg_sigma_high"},
}
# What a group means beside its names.
_IMPLIED = {"PAG Active": {"pag_layers": PAG_OF_A1111}, "freeu_enabled": {"freeu_version": "2"}}
# Names whose values mean something else than ours do.
_VALUES: dict[str, Callable[[str], Any]] = {
    "seg_blur_sigma": lambda text: UNLIMITED if float(text) < 0 else text,
    "SEG Blur Sigma": lambda text: _sigma(float(text)),
    "Threshold percentile": lambda text: float(text) / 100,
    "dynthres_separate_feature_channels": lambda text: text.lower() == "enable",
}


def guidance_text(sampling: Sampling) -> dict[str, Any]:
    """Return what a picture says of its guidance, beside the guidance and its rescaling; off is not said."""
    said: dict[str, Any] = {}
    if sampling.cfg_sigma_low > 0 or sampling.cfg_sigma_high < UNLIMITED:
        said |= {"CFG Interval Enable": True, "CFG Interval Schedule": "Constant"}
        said |= _named(sampling, "CFG Interval Enable")
    if sampling.pag_scale > 0:
        said["PAG scale"] = sampling.pag_scale
        said |= {} if sampling.pag_layers == MIDDLE else {"PAG layers": sampling.pag_layers}
    if sampling.seg_scale > 0:
        sigma = -1 if sampling.seg_sigma >= UNLIMITED else sampling.seg_sigma
        said |= {"seg_enabled": True, "seg_scale": sampling.seg_scale, "seg_blur_sigma": sigma}
        said |= {"seg_block": "middle", "seg_block_id": 0}
    if sampling.query_blur > 0:
        is_infinite = sampling.query_blur >= UNLIMITED
        exponent = INFINITE_EXPONENT if is_infinite else math.log2(sampling.query_blur)
        said |= {"SEG Active": True, "SEG Blur Sigma": exponent, "SEG Start Step": 0, "SEG End Step": 2048}
    if sampling.sanf:
        said["PAG SANF"] = True
    stages = ((sampling.freeu_b1, sampling.freeu_s1), (sampling.freeu_b2, sampling.freeu_s2))
    if any(pair != (1, 1) for pair in stages):
        said[_STAGES] = json.dumps([dict(zip(_FACTORS, pair, strict=True)) for pair in stages])
        said |= {"FreeU Schedule": "0.0, 1.0, 0.0", "FreeU Version": sampling.freeu_version}
    if sampling.mimic_scale > 0:
        said |= {"dynthres_enabled": True, **_named(sampling, "dynthres_enabled")}
        said["dynthres_separate_feature_channels"] = "enable" if sampling.mimic_per_channel else "disable"
        said |= {"dynthres_mimic_mode": "Constant", "dynthres_cfg_mode": "Constant"}
        said |= {"dynthres_scaling_startpoint": "MEAN", "dynthres_variability_measure": "AD"}
    return said


def _named(sampling: Sampling, group: str) -> dict[str, Any]:
    return {name: getattr(sampling, own) for name, own in _GROUPS[group].items()}


def guidance_said(others: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Return what settings of a picture's text say of guidance: our settings, and the names that said it."""
    found: dict[str, str] = {}
    names: set[str] = set()
    for active, group in _GROUPS.items():
        is_on = not _is_off(others.get(active, ""))
        is_none = active == "PAG Active" and _is_off(others.get("PAG Scale", "1"))
        names |= {active, *group}
        for name, own in group.items() if is_on or active == "PAG Active" else ():
            if name in others:
                found[own] = _value(name, others[name])
        found |= _IMPLIED.get(active, {}) if is_on and not is_none else {}
    if "PAG layers" in others:
        found["pag_layers"] = others["PAG layers"]
    if stages := _stages(others.get(_STAGES, "")):
        found |= stages | {"freeu_version": others.get("FreeU Version", "1")}
        names.add(_STAGES)
    return found, names | {"PAG layers", "FreeU Version"}


def _sigma(exponent: float) -> float:
    """Return the sigma that sd-webui-incantations makes of its slider's value; at 0 it does nothing."""
    return UNLIMITED if exponent > 10.5 else 2**exponent if exponent else 0.0


def _is_off(text: str) -> bool:
    return text.lower() in ("", "false", "0", "0.0")


def _value(name: str, text: str) -> str:
    try:
        value = _VALUES.get(name, str)(text)
        return f"{value:g}" if isinstance(value, float) else str(value)
    except (ValueError, OverflowError):  # no number
        return text


def _stages(text: str) -> dict[str, str]:
    """Return the weights of the stages of FreeU; none where one has other settings, or is a third."""
    try:
        stages = json.loads(text)
        first, second = ([*stages, {}, {}])[:2]
        if any(stages[2:]) or {*first, *second} - {*_FACTORS}:
            return {}
        factors = [str(float(stage.get(name, 1))) for stage in (first, second) for name in _FACTORS]
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError):  # not as it is written
        return {}
    return dict(zip(("freeu_b1", "freeu_s1", "freeu_b2", "freeu_s2"), factors, strict=True))
