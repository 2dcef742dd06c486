"""Writing the tiny checkpoints in the original single-file layout, and the folder that loads them offline."""

import json
import shutil

import torch
from models import SIZE, write_json

from gridsearch.checkpoint.header import TensorInfo
from gridsearch.checkpoint.ldm.layout import file_views
from gridsearch.checkpoint.sd15.family import SD15
from gridsearch.merge.export.export import write_safetensors


def write_files(path, pipe, unet, prediction_type):
    """fp16, with the VAE and the first text encoder of the tiny SDXL in `pipe`."""
    components = {"unet": unet, "vae": pipe.vae, "text_encoder": pipe.text_encoder}
    tensors = {
        key: torch.cat([part.view.detach() for part in parts]).to("cpu", torch.float16).contiguous()
        for key, parts in file_views(components).items()
    }
    said = {"epsilon": "epsilon", "v_prediction": "v"}[prediction_type]
    entries = {key: TensorInfo("F16", tuple(tensor.shape)) for key, tensor in tensors.items()}
    if said == "v":
        for marker in ("v_pred", "ztsnr"):
            tensors[marker], entries[marker] = torch.zeros(0), TensorInfo("F32", (0,))
    metadata = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": SD15.architecture,
        "modelspec.implementation": "https://github.com/CompVis/stable-diffusion",
        "modelspec.title": f"toy SD 1.5 {path.stem}",
        "modelspec.resolution": f"{SIZE}x{SIZE}",
        "modelspec.prediction_type": said,
    }
    write_safetensors(path, entries, iter(tensors.values()), metadata)


def write_config(folder, sdxl, unet):
    """The component configs: the tiny SDXL's, but for the UNet's and for what SD 1.5 does not have."""
    for name in ("scheduler", "text_encoder", "tokenizer", "vae"):
        shutil.copytree(sdxl / name, folder / name, dirs_exist_ok=True)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    write_json(scheduler, json.loads(scheduler.read_text()) | {"steps_offset": 1})  # as SD 1.5 has it
    unet.save_config(folder / "unet")
    write_json(folder / "model_index.json", json.loads((SD15.configs / "model_index.json").read_text()))
