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
from gridsearch.checkpoint.ldm.keys import numbered_block
from gridsearch.checkpoint.ldm.names import places
from gridsearch.render.denoise.guidance.blur import INFINITE, blurring
from gridsearch.render.denoise.guidance.branches import PERTURBED, SMOOTHED
from gridsearch.render.denoise.sampling import MIDDLE, Sampling

TO_ITSELF = -1.0  # as the sigma of a branch: each place attends to itself alone
USUAL = "usual"  # the key of the branches that attend as all others do


class GuidedAttention:
    """An attention processor of diffusers for one layer, whose rows attend each as its branch does there.

    Which branches the rows are of changes where guidance is limited to an interval. Nothing else does; and a
    blur is a tensor, so that a compiled model takes any sigma without a new graph.

    Args:
        sigmas: of the blur of the queries, by branch and for the `USUAL` ones: 0 for none.
        latent: height and width of the latents.
    """

    def __init__(
        self, sigmas: Mapping[str, float], latent: tuple[int, int], unet: UNet2DConditionModel
    ) -> None:
        self._sigmas, self._latent = sigmas, latent
        sides = {-(-side // 2**halved) for side in latent for halved in range(len(unet.down_blocks))}
        self._blurs = {
            branch: {side: blurring(side, sigma, None, unet.device, unet.dtype) for side in sides}
            for branch, sigma in sigmas.items()
            if 0 < sigma < INFINITE
        }
        self._uniform = tuple(branch for branch, sigma in sigmas.items() if sigma >= INFINITE)
        self._to_itself = tuple(branch for branch, sigma in sigmas.items() if sigma == TO_ITSELF)

    def expect(self, branches: Sequence[str]) -> None:
        """Take the next rows as those of these branches, as many of each."""
        keys = [branch if branch in self._sigmas else USUAL for branch in branches]
        self._alike = tuple((key, len(list(same))) for key, same in groupby(keys))
        self._count = len(branches)

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        images = len(hidden_states) // self._count
        rows = hidden_states.split([images * branches for _, branches in self._alike])
        return cat([self._attend(attn, part, key) for part, (key, _) in zip(rows, self._alike, strict=True)])

    def _attend(self, attn: Attention, rows: Tensor, branch: str) -> Tensor:
        """Return what so many rows (N, h * w, C) take from themselves."""
        value = attn.to_v(rows)
        if branch not in self._to_itself:
            query = attn.to_q(rows)
            if branch in self._uniform:
                query = query.mean(dim=1, keepdim=True).expand_as(query)
            elif branch in self._blurs:
                height, width = _size(self._latent, rows.shape[1])
                down, across = self._blurs[branch][height], self._blurs[branch][width]
                query = (down @ query.mT.unflatten(-1, (height, width)) @ across.mT).flatten(-2).mT
            parts = (one.unflatten(-1, (attn.heads, -1)) for one in (query, attn.to_k(rows), value))
            heads = (one.transpose(1, 2) for one in parts)
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
    sigmas: dict[str, dict[str, float]] = {name: {} for name in layers}
    if sampling.pag_scale > 0:
        for name in chosen_layers(sampling.pag_layers, layers):
            sigmas[name][PERTURBED] = TO_ITSELF
    for name in chosen_layers(MIDDLE, layers) if layers else ():
        sigmas[name] |= {SMOOTHED: sampling.seg_sigma} if sampling.seg_scale > 0 else {}
        sigmas[name] |= {USUAL: sampling.query_blur} if sampling.query_blur > 0 else {}
    put = {name: GuidedAttention(own, latent, unet) for name, own in sigmas.items() if own}
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
            block = numbered_block(keys[f"{name}.to_q.weight"].key) or ""
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
