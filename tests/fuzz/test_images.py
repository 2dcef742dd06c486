"""Pictures from strangers, at every door that reads one."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gridsearch.app.web.judge.routes import bare_png
from gridsearch.experiment.prompt_files import prompts_in
from gridsearch.render.pictures import embedded_text, read_parameters
from gridsearch.report.thumbs import reduced, thumbnails
from gridsearch.score.files import score_files
from gridsearch.score.measure import read_image
from gridsearch.score.xyz_grid import cut_grid
from tests.fuzz.bounds import ALL, BESIDES, inputs
from tests.fuzz.mutation import mutated
from tests.helpers.generated import unicode_comment
from tests.helpers.pictures import png, scene, with_sums

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF data

GRID = "xyz_grid-0001-5-4096-2048-4-20-20260101000000.png"


def _infotext(path):
    return read_parameters(embedded_text(path))


def _thumbs(path):
    reduced(path, (64, 64), path.parent)


def _as_grid(path):
    return cut_grid(read_image(path), path.with_name(GRID))


def _score(path):
    return score_files([path, path], None, lambda _: lambda: None)


DOORS = {
    "read_image": read_image,
    "embedded_text": _infotext,
    "prompts_in": lambda path: prompts_in(path.name, path.parent),
    "thumbs": _thumbs,
    "grid": _as_grid,
    "judge": bare_png,
    "score": _score,
}
LARGEST = 1_200_000_000  # bytes that a picture of the most pixels may take
DECODED = ("read_image", "embedded_text", "thumbs")


@pytest.fixture
def nothing_kept(monkeypatch):
    """They are all that is written when a picture is read, in the results folder."""
    monkeypatch.setattr("gridsearch.report.thumbs._keep", lambda *_: None)


# -- files that were whole once

PICTURE = scene(64, 20)
TEXT = "a cat\nNegative prompt: bad\nSteps: 20, Sampler: Euler, CFG scale: 5, Seed: 1, Size: 64x64"

SWARM = '{"sui_image_params": {"prompt": "a cat", "seed": 1, "steps": 20, "cfgscale": 7.0}}'
GRAPH = (
    '{"3": {"class_type": "KSampler", "inputs": {"seed": 5, "positive": ["6", 0], "negative": ["6", 0]}},'
    ' "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}}}'
)


def encoded(picture, form="PNG", **options) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def runs(width: int, height: int) -> bytes:
    """A BMP of run lengths (RLE8), each row in runs of 255."""
    row = b"\xff\1" * (width // 255) + bytes([width % 255, 1, 0, 0])
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(row) * height, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + head + bytes(1024) + row * height + b"\0\1"


def _kinds() -> list[bytes]:
    picture = Image.fromarray(PICTURE)
    modes = {mode: picture.convert(mode) for mode in ("L", "P", "1", "RGBA", "LA", "CMYK")}
    text, exif = PngInfo(), Image.Exif()
    text.add_text("parameters", TEXT)
    text.add_text("packed", TEXT * 50, zip=True)
    text.add_itxt("other", TEXT, "en", "x", zip=True)
    swarm, graph = PngInfo(), PngInfo()
    swarm.add_text("parameters", SWARM)
    graph.add_text("prompt", GRAPH)
    exif.get_ifd(0x8769)[0x9286] = unicode_comment(TEXT)
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [modes["RGBA"], modes["L"]]}
    profile = zlib.compress(bytes(range(256)))
    return [
        encoded(picture, pnginfo=text, icc_profile=profile, exif=exif),
        encoded(picture, pnginfo=swarm),
        encoded(picture, pnginfo=graph),
        *(encoded(modes[mode]) for mode in ("L", "P", "1", "RGBA", "LA")),
        encoded(modes["P"], transparency=bytes(range(200))),
        encoded(picture, **more),
        encoded((PICTURE[..., 0].astype(np.uint16) << 8) | PICTURE[..., 1]),
        encoded(picture, "JPEG", exif=exif, icc_profile=profile, comment=TEXT),
        encoded(picture, "JPEG", progressive=True),
        encoded(modes["L"], "JPEG"),
        encoded(modes["CMYK"], "JPEG"),
        encoded(picture, "MPO", **more | {"append_images": [picture]}),
        encoded(picture, "WEBP", exif=exif, icc_profile=profile),
        encoded(modes["RGBA"], "WEBP", lossless=True),
        encoded(picture, "WEBP", **more),
        encoded(picture, "AVIF", exif=exif, icc_profile=profile, speed=10),
        encoded(modes["RGBA"], "AVIF", speed=10),
        encoded(picture, "BMP"),
        encoded(modes["P"], "BMP"),
        runs(64, 64),
    ]


KINDS = _kinds()
PIECES = (
    b"IDAT",
    b"acTL",
    b"fcTL",
    b"\xff\xda",
    b"\xff\xc2",
    b"\xff\xe1",
    b"VP8X",
    b"ANMF",
    b"EXIF",
    b"ispe",
    b"iloc",
    bytes(100),
)


@inputs(2_000, 50)
@given(seed=st.integers(0, 2**64))
def test_pictures_that_were_whole_once(bounds, nothing_kept, seed):
    chance = random.Random(seed)
    content = mutated(chance.choice(KINDS), chance, PIECES)
    path = bounds.folder.parent / "x.png"
    path.write_bytes(with_sums(bytearray(content)) if chance.random() < 0.5 else content)
    bounds.hold(path, DOORS)


# -- pictures that are put together


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(*chunks: bytes) -> bytes:
    """A small PNG with these chunks before its pixels."""
    return KINDS[1][:33] + b"".join(chunks) + KINDS[1][33:]


def zeros(width: int, height: int, bits: int, colour: int, channels: int) -> bytes:
    """A PNG of nothing but zeros, packed a thousand times."""
    rows = zlib.compressobj(9)
    row = bytes(1 + (width * channels * bits + 7) // 8)
    packed = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG with its last scan again and again."""
    content = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


def webp(width: int, height: int) -> bytes:
    """A WebP whose head says so, and whose one frame is small."""
    content = encoded(PICTURE, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    at = content.index(b"VP8X") + 12
    return (
        content[:at]
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
        + content[at + 6 :]
    )


def avif_that_says(width: int, height: int) -> bytes:
    """An AVIF whose container says so, and whose image has 256 megapixels."""
    content = encoded(Image.new("L", (16_000, 16_000)), "AVIF", speed=10)
    at = content.index(b"ispe") + 8
    return content[:at] + struct.pack(">II", width, height) + content[at + 8 :]


def itxt(size: int) -> bytes:
    return chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(("x" * size + "\U0001f600").encode()))


IFD_LOOP = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"
BOMBS = {
    "60,000 x 60,000 of nothing": lambda: png(60_000, 60_000, 8, 2, b"\0"),
    "two billion in a row": lambda: png(2_000_000_000, 1, 8, 2, b"\0"),
    "8,193 x 8,192 zeros": lambda: zeros(8_193, 8_192, 8, 2, 3),
    "8,192 x 8,192 zeros": lambda: zeros(8_192, 8_192, 8, 2, 3),
    "8,192 x 8,192 zeros with alpha": lambda: zeros(8_192, 8_192, 8, 6, 4),
    "8,192 x 8,192 bits": lambda: zeros(8_192, 8_192, 1, 0, 1),
    "8,192 x 8,192 of 16 bits": lambda: zeros(8_192, 8_192, 16, 2, 3),
    "a text of a gigabyte": lambda: with_chunks(
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(1_000_000_000), 1))
    ),
    "sixty texts of a million wide letters": lambda: with_chunks(*[itxt(1_000_000)] * 60),
    "fifteen texts of a million wide letters": lambda: with_chunks(*[itxt(1_000_000)] * 15),
    "a profile of a gigabyte": lambda: with_chunks(
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(500_000_000), 1))
    ),
    "many chunks": lambda: with_chunks(*[chunk(b"tEXt", b"a\0b")] * 100_000),
    "EXIF in a circle": lambda: encoded(PICTURE, "JPEG", exif=IFD_LOOP),
    "many scans": lambda: scans(2_000, 2_000),
    "as many scans as may be": lambda: scans(8_192, 10),
    "a progressive JPEG of 3,600 x 3,600": lambda: encoded(
        np.random.default_rng(0).integers(0, 60, (3_600, 3_600, 3), np.uint8),
        "JPEG",
        progressive=True,
        quality=20,
    ),
    "a JPEG of 16,000 x 16,000": lambda: encoded(Image.new("L", (16_000, 16_000)), "JPEG"),
    "a WebP of 16,383 x 16,383": lambda: webp(16_383, 16_383),
    "a WebP of 16 million in a row": lambda: webp(2**24, 2**24),
    "a WebP of 8,192 x 8,192": lambda: encoded(Image.new("RGB", (8_192, 8_192)), "WEBP", method=0),
    "a WebP of 8,192 x 8,192 with alpha": lambda: encoded(
        Image.new("RGBA", (8_192, 8_192)), "WEBP", lossless=True, method=0, quality=0
    ),
    "an AVIF of 8,192 x 8,192 with alpha": lambda: encoded(
        Image.new("RGBA", (8_192, 8_192)), "AVIF", speed=10, subsampling="4:4:4"
    ),
    "an AVIF of 16,000 x 16,000": lambda: encoded(Image.new("L", (16_000, 16_000)), "AVIF", speed=10),
    "an AVIF that says it is small": lambda: avif_that_says(64, 64),
    "a BMP of 8,192 x 8,192 in runs": lambda: runs(8_192, 8_192),
    "an EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n",
    "a TIFF": lambda: encoded(PICTURE, "TIFF"),
}
USUALLY = (0, 1, 5, 8, 10, 12, 13, 17)


@pytest.mark.parametrize("bomb", list(BOMBS) if ALL else [list(BOMBS)[i] for i in USUALLY])
def test_pictures_that_would_grow(bounds, nothing_kept, bomb):
    path = bounds.folder.parent / "x.png"
    path.write_bytes(BOMBS[bomb]())
    most = LARGEST if any(word in bomb for word in ("8,192", "AVIF", "scans")) else BESIDES
    bounds.hold(path, DOORS if ALL else {door: DOORS[door] for door in DECODED}, most)


# -- grids, and small pictures that somebody else kept


@inputs(200, 5)
@given(seed=st.integers(0, 2**64))
def test_grids_of_any_pixels(bounds, nothing_kept, seed):
    """White bands with dark specks in them, where labels would be."""
    chance = np.random.default_rng(seed)
    sheet = np.full((int(chance.integers(64, 800)), int(chance.integers(64, 1600)), 3), 255, np.uint8)
    for _ in range(chance.integers(0, 40)):
        top, left = chance.integers(0, sheet.shape[0]), chance.integers(0, sheet.shape[1])
        sheet[top : top + chance.integers(1, 200), left : left + chance.integers(1, 300)] = chance.integers(
            0, 255
        )
    size = f"{sheet.shape[1] * chance.integers(1, 17)}-{sheet.shape[0] * chance.integers(1, 17)}"
    path = bounds.folder.parent / f"xyz_grid-0001-5-{size}-4-20-20260101000000.png"
    path.write_bytes(encoded(sheet))
    bounds.hold(path, {"score": lambda path: score_files([path], None, lambda _: lambda: None)})
    path.unlink()


@pytest.mark.parametrize(
    "kept", [b"RIFF" + struct.pack("<I", 5_000_000) + b"WEBP" + bytes(5_000_000), webp(9_999, 9_999)]
)
def test_what_somebody_else_kept_is_made_anew(tmp_path, kept):
    path = tmp_path / "x.png"
    path.write_bytes(KINDS[0])
    whole = thumbnails([path], 32, tmp_path)[path]
    (file,) = (tmp_path / ".thumbnails").iterdir()
    file.write_bytes(kept)
    assert thumbnails([path], 32, tmp_path)[path] == whole


def test_a_file_of_another_kind_starts_no_other_program(tmp_path):
    (tmp_path / "x.png").write_bytes(BOMBS["an EPS"]())
    assert thumbnails([tmp_path / "x.png"], 32, tmp_path) == {tmp_path / "x.png": None}
    assert not list(tmp_path.glob(".thumbnails/*"))
