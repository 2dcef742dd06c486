"""Sound pictures made by people for some twenty more of Debian's packages: games, desktops, lessons, samples.

Each package is a style of its own. They lie in a folder that holds one folder a package, named as it is, into
which it is unpacked (`apt-get download NAME`, `dpkg -x`); of Debian 12.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.verdicts.fields import as_jpeg
from gridsearch.base.errors import BadInput

# Package -> where below usr/ pictures of something lie: no textures, sheets, masks or parts of windows.
PACKAGES = {
    "airstrike-common": "share/games/airstrike/",
    "alienblaster-data": "share/games/alienblaster/images/",
    "atanks-data": "share/games/atanks/",
    "brainparty-data": "share/games/brainparty/",
    "desktop-base": "share/",
    "digikam-data": "share/digikam/data/",
    "fillets-ng-data": "share/games/fillets-ng/images/",
    "fotoxx-common": "share/fotoxx/images/",
    "foobillardplus-data": "share/games/foobillardplus/data/locale/",
    "freecol": "share/games/freecol/default/resources/images/founding",
    "games-thumbnails": "share/games/thumbnails/",
    "kpat": "share/kpat/",
    "kstars-data": "share/kstars/skycultures/",
    "lbreakouthd-data": "share/games/lbreakouthd/themes/",
    "lebiniou-data": "share/lebiniou/images/",
    "lordsawar-data": "share/",
    "lxqt-themes": "share/lxqt/wallpapers/",
    "mandelbulber2-data": "share/mandelbulber2/formula/img/",
    "marsshooter-data": "share/games/marsshooter/tex/background/",
    "mate-screensaver-common": "share/backgrounds/cosmos/",
    "monsterz-data": "share/games/monsterz/graphics/",
    "openclipart-png": "share/openclipart/png/",
}
# To these the gate is not fitted; they were chosen before it was.
KEPT_BACK = {
    "amoebax-data": "share/games/amoebax/graphics/",
    "bomber": "share/bomber/themes/",
    "freedroidrpg-data": "share/freedroidrpg/data/graphics/backgrounds/",
    "hannah-data": "share/games/hannah/images/",
    "holotz-castle-data": "share/games/holotz-castle/game/",
    "kigo": "share/kigo/themes/",
    "krank": "share/games/krank/levels/",
    "pingus-data": "share/games/pingus/data/images/",
    "pysiogame": "share/games/pysiogame/res/images/",
    "qabcs-data": "share/qabcs/",
    "stellarium-data": "share/stellarium/nebulae/default/",
    "tuxpaint-data": "share/tuxpaint/",
    "unknown-horizons": "share/unknown-horizons/content/gui/images/background/",
}
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tga", ".bmp")
NOT_ALONE = (
    "mask",
    "tile",
    "sprite",
    "font",
    "icon",
    "explosion",
    "overlay",
    "cursor",
    "button",
)  # in a path; fmt: skip
LEAST_SIDE, LEAST_BYTES, MOST_PIXELS = 200, 20_000, 12_000_000
MOST = {
    "fillets-ng-data": 60,
    "games-thumbnails": 200,
    "lebiniou-data": 110,
    "mandelbulber2-data": 60,
    "openclipart-png": 250,
}
MOST_A_PACKAGE, MOST_KEPT_BACK = 24, 20
SIDES = (256, 384, 512, 512, 768, 1024, 1536)


def in_packages(
    folder: Path | None, packages: Mapping[str, str], rule: Callable[[Path], bool] | None = None
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Style, name and picture, uint8 (H, W, 3), of packages in a folder; nothing without one.

    Args:
        rule: which of the files are pictures; all that are large enough where there is none.
    Raises:
        BadInput: a package is not in the folder.
    """
    for package, where in packages.items() if folder else ():
        root = folder / package
        if not root.is_dir():
            raise BadInput(f"No package {package}.", where=folder, fix="Unpack it into a folder of its name.")
        files = [f for f in sorted(root.rglob("*")) if fits(f, f"{root}/usr/{where}")]
        most = MOST_KEPT_BACK if packages is KEPT_BACK else MOST.get(package, MOST_A_PACKAGE)
        step = max(1.0, len(files) / most)
        for index in range(round(len(files) / step)):
            file = files[int(index * step)]
            if rule and not rule(file):
                continue
            rng = np.random.default_rng([3, zlib.crc32(f"{package}/{file.name}".encode())])
            yield f"package {package}", f"{file.parent.name}/{file.name}", framed(file, rng)


def fits(file: Path, start: str, least_bytes: int = LEAST_BYTES) -> bool:
    """Return whether a file lies below `start`, is large enough, and is no strip or part of something."""
    if not str(file).startswith(start) or file.suffix.lower() not in SUFFIXES or file.is_symlink():
        return False
    if file.stat().st_size < least_bytes or any(
        word in str(file)[len(start) :].lower() for word in NOT_ALONE
    ):
        return False
    try:
        with Image.open(file) as image:
            width, height = image.size
    except (OSError, Image.DecompressionBombError):
        return False
    return (
        width * height < MOST_PIXELS
        and min(width, height) >= LEAST_SIDE
        and max(width, height) <= 2.6 * min(width, height)
    )


def framed(file: Path, rng: np.random.Generator) -> np.ndarray:
    """The picture whole or a part of it, at a size of renders, as a PNG or a JPEG has it, on one tone."""
    with Image.open(file) as opened:
        image = opened.convert("RGBA")
    if rng.random() < 0.4:
        width, height = (int(n * rng.uniform(0.5, 0.95)) for n in image.size)
        left, top = (
            int(rng.integers(0, n - m + 1)) for n, m in zip(image.size, (width, height), strict=True)
        )
        image = image.crop((left, top, left + width, top + height))
    side = int(rng.choice(SIDES))
    if side < max(image.size) or rng.random() < 0.15:
        scale = min(side / max(image.size), 2.0)
        image = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", image.size, ("white", "white", "#b8bcc0", "#303438")[rng.integers(4)])
    picture = np.asarray(Image.alpha_composite(ground, image).convert("RGB"))
    return as_jpeg(picture, int(rng.choice([0, 0, 0, 90, 50, 20])))
