"""Does the toy tell the story? `python experiments/toy/evaluate.py`

Merges two checkpoints by plain linear interpolation in fp16 along the ratio, renders every merge as
a user would, prints one line per ratio and writes a sheet (captions down, ratios across).

The last column is the oracle: a distance from pictures to held-out training pictures that no scorer
of the package knows. It is an unbiased kernel distance, as in the kernel inception distance
(Binkowski et al. 2018), so it may be taken over few pictures; its features come from a fixed random
convolution network instead of Inception, and its kernel is bounded, so that one broken picture
counts once. Random features know nothing of blur, noise or contrast as such: they see whether local
patterns come in the proportions they have in the training pictures.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import data
import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from models import SIZE, build_scheduler
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
STEPS = 20
CFG = 3.5
FIRST_SEED = 800_000  # no training, tuning or experiment uses seeds from here on
HELD_OUT_SEED = 5_000
BATCH = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", nargs=2, default=("base", "burnt"))
    parser.add_argument("--mode", choices=("epsilon", "v_prediction"), default="v_prediction")
    parser.add_argument("--ratios", type=float, nargs="+", default=[i / 10 for i in range(11)])
    parser.add_argument("--seeds", type=int, default=12, help="per caption")
    parser.add_argument("--sheet", type=Path, default=HERE / "sheet.png")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the checkpoints are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()

    first, second = (load_half(options.folder, name) for name in options.pair)
    live = load_half(options.folder, options.pair[0]).to(torch.float32)
    captions = data.CAPTIONS * options.seeds
    cases = [(caption, FIRST_SEED + i) for i, caption in enumerate(captions)]
    oracle = Oracle()

    put_merge(live, first, second, ratio=0.0)
    base = render(live, cases, "epsilon")
    usual = luma_std(base).mean()
    columns = [("base, eps", base)]
    print(f"{len(cases)} pictures a line; contrast is relative to {options.pair[0]}'s own epsilon renders")
    print(" ratio  contrast  clipped  survived   oracle")
    print(line("  base", base, usual, oracle(base)))
    distances = {}
    for ratio in options.ratios:
        put_merge(live, first, second, ratio)
        pictures = render(live, cases, options.mode)
        columns.append((f"{ratio:.2f}", pictures))
        distances[ratio] = oracle(pictures)
        print(line(f"{ratio:6.2f}", pictures, usual, distances[ratio]), flush=True)
    print(f"the oracle's best ratio: {min(distances, key=distances.get):.2f}")
    sheet(columns, rows=len(data.CAPTIONS)).save(options.sheet)


def load_half(folder, name):
    pipeline = StableDiffusionXLPipeline.from_single_file(
        folder / f"{name}.safetensors",
        config=str(folder / "config"),
        local_files_only=True,
        add_watermarker=False,
        torch_dtype=torch.float16,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def put_merge(live, first, second, ratio):
    """Every weight interpolated in fp32, rounded once to fp16, and drawn with in fp32."""
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        parameters = [getattr(p, part).parameters() for p in (live, first, second)]
        for target, a, b in zip(*parameters, strict=True):
            target.copy_(torch.lerp(a.float(), b.float(), ratio).half())


def render(pipeline, cases, prediction_type):
    """uint8 pictures of (caption, seed) cases; the empty prompt is zeros, as in training."""
    v = prediction_type == "v_prediction"
    pipeline.scheduler = build_scheduler(prediction_type, zero_terminal_snr=v)
    pictures = []
    for start in range(0, len(cases), BATCH):
        captions, seeds = zip(*cases[start : start + BATCH], strict=True)
        pictures.append(
            pipeline(
                prompt=list(captions),
                num_inference_steps=STEPS,
                guidance_scale=CFG,
                height=SIZE,
                width=SIZE,
                output_type="np",
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            ).images
        )
    return np.round(np.nan_to_num(np.concatenate(pictures)) * 255).astype(np.uint8)


def luma_std(pictures):
    return data.luma(pictures.astype(np.float32)).std(axis=(1, 2))


def clipped(pictures):
    return ((pictures <= 8) | (pictures >= 247)).mean(axis=(1, 2, 3))


def line(label, pictures, usual, distance):
    contrast, share = luma_std(pictures) / usual, clipped(pictures)
    survived = (contrast > 0.5) & (contrast < 1.6) & (share < 0.2)
    return f"{label}  {contrast.mean():8.2f}  {share.mean():7.3f}  {survived.mean():8.2f}  {distance:7.3f}"


class Oracle:
    """Squared maximum mean discrepancy from held-out training pictures; 0 means no difference."""

    def __init__(self, count=2048):
        generator = torch.Generator().manual_seed(0)
        self.filters = [
            torch.randn(width, inner, 4, 4, generator=generator) / (inner * 16) ** 0.5
            for inner, width in ((3, 24), (24, 48), (48, 96))
        ]
        features = self.raw_features(data.draw_many(count, HELD_OUT_SEED)[0])
        self.mean, self.std = features.mean(0), features.std(0)
        self.real = (features - self.mean) / self.std

    @torch.no_grad()
    def raw_features(self, pictures):
        """Each layer's filters, averaged over the picture: their mean response and its spread."""
        x, pooled = torch.from_numpy(data.to_signed(pictures)), []
        for filters in self.filters:
            x = torch.nn.functional.conv2d(x, filters, stride=2, padding=1).abs() * 1.5
            pooled += [x.mean((2, 3)), x.std((2, 3))]
        return torch.cat(pooled, dim=1)

    def __call__(self, pictures):
        drawn = (self.raw_features(pictures) - self.mean) / self.std
        within = mean_between(drawn) + mean_between(self.real)
        return (within - 2 * kernel(drawn, self.real).mean()).item()


def mean_between(features):
    """The mean kernel between different pictures of one set."""
    count = len(features)
    return (kernel(features, features).sum() - count) / (count * (count - 1))


def kernel(a, b):
    """Rational quadratic: 1 for equal features, falling with the mean squared difference."""
    return 1 / (1 + torch.cdist(a, b).square() / (2 * a.shape[1]))


def sheet(columns, rows):
    margin = 14
    page = Image.new("RGB", (len(columns) * (SIZE + 2), margin + rows * (SIZE + 2)), "white")
    pen = ImageDraw.Draw(page)
    for x, (label, pictures) in enumerate(columns):
        pen.text((x * (SIZE + 2) + 4, 1), label, fill="black")
        for y in range(rows):
            page.paste(Image.fromarray(pictures[y]), (x * (SIZE + 2), margin + y * (SIZE + 2)))
    return page


if __name__ == "__main__":
    main()
