"""Files in: every kind of PNG, JPEG, WebP, AVIF and BMP, and every way to be none."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from gridsearch.base.errors import BadInput
from gridsearch.score.measure import ORIENTATION, WORKING_SIDE, read_image, read_picture_file, working_copy
from tests.helpers.generated import png_with
from tests.helpers.pictures import png, scene

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)
GREY = PICTURE[..., 0]


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp"])
def test_rgb_comes_back_as_it_was(tmp_path, name):
    Image.fromarray(PICTURE).save(tmp_path / name, lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / name), PICTURE)


def test_an_avif_comes_back_as_its_encoder_left_it(tmp_path):
    Image.fromarray(scene(64, 1)).save(tmp_path / "a.avif", quality=95, subsampling="4:4:4")
    read = read_image(tmp_path / "a.avif")
    assert np.abs(read.astype(int) - scene(64, 1)).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_picture_is_turned_upright_as_pillow_turns_it(tmp_path, orientation, form):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(PICTURE).save(tmp_path / "a.x", form, exif=exif)
    with Image.open(tmp_path / "a.x") as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.x"), upright)


def test_an_empty_file_is_named_so(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(BadInput, match="The file is empty"):
        read_image(tmp_path / "a.png")


def test_the_text_and_the_number_of_frames_come_with_a_picture(tmp_path):
    assert read_picture_file(png_with(tmp_path / "a.png", PICTURE, parameters="a cat")).text == "a cat"
    frames = [Image.fromarray(PICTURE[::-1]), Image.fromarray(PICTURE[:, ::-1])]
    Image.fromarray(PICTURE).save(tmp_path / "a.webp", save_all=True, append_images=frames, lossless=True)
    read = read_picture_file(tmp_path / "a.webp")
    assert (read.frames, read.text) == (3, "")
    np.testing.assert_array_equal(read.rgb, PICTURE)


def test_grey_palette_and_jpeg_become_rgb(tmp_path):
    picture = Image.fromarray(PICTURE)
    for mode in ("L", "P", "1", "RGB", "CMYK"):
        path = tmp_path / f"{mode}.{'jpg' if mode in ('RGB', 'CMYK') else 'png'}"
        picture.convert(mode).save(path)
        read = read_image(path)
        assert (read.shape, read.dtype) == (PICTURE.shape, np.uint8)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    layer = Image.fromarray(PICTURE).convert(mode)
    alpha = np.zeros((24, 16), np.uint8)
    alpha[:, 8:] = 255
    layer.putalpha(Image.fromarray(alpha))
    layer.save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert (read[:, :8] == 255).all()
    np.testing.assert_array_equal(read[:, 8:], np.asarray(layer.convert("RGB"))[:, 8:])


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) << 8).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(GREY[..., None], 3, axis=2))
    (tmp_path / "rgb.png").write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 0, 0x8000, 0xFFFF)))
    assert read_image(tmp_path / "rgb.png").tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"GIF89a", "not a picture"),
        (np.random.default_rng(0).bytes(500), "not a picture"),
        (png(16, 16, 8, 2, np.random.default_rng(0).bytes(784))[:400], "cannot be read"),
        (png(2, 200, 8, 2, b"\0"), "cannot be read"),
        (png(9000, 9000, 8, 2, b"\0"), "too large"),
        (png(20000, 20000, 8, 2, b"\0"), "too large"),
    ],
)
def test_what_is_no_picture_is_named_in_a_few_lines(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert len(caught.value.lines) <= 4


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(BadInput, match=str(path)):
            read_image(path)


def test_the_working_copy_is_reduced_and_never_enlarged():
    assert working_copy(PICTURE) is PICTURE
    for shape in ((1024, 1024, 3), (768, 1344, 3), (3000, 10, 3)):
        height, width, _ = working_copy(np.zeros(shape, np.uint8)).shape
        assert height * width <= WORKING_SIDE**2 * 1.05
        assert height / width == pytest.approx(shape[0] / shape[1], rel=0.1)
