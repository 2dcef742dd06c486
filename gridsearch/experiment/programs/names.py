"""The names that programs have for samplers and noise schedules, and A1111's for the same."""

from collections.abc import Mapping

# ComfyUI's samplers (comfy/samplers.py), which SwarmUI and Fooocus have too.
COMFY_SAMPLERS = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_gpu": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_sde_gpu": "DPM++ SDE",
    "ddim": "DDIM",
    "uni_pc": "UniPC",
    "uni_pc_bh2": "UniPC",
    "lcm": "LCM",
}
COMFY_SCHEDULES = {
    "normal": "Uniform",
    "karras": "Karras",
    "exponential": "Exponential",
    "simple": "Simple",
    "sgm_uniform": "SGM Uniform",
    "ddim_uniform": "DDIM",
    "beta": "Beta",
}
# InvokeAI's schedulers (stable_diffusion/schedulers/schedulers.py); a `_k` at the end is for Karras.
INVOKE_SAMPLERS = {
    "euler": "Euler",
    "euler_a": "Euler a",
    "heun": "Heun",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "ddim": "DDIM",
    "unipc": "UniPC",
    "lcm": "LCM",
}
NOVELAI_SAMPLERS = {
    "k_euler": "Euler",
    "k_euler_ancestral": "Euler a",
    "k_dpmpp_2m": "DPM++ 2M",
    "k_dpmpp_2m_sde": "DPM++ 2M SDE",
    "k_dpmpp_sde": "DPM++ SDE",
    "ddim": "DDIM",
    "ddim_v3": "DDIM",
}
# diffusers' classes, and the names of sd-scripts (gen_img.py, sdxl_gen_img.py).
DIFFUSERS_SAMPLERS = {
    "eulerdiscretescheduler": "Euler",
    "eulerancestraldiscretescheduler": "Euler a",
    "heundiscretescheduler": "Heun",
    "dpmsolvermultistepscheduler": "DPM++ 2M",
    "dpmsolversdescheduler": "DPM++ SDE",
    "ddimscheduler": "DDIM",
    "unipcmultistepscheduler": "UniPC",
    "lcmscheduler": "LCM",
    "tcdscheduler": "TCD",
}
KOHYA_SAMPLERS = {"k_euler": "Euler", "k_euler_a": "Euler a", "dpmsolver++": "DPM++ 2M"}
NOVELAI_SCHEDULES = {"native": "Uniform", "karras": "Karras", "exponential": "Exponential"}


def comfy_names(sampler: str, schedule: str) -> dict[str, str]:
    """Return A1111's settings for a sampler and a noise schedule of ComfyUI."""
    return {
        "Sampler": a1111_name(sampler, COMFY_SAMPLERS),
        "Schedule type": a1111_name(schedule, COMFY_SCHEDULES),
    }


def comfy_unconditional(negative: str, zeros: bool) -> str:
    """Return what stands in the place of an empty negative prompt; ComfyUI encodes it like any other."""
    return "" if negative else "zeros" if zeros else "empty"


SAMPLERS_ELSEWHERE = {
    **NOVELAI_SAMPLERS,
    **COMFY_SAMPLERS,
    **INVOKE_SAMPLERS,
    **{
        f"{name}_k": f"{title} Karras" for name, title in INVOKE_SAMPLERS.items() if title.startswith("DPM++")
    },
    **DIFFUSERS_SAMPLERS,
    **KOHYA_SAMPLERS,
}


def known_sampler(name: object) -> object:
    """Return A1111's name of a sampler that another program named, in any case; anything else as it is."""
    return SAMPLERS_ELSEWHERE.get(name.lower(), name) if isinstance(name, str) else name


def known_schedule(name: object) -> object:
    """Return the same of a noise schedule."""
    return COMFY_SCHEDULES.get(name.lower(), name) if isinstance(name, str) else name


def a1111_name(name: str, names: Mapping[str, str]) -> str:
    """Return A1111's name, or the name itself where A1111 has none."""
    return names.get(name, name)
