"""Sound pictures made by people: photographs that Python packages carry, and art of free games and desktops.

The art lies in Debian packages: ardentryst, endless-sky-data, flare-game, freeciv-data, freeorion-data,
gnome-backgrounds, hedgewars-data, lomiri-wallpapers, lomiri-wallpapers-16.04, -20.04, mate-backgrounds,
naev-data, palapeli-data, plasma-workspace-wallpapers, pokerth-data, renpy-demo, renpy-thequestion,
tuxmath-data, tuxpaint-stamps-default, ukui-wallpapers and wesnoth-1.16-data. Unpack each
into a folder of its name, beside those of `benchmarks.verdicts.packages`, with `dpkg -x`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.calibrate.pictures import photographs
from benchmarks.verdicts.fields import as_jpeg
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
        "backgrounds/[!w]*.png",
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
MORE_ART = {
    "landscape photograph": ("games/endless-sky/images/land/*.jpg",),
    "spacecraft": (
        "games/endless-sky/images/ship/*.png",
        "games/endless-sky/images/outfit/*.png",
        "games/endless-sky/images/planet/*.png",
    ),
    "cut-out": ("tuxpaint/stamps/**/*.png",),
}
# These came after the rest: an earlier gate was tried on them, and they fit the present one.
STRANGE_ART = {
    "stranger's anime": tuple(
        f"games/renpy/demo/game/images/{name}*"
        for name in ("bg", "concert", "eileen", "lucy", "imagemap ground")
    ),
    "stranger's figure": (
        "games/flare/mods/*/images/portraits/**/*.png",
        "games/freeorion/default/data/art/species/**/*.png",
    ),
    "stranger's landscape": ("naev/dat/gfx/planet/exterior/*.[pw]*",),
    "stranger's planet": ("naev/dat/gfx/planet/space/*.[pw]*",),
    "stranger's game": (
        *(
            f"games/ardentryst/Data/{name}*.png"
            for name in (
                "Altar",
                "Background",
                "LitCliff",
                "Map_[ES]",
                "Portrait",
                "StorySceneImages/",
                "World",
            )
        ),
        *(f"games/ardentryst/Data/{name}*.png" for name in ("Title", "Menu", "Summon", "LC", "IGM")),
        "tuxmath/images/backgrounds/*.jpg",
        "tuxmath/images/title/*.jpg",
        "tuxmath/images/status/*.png",
        "games/pokerth/gfx/gui/table/*/table*.png",
        "games/freeciv/misc/intro.png",
    ),
    "stranger's photograph": ("palapeli/collection/*.jpg", "backgrounds/warty-final-ubuntu.png"),
}
LEAST_SIDE, LEAST_BYTES = 240, 30_000
# Of the first art, and of what came after: pictures of a style, and what transparent ones lie on.
MOST_A_STYLE = 60, 24
SCENES = "wallpaper photograph", "stranger's landscape"


def found_art(folder: Path | None, art: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Style, name and picture: of a folder of unpacked packages, and of packages that are installed.

    Args:
        art: ART, to which the installed ones belong, MORE_ART or STRANGE_ART.
    Raises:
        BadInput: the folder holds none of them.
    """
    if art is ART:
        for name, picture in photographs().items():
            yield "photograph of a package", name, picture
    if folder is None:
        return
    scenes = _files(folder, STRANGE_ART if art is STRANGE_ART else ART, SCENES[art is STRANGE_ART])
    if not scenes:
        raise BadInput(
            "The folder holds none of the art.",
            where=folder,
            fix=f"Unpack Debian's packages into it: {(__doc__ or '').split(': ', 2)[2].split('. ')[0]}.",
        )
    for style in art:
        files = _files(folder, art, style)
        step = max(1, len(files) / MOST_A_STYLE[art is STRANGE_ART])
        for index in range(int(len(files) / step)):
            file = files[int(index * step)]
            rng = np.random.default_rng([index, *style.encode()])
            scene = scenes[index % len(scenes)] if rng.random() < 0.5 else None
            yield style, f"{file.parent.name}/{file.name}", _picture(file, scene, rng)


def _files(folder: Path, art: Mapping[str, Sequence[str]], style: str) -> list[Path]:
    found = {file.resolve() for pattern in art[style] for file in folder.glob(f"**/usr/share/{pattern}")}
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
    return as_jpeg(picture, int(rng.choice([0, 0, 90, 50, 20])))
