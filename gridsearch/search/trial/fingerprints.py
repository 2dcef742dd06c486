"""Fingerprints of merged weights and of each parent's own: equal ones are the same model."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from gridsearch.merge.engine.collapse import lent_by
from gridsearch.merge.engine.fingerprint import fingerprint
from gridsearch.merge.engine.live import Live
from gridsearch.search.trial.setup import Setup


def live_fingerprint(live: Live) -> str:
    """Return the fingerprint of the live weights, the same on every device."""
    return fingerprint({place: live.parts[key][i].view for place, (key, i) in _places(live).items()})


def parent_fingerprint(setup: Setup, name: str) -> str:
    """Return the fingerprint that a parent alone has, read from its file without any merging.

    Components that the experiment takes from another model are that model's.
    """
    return fingerprint(_OfFile(setup, name))


def _places(live: Live) -> dict[str, tuple[str, int]]:
    return {f"{key} {i}": (key, i) for key, pieces in live.parts.items() for i in range(len(pieces))}


class _OfFile(Mapping[str, Tensor]):
    """The live weights of one model alone, each made when it is asked for: never a second model in memory."""

    def __init__(self, setup: Setup, name: str) -> None:
        self._setup, self._name, self._places = setup, name, _places(setup.live)

    def __getitem__(self, place: str) -> Tensor:
        key, number = self._places[place]
        live = self._setup.live
        piece = live.parts[key][number]
        own = self._setup.weights.files[lent_by(self._setup.experiment, key) or self._name].tensor(key)
        own = own[piece.rows] if own.ndim else own
        return own.to(live.dtypes[key]).reshape(piece.view.shape).to(piece.view.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
