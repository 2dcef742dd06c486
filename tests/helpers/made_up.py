"""Made-up runs: drawn pictures whose contrast grows with the ratio, blank → ghost → ok → burnt."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from gridsearch.results.columns import IMAGE_ROW, names
from gridsearch.results.results import Results
from gridsearch.results.store import Facts
from gridsearch.score.metrics import METRIC_COLUMNS

PROMPTS = (
    "a red circle on a blue background, crisp lines",
    "a green square",
    "two triangles and a cross, gradient background, line art, soft light from the left, highly detailed",
    "a cross in the dark",
    "1boy, astolfo, car, city at night, <lora:detail:0.8>",
    "circle",
    "a yellow triangle over the sea",
    "a square in a square",
)
RATIOS = tuple(round(0.05 * i, 2) for i in range(21))


def picture(prompt: int, seed: int, contrast: float, side: int = 64) -> Image.Image:
    """A few shapes about mid-grey, `contrast` times as strong as drawn, clipped to 0..255."""
    pixels = shapes(prompt, seed, side)
    return Image.fromarray(np.clip(128 + (pixels - 128) * contrast, 0, 255).round().astype(np.uint8))


@cache
def shapes(prompt: int, seed: int, side: int) -> np.ndarray:
    rng = np.random.default_rng([prompt, seed])
    canvas = Image.new("RGB", (side * 4, side * 4), tuple(rng.integers(70, 190, 3).tolist()))
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(1, 4)):
        x, y, r = (
            rng.integers(side // 2, 3 * side + side // 2),
            rng.integers(side, 3 * side),
            rng.integers(side // 3, side),
        )
        colour = tuple(rng.integers(20, 236, 3).tolist())
        kind = rng.integers(3)
        if kind == 0:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
        elif kind == 1:
            draw.rectangle((x - r, y - r, x + r, y + r), fill=colour)
        else:
            draw.polygon([(x, y - r), (x + r, y + r), (x - r, y + r)], fill=colour)
    return np.asarray(canvas.resize((side, side), Image.Resampling.LANCZOS), dtype=float)


def strength(ratio: float, prompt: int, seed: int, mode: str | None) -> float:
    """Contrast along the ratio, 1 is the reference's; each prompt snaps at its own place.

    In epsilon mode the merge holds as long as little of the second model is in it.
    """
    shift = np.random.default_rng([7, prompt, seed]).normal(0, 0.02) + 0.03 * np.sin(prompt)
    if mode == "epsilon":
        return 1.0 + ratio if ratio + shift < 0.27 else 0.03
    x = ratio - shift
    return 0.02 + 1.1 / (1 + np.exp(-(x - 0.42) / 0.045)) + 6 * max(0.0, x - 0.74)


def judged(contrast: float, image: Image.Image) -> dict:
    """A made-up row's numbers: the verdict and the metrics as the contrast has them."""
    pixels = np.asarray(image, dtype=float)
    clipped = float(((pixels <= 8) | (pixels >= 247)).mean())
    verdict = (
        "blank" if contrast < 0.12 else "ghost" if contrast < 0.6 else "ok" if contrast < 1.6 else "burnt"
    )
    reason = {
        "blank": f"luma varies by {pixels.std():.1f} levels only, its reference has 42",
        "ghost": f"contrast is {pixels.std():.0f} levels, its reference has 42",
        "ok": "",
        "burnt": f"{clipped:.0%} of the channel values are clipped, its reference has 1%",
    }[verdict]
    return {
        "verdict": verdict,
        "defect": max(0.0, abs(np.log(contrast)) - 0.1),
        "blur": np.nan if verdict == "blank" else 1.2 + 1.5 * max(0.0, 0.8 - contrast),
        "noise": 0.8 + 1.5 * max(0.0, contrast - 1),
        "contrast": float(pixels.std()),
        "clipped": clipped,
        "colourfulness": float(pixels.std(axis=2).mean()),
        "entropy": 3 + min(contrast, 2),
        "dial": float(np.log(contrast)),
        "reason": reason,
    }


def drawn(folder: Path, prompts, seeds, contrast_of, mode: str, name: str) -> list[dict]:
    """One row per case, its picture saved under `name`; `contrast_of(prompt number, seed)`."""
    rows = []
    for p, prompt in enumerate(prompts):
        for seed in seeds:
            contrast = contrast_of(p, seed)
            image = picture(p, seed, contrast)
            file = f"{name}_p{p + 1}_{seed}.png"
            save(image, folder / file)
            case = {"prompt_id": f"p{p + 1}", "prompt": prompt, "seed": seed, "prediction_type": mode}
            rows.append(case | judged(contrast, image) | {"seconds": 0.42, "file": file})
    return rows


def make_results(
    folder: Path,
    *,
    ratios=RATIOS,
    prompts=PROMPTS,
    seeds=(11, 12),
    modes: tuple[str, ...] = (),
    done: int | None = None,
) -> Results:
    """A run on disk, in each of `modes` where given; `done`: how many trials are complete (all)."""
    names = ("ratio", "render.prediction_type")[: 2 if modes else 1]
    points = [(ratio, mode) for mode in modes or (None,) for ratio in ratios]
    images = []
    for trial, (ratio, mode) in enumerate(points[:done]):
        parameters = {"trial": trial} | dict(zip(names, (ratio, mode), strict=False))
        contrast = partial(strength, ratio, mode=mode)
        rows = drawn(folder, prompts, seeds, contrast, mode or "v_prediction", f"images/{trial:04d}")
        images += [parameters | row for row in rows]
    references = [
        {"model": model} | row
        for model, contrast, mode in (("base", 1.0, "epsilon"), ("burnt", 2.6, "v_prediction"))
        for row in drawn(folder, prompts, seeds, lambda p, s, c=contrast: c, mode, f"references/{model}")
    ]
    waiting = [dict(zip(names, point, strict=False)) for point in points[done or len(points) :]]
    return results_of(folder, pd.DataFrame(images), names, pd.DataFrame(references), waiting)


def results_of(folder: Path, images: pd.DataFrame, parameters, references=None, waiting=()) -> Results:
    """Results as they follow from the tables of images; `waiting`: parameters of trials not yet run."""
    images = with_columns(images)
    trials = [complete(trial, rows, parameters) for trial, rows in images.groupby("trial")]
    trials += [{"trial": len(trials) + i, "state": "WAITING"} | point for i, point in enumerate(waiting)]
    prompts = images.drop_duplicates("prompt_id")
    step = {"name": "merged", "method": "weighted_sum", "models": ["base", "burnt"]}
    return Results(
        name="toy",
        folder=folder,
        facts=Facts(
            experiment={
                "name": "toy",
                "merge": [step | {"ratio": {"low": 0.0, "high": 1.0, "step": 0.05}}],
                "render": {"prediction_type": ["epsilon", "v_prediction"], "steps": 20, "cfg": 3.5},
                "prompt": [{"id": row.prompt_id, "text": row.prompt} for row in prompts.itertuples()],
            },
            models={"base": model("a1", "epsilon"), "burnt": model("b2", "v_prediction")},
            versions={"gridsearch": "0.1.0", "torch": "2.13.0"},
            references=None,
            planned=len(trials),
            drawing={},
            file="experiment.toml",
        ),
        trials=pd.DataFrame(trials),
        images=images,
        references=images.iloc[:0].assign(model="") if references is None else with_columns(references),
        parameters=tuple(parameters),
        finished=not waiting,
        planned=len(trials),
    )


def with_facts(results: Results, **changes) -> Results:
    """The same results of a run of which other facts are kept."""
    return replace(results, facts=replace(results.facts, **changes))


def table(verdicts: dict[float, str], defects=None, prompts=("p1", "p2"), **extra) -> pd.DataFrame:
    """Images from one verdict letter per case and ratio: o ok, b blank, g ghost, u burnt."""
    words = {"o": "ok", "b": "blank", "g": "ghost", "u": "burnt"}
    rows = []
    for trial, (ratio, letters) in enumerate(verdicts.items()):
        for i, letter in enumerate(letters):
            defect = defects[ratio][i] if defects else float(letter != "o")
            rows.append(
                {"trial": trial, "ratio": ratio, "prompt_id": prompts[i % len(prompts)], "prompt": "a cat"}
                | {"seed": i // len(prompts), "verdict": words[letter], "defect": defect} | extra
            )  # fmt: skip
    return pd.DataFrame(rows)


def bowl(seed: int, prompts: int = 12, centre: float = 0.58) -> pd.DataFrame:
    """Every prompt has its own parabola about its own optimum; their optima scatter about `centre`."""
    rng = np.random.default_rng(seed)
    rows = []
    for p, own in enumerate(rng.normal(centre, 0.08, prompts)):
        for trial, ratio in enumerate(RATIOS):
            for seed in (1, 2):
                defect = 8 * (ratio - own) ** 2 + abs(rng.normal(0, 0.05))
                rows.append(
                    {"trial": trial, "ratio": ratio, "prompt_id": f"p{p}", "prompt": "x", "seed": seed}
                    | {"verdict": "ok", "defect": defect}
                )
    return pd.DataFrame(rows)


def with_columns(images: pd.DataFrame) -> pd.DataFrame:
    """All that a table of images has; what a row does not say is NaN."""
    return images.reindex(columns=list(dict.fromkeys([*images.columns, *names(IMAGE_ROW)])))


def complete(trial: int, images: pd.DataFrame, parameters) -> dict:
    """A finished trial's row, from its images."""
    survived = (images["verdict"] == "ok").mean()
    row = {"trial": trial, "state": "COMPLETE"} | {name: images[name].iloc[0] for name in parameters}
    row |= {"defect": images["defect"].mean(), "survived": survived, "images": len(images)}
    row |= {name: images[name].mean() for name in METRIC_COLUMNS}
    row |= {"seconds_merge": 0.03, "seconds_render": 3.1, "seconds_score": 0.2}
    return row | {"started": "2026-01-01T01:00:00", "finished": "2026-01-01T01:00:04"}


def model(digits: str, mode: str) -> dict:
    return {
        "path": f"models/{digits}.safetensors",
        "sha256": digits * 32,
        "short_hash": digits * 5,
        "bytes": 6_400_000,
        "prediction_type": mode,
        "prediction_type_source": "marker keys",
    }


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory) -> Results:
    return make_results(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def modes(tmp_path_factory) -> Results:
    return make_results(
        tmp_path_factory.mktemp("modes"),
        ratios=RATIOS[::2],
        prompts=PROMPTS[:4],
        modes=("epsilon", "v_prediction"),
    )
