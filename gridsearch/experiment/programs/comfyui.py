r"""ComfyUI's pictures: the graph that drew them, in a PNG's `prompt`, or in EXIF after `prompt:`.

The prompt is that of the sampler that begins with noise; its links lead to the text encoders. What changes
the picture on the way, and what is done with it afterwards, is named among the settings. Square brackets are
text to ComfyUI, so they are written `\[` and `\]` here.

Sources of the format: ComfyUI's `nodes.py` and `comfy_extras/nodes_custom_sampler.py`.
"""

import re
from collections.abc import Iterator

from gridsearch.experiment.programs.comfyui_graph import COMFYUI, DRAWN, Graph, GraphNode, read_graph
from gridsearch.experiment.programs.fields import Fields, drawn
from gridsearch.experiment.programs.names import comfy_names, comfy_unconditional
from gridsearch.render.pictures import FLOW_MODE, MODE_OF_FLOW, SHIFT, Infotext

# Inputs by which a sampler is known, and those that lead from it, or from a saved image, to what came before.
_SEEDS = ("seed", "noise_seed", "noise")
_BEFORE = ("latent_image", "latent", "samples", "optional_latent", "image", "images", "pixels")
_SIZES = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
_SAVES = "filename_prefix"  # an input of the nodes that save images
_JOINED = (("conditioning_to", "conditioning_from"), ("conditioning_1", "conditioning_2"))
_CONCATENATED = "ConditioningConcat"  # does what BREAK does
_ZEROS = "ConditioningZeroOut"
_MOST_JOINED = 5  # joins one after the other, each of which may double the texts
_ENCODERS = ("CLIPTextEncode",)
_PARSING = "smZ CLIPTextEncode"  # an encoder with parsers of other programs
_KNOWING = ("A1111", "full", "compel")  # those to which square brackets mean something
_BRACKET = re.compile(r"(?<!\\)[\[\]]")
_WEIGHT = re.compile(r"(?<!\\)\(")


def read_comfyui(fields: Fields) -> Infotext:
    """Return what a picture of ComfyUI was drawn with, from its graph.

    Raises:
        BadInput: no sampler begins with noise, or several do; or its prompt or seed is computed.
    """
    graph = read_graph(fields)
    samplers = [node for node in graph.nodes.values() if _is_sampler(graph, node)]
    sampler = _first(graph, samplers)
    guider = graph.linked(sampler, "guider") or sampler
    passed: list[str] = []
    prompt, negative = (_prompt(graph, guider, role, passed) for role in ("positive", "negative"))
    settings = {
        **_sampling(graph, sampler, guider),
        "Seed": graph.value(graph.linked(sampler, "noise") or sampler, "seed", "noise_seed"),
        "RNG": "CPU",
        "Unconditional": comfy_unconditional(negative, _ZEROS in passed),
        **_model(graph, guider),
        "Conditioning": ", ".join(kind for kind in dict.fromkeys(passed) if kind != _ZEROS),
        "Other samplers": ", ".join(node.kind for node in samplers if node is not sampler),
        "Image nodes": ", ".join(_afterwards(graph, sampler)),
        "Emphasis": COMFYUI if _WEIGHT.search(prompt + negative) and _PARSING not in passed else "",
    }
    return drawn(COMFYUI, prompt, negative, settings)


def _escaped(prompt: str, parser: str = "") -> str:
    """Return a prompt with backslashes before square brackets, unless its parser is one that knows them."""
    return prompt if parser.startswith(_KNOWING) else _BRACKET.sub(r"\\\g<0>", prompt)


# -- the sampler


def _is_sampler(graph: Graph, node: GraphNode) -> bool:
    guider = graph.linked(node, "guider") or node
    return any(name in node for name in _SEEDS) and ("positive" in guider or "conditioning" in guider)


def _first(graph: Graph, samplers: list[GraphNode]) -> GraphNode:
    """Return the sampler that begins with noise and leads to what was saved."""
    ids = {node.id for node in samplers}
    found = [node for node in samplers if not any(one.id in ids for one in graph.along(node, *_BEFORE))]
    if len(found) > 1:
        leading = {one.id for saved in _saved(graph) for one in graph.along(saved, *_BEFORE)}
        found = [node for node in found if node.id in leading] or found
    if len(found) != 1:
        many = (
            f"Its graph has {len(found)} samplers that begin with noise, and any may have drawn the picture."
        )
        raise graph.fields.refused(many if found else "Its graph has no sampler with a seed and a prompt.")
    return found[0]


def _saved(graph: Graph) -> list[GraphNode]:
    return [node for node in graph.nodes.values() if _SAVES in node]


def _sampling(graph: Graph, sampler: GraphNode, guider: GraphNode) -> dict[str, str]:
    """Return the settings of a sampler, which may be spread over several nodes."""
    chosen = graph.linked(sampler, "sampler") or sampler
    sigmas = graph.linked(sampler, "sigmas") or sampler
    return {
        "Steps": graph.setting(sigmas, "steps"),
        **comfy_names(graph.setting(chosen, "sampler_name"), graph.setting(sigmas, "scheduler")),
        "CFG scale": graph.setting(guider, "cfg"),
        "Size": next(_sizes(graph, sampler), ""),
        "Denoising strength": graph.setting(sigmas, "denoise"),
    }


def _sizes(graph: Graph, sampler: GraphNode) -> Iterator[str]:
    for node in graph.along(sampler, *_BEFORE):
        for width, height in _SIZES:
            if width in node and height in node:
                yield f"{graph.setting(node, width)}x{graph.setting(node, height)}"


def _afterwards(graph: Graph, sampler: GraphNode) -> Iterator[str]:
    """Yield the nodes between the sampler and the first image that was saved of it."""
    for saved in _saved(graph):
        way = list(graph.along(saved, *_BEFORE))
        if sampler in way:
            after = way[: way.index(sampler)]
            yield from (one.kind for one in after if "Decode" not in one.kind and not _is_sampler(graph, one))
            return


# -- what it is given


def _prompt(graph: Graph, guider: GraphNode, role: str, passed: list[str]) -> str:
    """Return the prompt that an input of a guider leads to; `passed` gets the nodes on the way."""
    name = role if role in guider else "conditioning" if role == "positive" else ""
    encoder = graph.linked(guider, name)
    return (
        _encoded(graph, encoder, role, passed, _MOST_JOINED)
        if encoder
        else _escaped(graph.text(guider, name))
    )


def _encoded(graph: Graph, node: GraphNode, role: str, passed: list[str], joins: int) -> str:
    """Return the text of a conditioning: that of its text encoder, or of those that are joined."""
    for before in (node, *graph.along(node, role, "conditioning")):
        if "text" in before and ("clip" in before or before.kind in _ENCODERS):
            passed += [before.kind] if before.kind not in _ENCODERS else []
            return _escaped(graph.text(before, "text"), graph.setting(before, "parser"))
        if "text_g" in before or "text_l" in before:
            return _escaped(_of_both(graph, before))
        if "clip" in before and DRAWN in before:
            passed.append(before.kind)
            return _escaped(graph.text(before, DRAWN))
        if isinstance(before.inputs.values.get(role), str):
            return _escaped(graph.text(before, role))  # a loader that has the prompts too
        if before.kind == _ZEROS:
            passed.append(_ZEROS)
            return ""
        if both := next((pair for pair in _JOINED if all(name in before for name in pair)), None):
            if before.kind != _CONCATENATED or not joins:
                raise graph.fields.refused(f"Its {before.kind[:60]} mixes several prompts.")
            parts = filter(None, (graph.linked(before, name) for name in both))
            texts = (_encoded(graph, part, role, passed, joins - 1) for part in parts)
            return graph.joined("\nBREAK\n", texts)
        passed.append(before.kind)
    raise graph.fields.refused(f"Its {role} prompt leads to no text, but to {passed[-1][:60]!r}.")


def _of_both(graph: Graph, encoder: GraphNode) -> str:
    """Return the text that both of SDXL's text encoders are given."""
    texts = {graph.text(encoder, name) for name in ("text_g", "text_l") if name in encoder} - {""}
    if len(texts) > 1:
        raise graph.fields.refused(
            "Its two text encoders are given different prompts, which is not supported."
        )
    return "".join(texts)


def _model(graph: Graph, guider: GraphNode) -> dict[str, str]:
    """Return the settings of the nodes between the checkpoint and the sampler, and of the other loaders."""
    said: dict[str, str] = {}
    loras, patches = [], []
    for node in graph.along(guider, "model"):
        match node.kind:
            case "RescaleCFG":
                said["CFG rescale"] = graph.setting(node, "multiplier")
            case "PerturbedAttentionGuidance":
                said["PAG scale"] = graph.setting(node, "scale")
            case "ModelSamplingDiscrete":
                zero = graph.setting(node, "zsnr") == "True"
                said["Noise Schedule"] = "Zero Terminal SNR" if zero else ""
            case "ModelSamplingSD3":
                said |= {FLOW_MODE: MODE_OF_FLOW, SHIFT: graph.setting(node, "shift")}
            case _ if "lora_name" in node:
                loras.append(graph.setting(node, "lora_name"))
            case _ if "model" in node:
                patches.append(node.kind)
    for node in graph.nodes.values():
        if "stop_at_clip_layer" in node:
            said["Clip skip"] = graph.setting(node, "stop_at_clip_layer").removeprefix("-")
        if node.kind == "VAELoader":
            said["VAE"] = graph.setting(node, "vae_name")
    return {**said, "Lora": ", ".join(loras), "Model patches": ", ".join(patches)}
