"""Trains the tiny Stable Diffusion 1.5 checkpoints: `python experiments/toy-sd15/train.py`.

    latents -> base (epsilon) -> burnt (v, over-trained) -> files

The pictures, captions, VAE and first text encoder are those of the tiny SDXL (../toy), and its UNet is where
training begins: what the two architectures have in common is taken over, the rest is learnt. So it takes
minutes instead of an hour. Each stage leaves its result in build/ and is skipped when that is there.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.append(str(Path(__file__).resolve().parents[1] / "toy"))  # for its modules
sys.path.append(str(Path(__file__).resolve().parents[2]))  # for gridsearch, when not installed

import data
import torch
from checkpoint import load
from diffusers import UNet2DConditionModel
from files import write_config, write_files
from models import SIZE
from safetensors.torch import load_file, save_file
from unet import Course, Examples, train_unet
from vae import encode

HERE = Path(__file__).resolve().parent
SDXL_TOY = HERE.parent / "toy"
BUILD = HERE / "build"
CONFIG = HERE / "config"
TRAINING_IMAGES, TRAINING_SEED = 8192, 2000

UNET = dict(
    sample_size=SIZE // 8,
    block_out_channels=(64, 64, 48, 48),
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    attention_head_dim=(4, 4, 3, 3),
    cross_attention_dim=32,
    norm_num_groups=8,
)
COURSES = {
    "base": Course("epsilon", steps=120, seed=21, rate=0.02, hold=0.3, low_contrast=0.03),
    "burnt": Course("v_prediction", steps=70, seed=23, rate=0.01, hold=0.5, gain=1.55),
}


def parent(name):
    """A pipeline of the tiny SDXL."""
    return load(SDXL_TOY / f"{name}.safetensors", SDXL_TOY / "config")


@torch.no_grad()
def text_contexts(pipe):
    """The last hidden state of each caption, and of the empty text at the end: SD 1.5 was trained so."""
    texts = [*data.CAPTIONS, ""]
    ids = pipe.tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
    return pipe.text_encoder(ids)[0].float()


def stage_latents(device):
    pipe = parent("base")
    pixels, labels = data.draw_many(TRAINING_IMAGES, TRAINING_SEED)
    latents = encode(pipe.vae.float().to(device), pixels, device) * pipe.vae.config.scaling_factor
    contexts = text_contexts(pipe)
    return {"latents": latents, "labels": torch.from_numpy(labels), "contexts": contexts}


def grafted(theirs):
    """The tiny SDXL's parameters under this UNet's names and in its shapes; those it lacks are left out.

    SD 1.5 has a fourth, coarsest level, so its up path begins one block earlier; its attention reads one
    text encoder's width and projects by convolutions.
    """
    own = {}
    for name, tensor in theirs.items():
        parts = name.split(".")
        if parts[0] == "up_blocks":
            parts[1] = str(int(parts[1]) + 1)
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            tensor = tensor[:, : UNET["cross_attention_dim"]]
        if name.endswith(("proj_in.weight", "proj_out.weight")):
            tensor = tensor[:, :, None, None]
        own[".".join(parts)] = tensor.float()
    return own


def put(unet, tensors):
    """Overwrite the parameters that have such a name and shape."""
    state = unet.state_dict()
    fitting = {n: t for n, t in tensors.items() if n in state and t.shape == state[n].shape}
    unet.load_state_dict(state | fitting)


def first_unet():
    """A UNet that begins as the tiny SDXL's; the attention that is new begins as the identity."""
    torch.manual_seed(COURSES["base"].seed)
    unet = UNet2DConditionModel(**UNET)
    for block in (unet.down_blocks[0], unet.up_blocks[-1]):
        for attention in block.attentions:
            torch.nn.init.zeros_(attention.proj_out.weight)
            torch.nn.init.zeros_(attention.proj_out.bias)
    put(unet, grafted(parent("base").unet.state_dict()))
    return unet


def second_unet():
    """The base, plus what training made of the tiny SDXL's base to over-train it."""
    unet = UNet2DConditionModel(**UNET)
    own = load_file(BUILD / "base.safetensors")
    unet.load_state_dict(own)
    tuned, base = (grafted(parent(name).unet.state_dict()) for name in ("burnt", "base"))
    put(unet, {name: own[name] + tuned[name] - base[name] for name in tuned if _fits(name, own, tuned)})
    return unet


def _fits(name, own, others):
    return name in own and own[name].shape == others[name].shape


def stage_unet(name, device):
    saved = load_file(BUILD / "latents.safetensors")
    none = torch.zeros(len(saved["contexts"]), 0)  # SD 1.5 has no pooled embedding
    examples = Examples(saved["latents"], saved["labels"], saved["contexts"], none)
    unet = first_unet() if name == "base" else second_unet()
    average, loss = train_unet(unet, examples, COURSES[name], device, reporter(name))
    print(f"{name} loss {loss:.4f}", flush=True)
    return average.state_dict()


def reporter(stage):
    started = time.time()

    def report(step, steps, loss):
        if (step + 1) % 25 == 0:
            print(f"{stage} {step + 1}/{steps} loss {loss:.4f} {time.time() - started:.0f} s", flush=True)

    return report


def kept(name, device):
    """A stage's result, computed once."""
    path = BUILD / f"{name}.safetensors"
    if not path.exists():
        found = stage_latents(device) if name == "latents" else stage_unet(name, device)
        save_file({key: tensor.contiguous() for key, tensor in found.items()}, path)
    return load_file(path)


def main():
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    BUILD.mkdir(exist_ok=True)
    kept("latents", device)
    unets = {}
    for name in COURSES:
        unets[name] = UNet2DConditionModel(**UNET)
        unets[name].load_state_dict(kept(name, device))
    pipe = parent("base")
    write_config(CONFIG, SDXL_TOY / "config", unets["base"])
    for name, unet in unets.items():
        write_files(HERE / f"{name}.safetensors", pipe, unet.eval(), COURSES[name].prediction_type)


if __name__ == "__main__":
    main()
