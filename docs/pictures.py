"""Makes the pictures of the documentation: `make docs-pictures`, or `python docs/pictures.py [FOLDER]`.

FOLDER is the finished run of experiments/toy.toml (default: results/toy), whose report is photographed by a
headless Chromium. What is wrong with pictures is drawn here, by the toy's models and the program itself.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, sync_playwright
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gridsearch.app.cli import app

DOCS = Path(__file__).parent
TOY = DOCS.parent / "experiments" / "toy"
OUT = DOCS / "pictures"
TILE, GAP, LINE = 128, 6, 20  # px
CASES = (("a circle", 101), ("a heart", 701), ("a star", 501), ("a moon", 801))
# The report's sections by their headings, as files, and how much of each is enough.
SECTIONS = {
    "along-the-ratio": ("Along the ratio", 1250),
    "look-closer": ("Look closer", 1000),
    "every-image": ("Every image", 700),
    "how-sure": ("How sure is it?", 1000),
    "trust": ("Can it be trusted?", 1000),
}


@dataclass(frozen=True)
class Failure:
    """A way in which pictures are wrong: the experiment's own lines, and of which trial."""

    models: tuple[str, str]
    ratio: float = 1.0
    method: str = "weighted_sum"
    mode: str = "v_prediction"
    sampler: str = "euler"
    steps: int = 20
    vae: str = "base"

    def files(self) -> set[str]:
        return {*self.models, self.vae}


FAILURES = {
    "healthy": Failure(("base", "burnt"), ratio=0.45),
    "blank": Failure(("base", "burnt"), ratio=0.05),
    "ghost": Failure(("base", "burnt"), ratio=0.25),
    "burnt": Failure(("base", "burnt")),
    "shards": Failure(("base", "burnt", "base"), ratio=2.0, method="add_difference"),
    "epsilon-drawn-as-v": Failure(("vpred", "base")),
    "v-drawn-as-epsilon": Failure(("base", "vpred"), mode="epsilon"),
    "too-few-steps": Failure(("base", "burnt"), ratio=0.45, sampler="euler_a", steps=2),
    "black": Failure(("base", "burnt"), ratio=0.45, vae="huge"),
}


def main(run: Path) -> None:
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, failure in FAILURES.items():
            strip(*drawn(name, failure, Path(folder))).save(OUT / f"{name}.png", optimize=True)
    photograph(run / "report.html")


# -- what is wrong with pictures


def drawn(name: str, failure: Failure, folder: Path) -> tuple[list[Image.Image], list[str]]:
    """The pictures of the cases, and their verdicts."""
    for model in failure.files():
        file = folder / f"{model}.safetensors"
        if model == "huge":
            enlarge(TOY / "burnt.safetensors", file)
        elif not file.exists():
            shutil.copy(TOY / file.name, file)
    (folder / f"{name}.toml").write_text(experiment(name, failure))
    out = folder / "results" / name
    app(["run", str(folder / f"{name}.toml"), "--out", str(out)], standalone_mode=False)
    images = pd.read_csv(out / "images.csv", keep_default_na=False)  # "nan" is a verdict
    images = images.query("role == 'search'").sort_values("prompt_id")
    return [Image.open(out / file).convert("RGB") for file in images["file"]], list(images["verdict"])


def experiment(name: str, failure: Failure) -> str:
    models = sorted(failure.files())
    prompts = (f'[[prompt]]\ntext = "{text}"\nseeds = [{seed}]\n' for text, seed in CASES)
    return "\n".join(
        [
            f'name = "{name}"',
            "[models]",
            *(f'{model} = "{model}.safetensors"' for model in models),
            "[[merge]]",
            f'method = "{failure.method}"',
            f"models = {list(failure.models)}",
            f"ratio = [{failure.ratio}]",
            "extrapolate = true",
            "[components]",
            f'vae = "{failure.vae}"',
            "[render]",
            f'prediction_type = "{failure.mode}"',
            f"zero_terminal_snr = {str(failure.mode == 'v_prediction').lower()}",
            f'sampler = "{failure.sampler}"',
            f"steps = {failure.steps}",
            "cfg = 3.5",
            "width = 64",
            "height = 64",
            "early_abort = false",
            f'config = "{TOY / "config"}"',
            "[score]",
            'references = ["base"]',
            *prompts,
            "[search]",
            'sampler = "grid"',
        ]
    )


def enlarge(source: Path, file: Path) -> None:
    """A checkpoint whose VAE overflows, as SDXL's own does in half precision."""
    with safe_open(source, "pt") as opened:
        metadata = opened.metadata()
    weights = load_file(source)
    key = "first_stage_model.post_quant_conv.weight"
    weights[key] = torch.full_like(weights[key], 1e34, dtype=torch.float32)
    save_file(weights, file, metadata)


def strip(images: Sequence[Image.Image], verdicts: Sequence[str]) -> Image.Image:
    """The pictures side by side with their verdicts below."""
    sheet = Image.new("RGB", (len(images) * (TILE + GAP) - GAP, TILE + LINE), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, (image, verdict) in enumerate(zip(images, verdicts, strict=True)):
        left = column * (TILE + GAP)
        sheet.paste(image.resize((TILE, TILE), Image.Resampling.NEAREST), (left, 0))
        pen.text((left + TILE / 2, TILE + LINE / 2), verdict, "black", font, anchor="mm")
    return sheet


# -- the report


def photograph(report: Path) -> None:
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1240, "height": 900}, reduced_motion="reduce")
        page.goto(report.resolve().as_uri())
        keep(page, "header.page", "report", 1000)
        for name, (heading, height) in SECTIONS.items():
            keep(page, f'section:has(h2:text-is("{heading}"))', name, height)
        browser.close()


def keep(page: Page, part: str, name: str, height: int) -> None:
    """A part of the page, to this many px, as a picture of at most 256 colours: a third of the bytes."""
    found = page.locator(part).first
    found.scroll_into_view_if_needed()
    page.wait_for_timeout(800)  # figures are drawn when they come into view
    file = OUT / f"{name}.png"
    found.screenshot(path=file)
    image = Image.open(file).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, height)))
    image.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/toy"))
