"""Trains the tiny SDXL checkpoints from nothing: `python experiments/toy/train.py`.

    vae -> latents -> start -> base (epsilon) -> vpred (v, sound)
                   \\-> polish (the decoder)    |-> burnt (v, over-trained)
                                               \\-> flow (rectified flow)

Each stage leaves its result in build/ and is skipped when that is already there, so an interrupted
run goes on where it stopped; delete build/ to start from nothing. Stages that do not need each
other run side by side, one thread each: models this small are slower on more threads than on one.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.append(str(Path(__file__).resolve().parents[2]))  # for gridsearch, when not installed

import data
import torch
from checkpoint import load, write_checkpoint, write_config
from models import (
    build_pipeline,
    build_scheduler,
    build_text_encoders,
    build_unet,
    build_vae,
    write_json,
    write_tokenizers,
)
from safetensors.torch import load_file, save_file
from unet import Course, Examples, text_contexts, train_unet
from vae import encode, held_out_psnr, polish_decoder, train_vae

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
CONFIG = HERE / "config"
TRAINING_IMAGES = 24576
TRAINING_SEED = 2000

VAE_STEPS = 2000
POLISH_STEPS = 1500
COURSES = {
    "start": Course("epsilon", steps=2500, seed=11, rate=0.02, hold=1.0, low_contrast=0.08),
    "base": Course("epsilon", steps=4500, seed=14, rate=0.02, hold=0.5, low_contrast=0.02),
    "vpred": Course("v_prediction", steps=800, seed=12, rate=0.01, hold=0.3),
    "burnt": Course("v_prediction", steps=600, seed=13, rate=0.01, hold=0.5, gain=1.55),
    "flow": Course("flow", steps=800, seed=15, rate=0.01, hold=0.3),
}
PARENTS = {"base": "start", "vpred": "base", "burnt": "base", "flow": "base"}
CHECKPOINTS = ("base", "vpred", "burnt", "flow")


def stage_vae(device):
    vae = train_vae(device, VAE_STEPS, seed=0, log=reporter("vae"))
    keep(vae, "vae")
    return {"steps": VAE_STEPS, "psnr": held_out_psnr(vae.to(device), device)}


def stage_latents(device):
    """All the UNet learns from: unit-scale latents (the scale goes into the VAE's config) and contexts."""
    vae = kept(build_vae(), "vae")
    pixels, labels = data.draw_many(TRAINING_IMAGES, TRAINING_SEED)
    latents = encode(vae.to(device), pixels, device)
    vae.cpu()
    scale = round(1 / latents.std().item(), 5)
    contexts, pooled = text_contexts(assemble(vae, build_unet(), "epsilon"), data.CAPTIONS)
    examples = Examples(latents * scale, torch.from_numpy(labels), contexts, pooled)
    write_tensors("latents", asdict(examples) | {"scale": torch.tensor(scale, dtype=torch.float64)})
    return {"images": TRAINING_IMAGES, "scaling_factor": scale}


def stage_polish(device):
    vae = kept(build_vae(), "vae")
    vae = polish_decoder(vae, device, POLISH_STEPS, seed=2, log=reporter("polish"))
    keep(vae, "polish")
    return {"steps": POLISH_STEPS, "psnr": held_out_psnr(vae.to(device), device)}


def stage_unet(name, device):
    course = COURSES[name]
    saved = load_file(BUILD / "latents.safetensors")
    examples = Examples(**{field.name: saved[field.name] for field in fields(Examples)})
    torch.manual_seed(course.seed)
    unet = build_unet()
    if name in PARENTS:
        kept(unet, PARENTS[name])
    average, loss = train_unet(unet, examples, course, device, reporter(name))
    keep(average, name)
    return {"steps": course.steps, "loss": loss}


def stage_files(device):
    """The single files and their config folder, each read back and compared bit for bit."""
    scale = load_file(BUILD / "latents.safetensors")["scale"].item()
    vae = kept(build_vae(scaling_factor=scale), "polish")
    sizes = {}
    for name in CHECKPOINTS:
        course = COURSES[name]
        pipeline = assemble(vae, kept(build_unet(), name), course.prediction_type)
        path = HERE / f"{name}.safetensors"
        if name == "base":
            write_config(CONFIG, pipeline)
        write_checkpoint(path, pipeline, f"toy {name}", course.prediction_type)
        compare(pipeline, load(path, CONFIG))
        sizes[name] = path.stat().st_size
    return {"bytes": sizes}


def write_tensors(name, tensors):
    packed = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
    save_file(packed, BUILD / f"{name}.safetensors")


def keep(module, name):
    """A stage's result, for the stages after it."""
    write_tensors(name, module.state_dict())


def kept(module, name):
    module.load_state_dict(load_file(BUILD / f"{name}.safetensors"))
    return module


STAGES = {"vae": stage_vae, "latents": stage_latents, "polish": stage_polish, "files": stage_files}


def assemble(vae, unet, prediction_type):
    tokenizers = write_tokenizers(CONFIG)
    scheduler = build_scheduler(prediction_type, zero_terminal_snr=prediction_type == "v_prediction")
    return build_pipeline(vae, unet, build_text_encoders(tokenizers[0]), tokenizers, scheduler)


def compare(written, read):
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        expected = getattr(written, part).state_dict()
        found = getattr(read, part).state_dict()
        for name in expected:
            if not torch.equal(expected[name].half().float(), found[name].float()):
                raise ValueError(f"{part}.{name} does not survive the single file")


def reporter(stage):
    started = time.time()

    def report(step, steps, loss):
        if (step + 1) % 100 == 0:
            print(f"{stage} {step + 1}/{steps} loss {loss:.4f} {time.time() - started:.0f} s", flush=True)

    return report


def run_stage(name):
    """One stage in this process; its figures and times go to build/<name>.json."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.time()
    figures = stage_unet(name, device) if name in COURSES else STAGES[name](device)
    times = {"seconds": round(time.time() - started), "cpu_seconds": round(time.process_time())}
    write_json(BUILD / f"{name}.json", figures | times)


def run_beside_each_other(*names):
    missing = [name for name in names if not (BUILD / f"{name}.json").exists()]
    children = [subprocess.Popen([sys.executable, __file__, name]) for name in missing]
    failed = [name for name, child in zip(missing, children, strict=True) if child.wait()]
    if failed:
        sys.exit(f"stage {', '.join(failed)} failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "stage", nargs="?", choices=(*STAGES, *COURSES), help="run this one stage only, even if it is done"
    )
    stage = parser.parse_args().stage
    BUILD.mkdir(exist_ok=True)
    if stage:
        return run_stage(stage)
    run_beside_each_other("vae")
    run_beside_each_other("latents")
    run_beside_each_other("start", "polish")
    run_beside_each_other("base")
    run_beside_each_other("vpred", "burnt")
    run_beside_each_other("flow")
    run_beside_each_other("files")
    for path in sorted(BUILD.glob("*.json")):
        print(path.stem, json.loads(path.read_text()))


if __name__ == "__main__":
    main()
