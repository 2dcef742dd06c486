"""The units of a model's layers that may be put in any order without a change in what it draws."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from gridsearch.checkpoint.ldm.keys import TensorRows
from gridsearch.checkpoint.ldm.shapes import parameter_rows, skeleton

QUERIES, VALUES, NEURONS = "queries and keys", "values", "neurons"


@dataclass(frozen=True)
class UnitRows:
    """The place of the weights of units: along `axis` of a file's tensor, from `start` on."""

    key: str
    axis: int
    start: int


@dataclass(frozen=True)
class Units:
    """So many units that may change places with one another, and all places where their weights lie."""

    kind: str
    count: int
    places: tuple[UnitRows, ...]


_RowsOf = Callable[[str, int], tuple[UnitRows, ...]]  # a layer's name, and its first unit


def interchangeable(folder: Path) -> list[Units]:
    """Return the units of the UNet and the text encoders of these configs.

    Of an attention head, a query's channel with the key's, and a value's with the column that reads it; the
    inner neurons of a feed-forward layer, with both halves of a gated one; and those of the embeddings of the
    time step and of the size. Whole heads and the channels between blocks stay where they are.
    """
    rows = parameter_rows(folder)
    return [
        units
        for component, model in skeleton(folder).items()
        if component != "vae"
        for name, module in model.named_modules()
        for units in _of_module(module, f"{component}.{name}.", rows)
    ]


def _of_module(module: nn.Module, name: str, rows: Mapping[str, TensorRows]) -> Iterator[Units]:
    from diffusers.models.attention import FeedForward
    from diffusers.models.attention_processor import Attention
    from diffusers.models.embeddings import TimestepEmbedding
    from transformers.models.clip.modeling_clip import CLIPMLP, CLIPAttention

    def outputs(layer: str, start: int = 0) -> tuple[UnitRows, ...]:
        """Return the rows of a linear layer from `start` on, and its bias."""
        own = [rows[key] for leaf in ("weight", "bias") if (key := f"{name}{layer}.{leaf}") in rows]
        return tuple(UnitRows(one.key, 0, (one.rows.start or 0) + start) for one in own)

    def inputs(layer: str, start: int = 0) -> tuple[UnitRows, ...]:
        return (UnitRows(rows[f"{name}{layer}.weight"].key, 1, start),)

    match module:
        case Attention():
            starts = range(0, module.inner_dim, module.inner_dim // module.heads)
            yield from _of_heads(starts, "to_{}", "to_out.0", outputs, inputs)
        case CLIPAttention():
            starts = range(0, module.embed_dim, module.embed_dim // module.num_heads)
            yield from _of_heads(starts, "{}_proj", "out_proj", outputs, inputs)
        case FeedForward():
            inner = module.net[2].in_features
            gated = outputs("net.0.proj", inner) if module.net[0].proj.out_features > inner else ()
            yield Units(NEURONS, inner, outputs("net.0.proj") + gated + inputs("net.2"))
        case CLIPMLP():
            yield Units(NEURONS, module.fc1.out_features, outputs("fc1") + inputs("fc2"))
        case TimestepEmbedding():
            yield Units(NEURONS, module.linear_1.out_features, outputs("linear_1") + inputs("linear_2"))


def _of_heads(starts: range, projection: str, out: str, outputs: _RowsOf, inputs: _RowsOf) -> Iterator[Units]:
    for start in starts:
        queries, keys, values = (outputs(projection.format(part), start) for part in "qkv")
        yield Units(QUERIES, starts.step, queries + keys)
        yield Units(VALUES, starts.step, values + inputs(out, start))
