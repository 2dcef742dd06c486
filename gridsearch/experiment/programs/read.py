"""The prompt and settings of a picture: its texts tell which program made it, whose module reads them."""

import re
from collections.abc import Mapping
from pathlib import Path

from gridsearch.base.embedded import embedded_texts, main_text
from gridsearch.base.errors import BadInput
from gridsearch.experiment.programs.civitai import EXTRA, read_civitai
from gridsearch.experiment.programs.comfyui import read_comfyui
from gridsearch.experiment.programs.comfyui_graph import COMFYUI
from gridsearch.experiment.programs.fields import BY_HAND, Fields, read_json
from gridsearch.experiment.programs.fooocus import read_fooocus, read_ruined_fooocus
from gridsearch.experiment.programs.invokeai import INVOKEAI, read_dream, read_invokeai, read_invokeai_2
from gridsearch.experiment.programs.novelai import NOVELAI, read_novelai
from gridsearch.experiment.programs.swarmui import SWARM_PARAMS, read_swarmui
from gridsearch.render.pictures import Infotext, is_settings_line, read_parameters, within_limit

SWARMUI, FOOOCUS, RUINED_FOOOCUS, CIVITAI = "SwarmUI", "Fooocus", "RuinedFooocus", "Civitai"
UNKNOWN = "an unknown program"
_OBJECT = re.compile(r'\s*\{\s*["}]')
_GRAPH = "prompt:"  # before ComfyUI's graph in EXIF
_STEPS = re.compile(r"\s*Steps:\s*\d+\s*(?:[,|]|$)")
# Texts of programs that are known and not read.
_FOREIGN = {
    "negative_prompt": "Easy Diffusion",
    "Negative Prompt": "Easy Diffusion",
    "generation_data": "Tensor.Art",
    "invokeai": "a test version of InvokeAI 3",
}


def read_picture(path: Path) -> Infotext:
    """Return what a picture was drawn with; its settings have A1111's names where these have them.

    Raises:
        BadInput: the file is not a picture, has no such text, or has one that cannot be read.
    """
    texts = embedded_texts(path)
    text = main_text(texts)
    if text and not _is_object(text):
        return _of_a1111(text, path)
    # of a camera, by the standard; SwarmUI and ComfyUI once wrote theirs there
    model = texts.get("Model", "")
    if _is_object(text) or _is_object(model):
        return _of_json(text or model, texts, path)
    graph = {"prompt": model.removeprefix(_GRAPH)} if model.startswith(_GRAPH) else {}
    return _of_chunks(texts | graph, path)


def _is_object(text: str) -> bool:
    """Return whether a text is meant to be a JSON object; before settings it is a prompt."""
    return bool(_OBJECT.match(text)) and not is_settings_line(text.rstrip().rpartition("\n")[2])


def _of_a1111(text: str, where: Path) -> Infotext:
    """Return what a text of A1111, or of a program that writes the same, says."""
    said = read_parameters(within_limit(text, where))
    if line := next(filter(_STEPS.match, f"{said.prompt}\n{said.negative}".split("\n")), None):
        what = "The picture's text has settings that cannot be told from its prompt."
        why = (
            "Lines that are not known follow them."
            if is_settings_line(line)
            else "There are too few of them."
        )
        raise BadInput(what, where=where, why=why, fix=BY_HAND)
    return said


def _of_json(text: str, texts: Mapping[str, str], where: Path) -> Infotext:
    """Return what the JSON in a picture's `parameters` or user comment says."""
    likely = SWARMUI if SWARM_PARAMS in text else FOOOCUS if "fooocus_scheme" in texts else UNKNOWN
    values = read_json(text, likely, where).values

    def of(program: str) -> Fields:
        return Fields(program, where, values)

    if SWARM_PARAMS in values:
        return read_swarmui(of(SWARMUI))
    if values.get("Software") == NOVELAI:
        return _of_novelai({name: value for name, value in values.items() if isinstance(value, str)}, where)
    if isinstance(values.get("uc"), str):  # of a copy without the rest of NovelAI's texts
        return read_novelai(of(NOVELAI))
    if values.get("software") == RUINED_FOOOCUS:
        return read_ruined_fooocus(of(RUINED_FOOOCUS))
    if values.keys() & {"full_prompt", "guidance_scale", "base_model"}:
        return read_fooocus(of(FOOOCUS))
    if isinstance(values.get(EXTRA), str):
        return read_civitai(read_json(values[EXTRA], CIVITAI, where))
    if isinstance(values.get("prompt"), dict):
        return read_comfyui(of(COMFYUI).inside("prompt"))
    if _is_object(str(values.get("prompt"))):
        return read_comfyui(read_json(str(values["prompt"]), COMFYUI, where))
    if any(isinstance(value, dict) and "class_type" in value for value in values.values()):
        return read_comfyui(of(COMFYUI))
    names = ", ".join(name[:20] for name in list(values)[:5]) or "nothing"
    raise of(UNKNOWN).refused(f"It is JSON with {names}.")


def _of_novelai(texts: Mapping[str, str], where: Path) -> Infotext:
    """Return what NovelAI's texts say."""
    return read_novelai(read_json(texts.get("Comment", ""), NOVELAI, where), texts.get("Description", ""))


def _of_chunks(texts: Mapping[str, str], where: Path) -> Infotext:
    """Return what the texts say that programs write under names of their own."""
    if texts.get("Software") == NOVELAI and "Comment" in texts:
        return _of_novelai(texts, where)
    if "invokeai_metadata" in texts:
        return read_invokeai(read_json(texts["invokeai_metadata"], INVOKEAI, where))
    if "sd-metadata" in texts:
        return read_invokeai_2(read_json(texts["sd-metadata"], INVOKEAI, where))
    if "Dream" in texts:
        return read_dream(texts["Dream"], where)
    if EXTRA in texts:
        return read_civitai(read_json(texts[EXTRA], CIVITAI, where))
    if _is_object(texts.get("prompt", "")):
        return read_comfyui(read_json(texts["prompt"], COMFYUI, where))
    if _is_object(texts.get("Comment", "")):
        return _of_json(texts["Comment"], texts, where)
    if "workflow" in texts:
        why = "It is the workflow of the editor, without the graph that was run."
        raise Fields(COMFYUI, where, {}).refused(why)
    if program := next((program for name, program in _FOREIGN.items() if name in texts), None):
        raise Fields(program, where, {}).refused("This program's pictures are not supported.")
    why = "A text that is hidden in its pixels (stealth PNG info) is not read."
    fix = "Use the file as the web UI saved it, or write the prompt into a .txt file."
    raise BadInput("The image contains no generation parameters.", where=where, why=why, fix=fix)
