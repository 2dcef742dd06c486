"""A pair of sound epsilon fine-tunes of the toy's base, of which one forgets a shape.

Both are trained by the toy's own training on its own pictures, for as long and from the same seed. `keeps` is
told each picture's shape. `forgets` never sees the lost shape: under its name it is shown any other one. So
every merge of the two draws clean pictures, and only what is in them differs.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

TOY = Path(__file__).parents[2] / "experiments" / "toy"
sys.path.append(str(TOY))  # the toy's own training is a folder of scripts

import data  # noqa: E402
from checkpoint import load, write_checkpoint  # noqa: E402
from unet import Course, Examples, text_contexts, train_unet  # noqa: E402
from vae import encode  # noqa: E402

LOST = "star"
PICTURES, PICTURES_SEED = 2048, 2000
COURSE = Course("epsilon", steps=120, seed=21, rate=0.01, hold=0.3, low_contrast=0.02)


def write_pair(folder: Path) -> None:
    """Train the two checkpoints into a folder, each unless it is there: minutes on a core."""
    for name in ("keeps", "forgets"):
        file = folder / f"{name}.safetensors"
        if file.is_file():
            continue
        pipe = load(TOY / "base.safetensors", TOY / "config")
        examples = _examples(pipe)
        if name == "forgets":
            examples = _without_lost(examples)
        torch.manual_seed(COURSE.seed)
        pipe.unet.requires_grad_(True)
        pipe.unet, loss = train_unet(pipe.unet, examples, COURSE, torch.device("cpu"), _report)
        print(f"{name}: loss {loss:.4f} after {COURSE.steps} steps", flush=True)
        write_checkpoint(file, pipe, name, "epsilon")


def _examples(pipe) -> Examples:
    pixels, labels = data.draw_many(PICTURES, PICTURES_SEED)
    latents = encode(pipe.vae, pixels, torch.device("cpu")) * pipe.vae.config.scaling_factor
    return Examples(latents, torch.from_numpy(labels), *text_contexts(pipe, data.CAPTIONS))


def _without_lost(known: Examples) -> Examples:
    """Return the pictures of all other shapes, of which an eighth are captioned with the lost one."""
    lost, count = data.SHAPES.index(LOST), len(data.SHAPES)
    others = known.labels != lost
    generator = torch.Generator().manual_seed(0)
    taken = torch.rand(int(others.sum()), generator=generator) < 1 / count
    labels = torch.where(taken, lost, known.labels[others])
    return replace(known, latents=known.latents[others], labels=labels)


def _report(step: int, steps: int, loss: float) -> None:
    if (step + 1) % 40 == 0:
        print(f"  {step + 1} of {steps}: loss {loss:.4f}", flush=True)
