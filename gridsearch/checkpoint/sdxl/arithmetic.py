"""The arithmetic of one UNet call, counted from the shapes of its weights."""

import math
import re
from collections.abc import Mapping

from gridsearch.checkpoint.sdxl.keys import UNET

TEXT_TOKENS = 77
LATENT_SIDE = 8  # image pixels to a side of a latent's


def unet_call(shapes: Mapping[str, tuple[int, ...]], width: int, height: int) -> tuple[int, int]:
    """Return the floating-point operations of one UNet call on one image, and its number of layers.

    Counted as torch's `FlopCounterMode` counts them: two a multiplication of a matrix or a convolution,
    nothing for norms, activations and sums.

    Args:
        shapes: checkpoint key -> shape; keys of other components are passed over.
        width, height: of the image, px.
    """
    unet = {key.removeprefix(UNET): shape for key, shape in shapes.items() if key.startswith(UNET)}
    weights = {key: shape for key, shape in unet.items() if key.endswith(".weight") and len(shape) > 1}
    downs = [int(found[1]) for key in weights if (found := re.match(r"input_blocks\.(\d+)\.0\.op\.", key))]
    ups = [int(found[1]) for key in weights if (found := re.match(r"output_blocks\.(\d+)\.\d\.conv\.", key))]
    flops = 0
    for key, shape in weights.items():
        side = 2 ** _halvings(key, downs, ups)
        pixels = math.ceil(width // LATENT_SIDE / side) * math.ceil(height // LATENT_SIDE / side)
        if re.search(r"time_embed|label_emb|emb_layers", key):
            positions = 1
        else:
            positions = TEXT_TOKENS if re.search(r"attn2\.to_[kv]", key) else pixels
        flops += 2 * math.prod(shape) * positions
        if key.endswith(".to_q.weight"):  # every query with every key, and the values weighted by that
            flops += 4 * pixels * (pixels if ".attn1." in key else TEXT_TOKENS) * shape[0]
    return flops, len({key.rpartition(".")[0] for key in unet})


def _halvings(key: str, downs: list[int], ups: list[int]) -> int:
    """Return how often the latent has been halved where a weight is applied.

    Args:
        downs, ups: the numbers of the blocks that halve and double it.
    """
    if key.startswith("middle_block."):
        return len(downs)
    if not (found := re.match(r"(input|output)_blocks\.(\d+)\.", key)):
        return 0
    block = int(found[2])
    if found[1] == "input":
        return sum(block >= down for down in downs)
    return len(downs) - sum(block > up for up in ups) - (".conv." in key)
