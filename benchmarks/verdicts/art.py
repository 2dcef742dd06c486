"""Sound pictures made by people: photographs that Python packages carry, and art of free games and desktops.

The art lies in Debian packages: gnome-backgrounds, mate-backgrounds, lomiri-wallpapers-16.04, -20.04,
ukui-wallpapers, plasma-workspace-wallpapers, hedgewars-data, renpy-thequestion and wesnoth-1.16-data. Unpack
them into one folder, each with `dpkg -x`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.calibrate.pictures import photographs
from benchmarks.verdicts.styles import as_jpeg
from gridsearch.base.errors import BadInput

# Style -> patterns below usr/share of the unpacked packages; textures, masks, maps and icons are left out.
ART = {
    "anime": ("games/renpy/the_question/*.png", "games/renpy/the_question/game/images/*"),
    "painted figure": ("games/wesnoth/1.16/data/core/images/portraits/**/*.png",),
    "painted scene": (
        "games/wesnoth/1.16/data/core/images/story/*",
        "games/wesnoth/1.16/data/campaigns/*/images/story/*",
    ),
    "cartoon": (
        "games/hedgewars/Data/Graphics/Missions/**/*.png",
        "games/hedgewars/Data/Maps/*/map.png",
        "games/hedgewars/Data/Maps/*/preview.png",
        "games/hedgewars/Data/Forts/*L.png",
    ),
    "wallpaper photograph": (
        "backgrounds/*.jpg",
        "backgrounds/mate/nature/*.jpg",
        *(
            f"wallpapers/{name}/contents/images/1920x1080.*"
            for name in ("Autumn", "BytheWater", "ColorfulCups", "DarkestHour", "EveningGlow", "FallenLeaf",
                         "Grey", "OneStandsOut", "Path", "summer_1am")
        ),
    ),
    "wallpaper art": (
        "backgrounds/*.png",
        "wallpapers/FlyingKonqui/contents/images/1920x1080.*",
        "wallpapers/PastelHills/contents/images/1920x1080.*",
        "wallpapers/Elarun/contents/images/*",
        *(
            f"wallpapers/{name}/contents/images/[1-9]*"
            for name in ("Altai", "Canopee", "Cascade", "Cluster", "Flow", "Honeywave", "IceCold", "Kay",
                         "Kokkini", "MilkyWay", "Opal", "Patak", "SafeLanding", "Shell", "Volna")
        ),
    ),
}  # fmt: skip
LEAST_SIDE, LEAST_BYTES, MOST_A_STYLE = 240, 30_000, 60


def found_art(folder: Path | None) -> Iterator[tuple[str, str, np.ndarray]]:
    """Style, name and picture: of packages that are installed, and of a folder of unpacked ones.

    Raises:
        BadInput: the folder holds none of them.
    """
    for name, picture in photographs().items():
        yield "photograph of a package", name, picture
    if folder is None:
        return
    scenes = _files(folder, "wallpaper photograph")
    if not scenes:
        raise BadInput(
            "The folder holds none of the art.",
            where=folder,
            fix=f"Unpack Debian's packages into it: {(__doc__ or '').split(': ', 2)[2].split('.')[0]}.",
        )
    for style in ART:
        files = _files(folder, style)
        step = max(1, len(files) / MOST_A_STYLE)
        for index in range(int(len(files) / step)):
            file = files[int(index * step)]
            rng = np.random.default_rng([index, *style.encode()])
            scene = scenes[index % len(scenes)] if rng.random() < 0.5 else None
            yield style, f"{file.parent.name}/{file.name}", _picture(file, scene, rng)


def _files(folder: Path, style: str) -> list[Path]:
    found = {file.resolve() for pattern in ART[style] for file in folder.glob(f"**/usr/share/{pattern}")}
    return sorted(
        (f for f in found if f.stat().st_size > LEAST_BYTES and _large(f)), key=lambda f: (f.name, str(f))
    )


def _large(file: Path) -> bool:
    with Image.open(file) as image:
        return min(image.size) >= LEAST_SIDE and max(image.size) <= 3 * min(image.size)


def _picture(file: Path, scene: Path | None, rng: np.random.Generator) -> np.ndarray:
    """The picture at a size of renders; a transparent one before a scene, or on white."""
    image = Image.open(file).convert("RGBA")
    side = min(max(image.size), int(rng.choice([512, 768, 1024, 1344])))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", image.size, "white")
    if scene is not None:
        behind = Image.open(scene).convert("RGBA")
        ground = behind.resize(image.size, Image.Resampling.LANCZOS)
    picture = np.asarray(Image.alpha_composite(ground, image).convert("RGB"))
    quality = int(rng.choice([0, 0, 90, 50, 20]))
    return as_jpeg(picture, quality) if quality else picture
