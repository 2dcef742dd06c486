"""How a picture is written, by the name of its format, which is also the end of its file's name."""

from gridsearch.render.png import png_bytes
from gridsearch.render.webp import webp_bytes

ENCODERS = {"png": png_bytes, "webp": webp_bytes}
