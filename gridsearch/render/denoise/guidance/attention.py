"""Self-attention of the UNet for guidance by it: perturbed to the identity, or of smoothed queries.

Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377) lets each place attend to itself alone.
Smoothed-energy guidance (Hong 2024, arXiv:2408.00760) blurs the queries, which flattens the energy whose
gradient attention follows. Either is done to rows of their own, from which guidance leads away.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, cat
from torch.nn.functional import scaled_dot_product_attention

from gridsearch.base.errors import BadInput, nearest_text
from gridsearch.checkpoint.sdxl.keys import block_of
from gridsearch.checkpoint.sdxl.names import places
from gridsearch.render.denoise.guidance.blur import blurred
from gridsearch.render.denoise.guidance.branches import PERTURBED, SMOOTHED
from gridsearch.render.denoise.sampling import MIDDLE, Sampling

# How the rows of a branch attend: the sigma of the blur of their queries, 0 for as trained, or this.
TO_ITSELF = -1.0


class GuidedAttention:
    """An attention processor of diffusers for one layer, whose rows attend each as its branch does there.

    Which branches the rows are of changes where guidance is limited to an interval. Nothing else does, so
    that a compiled model has two graphs at most.
    """

    def __init__(self, ways: Mapping[str, float], usual: float, latent: tuple[int, int]) -> None:
        self._ways, self._usual, self._latent = ways, usual, latent

    def expect(self, branches: Sequence[str]) -> None:
        """Take the next rows as those of these branches, as many of each."""
        ways = [self._ways.get(branch, self._usual) for branch in branches]
        self._alike = tuple((way, len(list(same))) for way, same in groupby(ways))
        self._count = len(branches)

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        images = len(hidden_states) // self._count
        rows = hidden_states.split([images * branches for _, branches in self._alike])
        return cat([self._attend(attn, part, way) for part, (way, _) in zip(rows, self._alike, strict=True)])

    def _attend(self, attn: Attention, rows: Tensor, way: float) -> Tensor:
        """Return what so many rows (N, h * w, C) take from themselves."""
        value = attn.to_v(rows)
        if way != TO_ITSELF:
            query = attn.to_q(rows)
            if way > 0:
                size = _size(self._latent, rows.shape[1])
                query = blurred(query.mT.unflatten(-1, size), way).flatten(-2).mT
            heads = (
                one.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for one in (query, attn.to_k(rows), value)
            )
            value = scaled_dot_product_attention(*heads).transpose(1, 2).flatten(-2)
        return attn.to_out[1](attn.to_out[0](value))


def _size(latent: tuple[int, int], places: int) -> tuple[int, int]:
    """Return height and width of a layer with so many places: the latent's, halved as often as it takes."""
    height, width = latent
    while height * width > places:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


@contextlib.contextmanager
def guided_attention(
    unet: UNet2DConditionModel, sampling: Sampling, latent: tuple[int, int]
) -> Iterator[Sequence[GuidedAttention]]:
    """Put the attention that the settings ask for into the UNet, and yield it; afterwards, its own is back.

    Args:
        latent: height and width of the latents.

    Raises:
        BadInput: `pag_layers` names a layer that this UNet does not have.
    """
    layers = self_attentions(unet) if sampling.changes_attention else {}
    ways: dict[str, dict[str, float]] = {name: {} for name in layers}
    if sampling.pag_scale > 0:
        for name in chosen_layers(sampling.pag_layers, layers):
            ways[name][PERTURBED] = TO_ITSELF
    middle = chosen_layers(MIDDLE, layers) if layers else ()
    for name in middle if sampling.seg_scale > 0 else ():
        ways[name][SMOOTHED] = sampling.seg_sigma
    usual = {name: sampling.query_blur if name in middle else 0.0 for name in layers}
    put = {
        name: GuidedAttention(ways[name], usual[name], latent) for name in layers if ways[name] or usual[name]
    }
    own = {name: layers[name].processor for name in put}
    try:
        for name, processor in put.items():
            layers[name].processor = processor
        yield tuple(put.values())
    finally:
        for name, processor in own.items():
            layers[name].processor = processor


def self_attentions(unet: UNet2DConditionModel) -> dict[str, Attention]:
    """Return the layers of self-attention by block and number: `IN04.0`, ..., `M00.9`, ..."""
    keys = places("unet", [name for name, _ in unet.named_parameters()])
    found: dict[str, Attention] = {}
    counts: dict[str, int] = {}
    for name, module in unet.named_modules():
        if isinstance(module, Attention) and not module.is_cross_attention:
            block = block_of(keys[f"{name}.to_q.weight"].key) or ""
            found[f"{block}.{counts.get(block, 0)}"] = module
            counts[block] = counts.get(block, 0) + 1
    return found


def chosen_layers(asked: str, layers: Mapping[str, Attention]) -> list[str]:
    """Return the layers that are asked for, as in `M00.0, IN08`.

    Raises:
        BadInput: there is no such layer.
    """
    chosen: list[str] = []
    for part in asked.replace(",", " ").split():
        found = [name for name in layers if name == part or name.startswith(f"{part}.")]
        if not found:
            what = f"This model has no layer of self-attention called {part!r:.60}."
            raise BadInput(what, where="render.pag_layers", fix=nearest_text(part, layers))
        chosen += found
    return chosen
