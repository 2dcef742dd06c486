"""Five small parameters, and the keys of a file that they are read from."""

from gridsearch.checkpoint.ldm.keys import TensorRows

ALL = slice(None)
LINEAR, CONV, IN_PROJ = (
    "model.diffusion_model.a.b.weight",
    "model.diffusion_model.c.weight",
    "g.in_proj_weight",
)
PARAMETERS = {
    "unet.a.b.weight": TensorRows(LINEAR, ALL, (2, 2), (2, 2)),
    "unet.a.b.bias": TensorRows("model.diffusion_model.a.b.bias", ALL, (2,), (2,)),
    "unet.c.weight": TensorRows(CONV, ALL, (2, 2, 1, 2), (2, 2, 1, 2)),
    "text_encoder_2.v_proj.weight": TensorRows(IN_PROJ, slice(4, 6), (2, 2), (6, 2)),
    "text_encoder_2.text_projection.weight": TensorRows("g.text_projection", ALL, (3, 2), (3, 2), True),
}
