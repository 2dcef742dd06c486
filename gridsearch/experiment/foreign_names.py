"""The names of settings in prompt files: compared with `[render]`, without effect, or not done here.

A setting is named as A1111 and its extensions write it, or as the program does where A1111 has no name for
it. One that is in none of these tables is not known here, and is told of under its own name.
"""

from collections.abc import Iterator, Mapping

from gridsearch.render.denoise.guidance.text import guidance_said
from gridsearch.render.denoise.hires import hires_said
from gridsearch.render.pictures import FLOW_MODE, MODE_OF_FLOW, SHIFT

# A1111's names of what `[render]` has, and other programs' for the same; the first that is there counts.
STEPS, CFG, CLIP_SKIP = ("steps", "Steps"), ("cfg_scale", "CFG scale"), ("Clip skip",)
SAMPLER, SCHEDULE = ("sampler_name", "Sampler"), ("Schedule type",)
PAG_SCALE = ("PAG scale", "PAG Scale", "PAG_scale", "pag_scale", "PerturbedAttentionGuidance_scale")
CFG_RESCALE = ("CFG rescale", "Rescale CFG", "latent_modifier_rescale_cfg_phi")
SPACING, UNCONDITIONAL = ("Timestep spacing",), ("Unconditional",)
ORIGINAL_SIZE, CROP, TARGET_SIZE = ("Original size",), ("Crop",), ("Target size",)
SHIFTS = (SHIFT, "Shift", "sigmashift")
ZERO_SNR = ("Noise Schedule", "Zero terminal SNR")
COMPARED = {
    *(*STEPS, *CFG, *CLIP_SKIP, *SAMPLER, *SCHEDULE, *PAG_SCALE, *CFG_RESCALE, *SPACING, *UNCONDITIONAL),
    *(*SHIFTS, *ORIGINAL_SIZE, *CROP, *TARGET_SIZE, *ZERO_SNR, "width", "height", "Size", "RNG"),
}

# Settings that change no picture, or only with another that is in these tables.
HARMLESS = {
    *("Model", "Model hash", "VAE hash", "Refiner hash", "Hashes", "Lora weights", "Version", "App", "User"),
    *("Batch", "Batch size", "Batch pos", "Index", "Script", "Pipeline", "Operations", "Comment"),
    *(
        "Civitai resources",
        "Civitai metadata",
        "Created Date",
        "Wildcard prompt",
        "Wildcard negative prompt",
        "Variation seed",
        "Mask mode",
    ),
    *("Raw prompt", "Raw negative prompt", "Performance", "Scheduler", "Refiner Swap Method"),
    *("TIPO Parameters", "TIPO prompt", "TIPO nl prompt", "TIPO format"),
    *("advanced_sampling_enabled", "PAG_enabled", "pag_enabled", "PerturbedAttentionGuidance_enabled"),
    # of modes that are not constant
    *("dynthres_mimic_scale_min", "dynthres_cfg_scale_min", "dynthres_sched_val", "dynthres_simple_mode"),
    *("X Type", "X Values", "Fixed X Values", "Y Type", "Y Values", "Fixed Y Values", "Z Type", "Z Values"),
    *("Fixed Z Values", "Prediction type", "Recipe", "Drawn on", "Reduced from"),  # those of our own pictures
    *("prompt_for_display", "sd_model", "outpath_samples", "outpath_grids", "do_not_save_samples"),
    *("do_not_save_grid", "batch_size", "n_iter", "subseed"),
}

# What is not done here and has several settings: its name, and how those begin.
FAMILIES = {
    "SANF": ("PAG SANF", "SEG SANF"),
    "SEG": ("SEG ", "seg_"),
    "PAG": ("PAG ", "pag_"),
    "SAG": ("SAG ", "sag_", "SelfAttentionGuidance"),
    "FreeU": ("FreeU", "freeu"),
    "hires fix": ("Hires ", "HiRes ", "First pass size"),
    "img2img": ("Denoising strength", "Init image", "Mask", "Inpaint", "Image CFG scale", "Resize mode"),
    "refiner": ("Refine", "refiner"),
    "ADetailer": ("ADetailer ",),
    "Detailer": ("Detailer",),
    "ControlNet": ("ControlNet", "Controlnet", "controlnet"),
    "IP-Adapter": ("IP-Adapter",),
    "LoRA": ("Lora", "AddNet "),
    "textual inversion": ("TI", "Embeddings", "Used embeddings"),
    "dynamic thresholding": (
        *("dynthres_", "Dynamic thresholding", "Mimic "),
        *("Scaling Startpoint", "Variability Measure"),
    ),
    "latent modifier": ("latent_modifier_",),
    "guidance interval": ("CFG Interval ",),
    "HyperTile": ("Hypertile", "HyperTile", "hypertile"),
    "Kohya hires fix": ("kohya_hrfix",),
    "tiled diffusion": ("Tiled Diffusion", "Tiled diffusion", "MultiDiffusion"),
    "regional prompts": ("RP ", "Regional", "regional"),
    "face restoration": ("Face restoration", "restore_faces"),
    "tiling": ("Tiling", "tiling"),
    "styles": ("Styles", "styles"),
}

# Values with which a setting changes nothing: of any, and of single ones.
OFF = {"", "0", "-1", "-1x-1", "false", "none", "disable", "automatic", "default (model)"}
OFF_AT = {
    FLOW_MODE: MODE_OF_FLOW.lower(),  # compared as the prediction type
    "Emphasis": "original",
    "Denoising strength": "1",
    "Eta": "1",  # of the ancestral samplers
    "Sigma noise": "1",
    "Noise multiplier": "1",
    "Hires Module 1": "use same choices",  # of Forge
    "PAG Lerp Factor": "1",
    # of guidance: as `render.denoise.guidance` does it
    **dict.fromkeys(("seg_block", "pag_block"), "middle"),
    **dict.fromkeys(("seg_rescale_mode", "pag_rescale_mode"), "full"),
    "freeu_end": "1",
    "FreeU Schedule": "0.0, 1.0, 0.0",
    **dict.fromkeys(("CFG Interval Schedule", "dynthres_mimic_mode", "dynthres_cfg_mode"), "constant"),
    **dict.fromkeys(("Scaling Startpoint", "dynthres_scaling_startpoint"), "mean"),
    **dict.fromkeys(("Variability Measure", "dynthres_variability_measure"), "ad"),
}


def not_done(others: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what these settings ask for that is not done here: its name, and its value if it has just one."""
    hires = any(name.startswith(FAMILIES["hires fix"]) for name in others)
    done = hires_said(others)[1]
    said = done | guidance_said(others)[1]
    for name, value in others.items():
        if name in COMPARED or name in HARMLESS or plain(value) in {*OFF, OFF_AT.get(name)} or name in said:
            continue
        if name in ("PAG End Step", "SEG End Step") and _is_whole(value, others):
            continue
        if name == "Denoising strength" and hires:  # A1111 writes it with either
            continue
        if name == "Hires CFG Scale" and plain(value) == plain(others.get(CFG[1], "")):
            continue
        family = next((family for family, begins in FAMILIES.items() if name.startswith(begins)), None)
        yield (family, "") if family and not (family == "hires fix" and done) else (name, value)


def _is_whole(end: str, others: Mapping[str, str]) -> bool:
    """Return whether what ends after so many steps goes on to the last one."""
    steps = others.get(STEPS[1], "")
    return end.isdecimal() and (not steps.isdecimal() or int(end) + 1 >= int(steps))


def plain(value: str) -> str:
    """Return a value in a form in which 7 equals 7.0, and `Euler A` equals `Euler a`."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return " ".join(value.lower().split())
