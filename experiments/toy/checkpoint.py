"""Writing a checkpoint in SDXL's original single-file layout, and the folder that loads it offline."""

import torch
from diffusers import StableDiffusionXLPipeline
from models import SIZE, write_json

from gridsearch.checkpoint.header import TensorInfo
from gridsearch.checkpoint.ldm.layout import file_views
from gridsearch.merge.export.export import write_safetensors

SPELT = {"v_prediction": "v", "flow": "sd3"}  # as the model spec and SwarmUI spell them


def write_checkpoint(path, pipeline, title, prediction_type):
    """fp16, with the marker keys that ComfyUI and A1111 read for v-prediction."""
    tensors = {
        key: torch.cat([part.view.detach() for part in parts]).to("cpu", torch.float16).contiguous()
        for key, parts in file_views(pipeline.components).items()
    }
    if prediction_type == "v_prediction":
        tensors |= {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    metadata = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": title,
        "modelspec.resolution": f"{SIZE}x{SIZE}",
        "modelspec.prediction_type": SPELT.get(prediction_type, prediction_type),
    }
    # Not with safetensors' own writer, which orders the metadata anew each time: same weights, same bytes.
    entries = {
        key: TensorInfo("F16" if tensor.dtype == torch.float16 else "F32", tuple(tensor.shape))
        for key, tensor in tensors.items()
    }
    write_safetensors(path, entries, iter(tensors.values()), metadata)


def write_config(folder, pipeline):
    """Everything `from_single_file(..., config=folder, local_files_only=True)` reads but weights."""
    write_json(
        folder / "model_index.json",
        {"_class_name": "StableDiffusionXLPipeline"}
        | {key: value for key, value in pipeline.config.items() if key != "_name_or_path"},
    )
    pipeline.scheduler.save_config(folder / "scheduler")
    for name in ("unet", "vae"):
        getattr(pipeline, name).save_config(folder / name)
    for name in ("text_encoder", "text_encoder_2"):
        getattr(pipeline, name).config.save_pretrained(folder / name)


def load(path, config):
    return StableDiffusionXLPipeline.from_single_file(
        path,
        config=str(config),
        local_files_only=True,
        add_watermarker=False,
    )
