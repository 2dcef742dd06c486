"""The models of a folder: read once each, compared, and how each stands to its neighbours."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.families import INDEX
from gridsearch.checkpoint.header import ENDING, Checkpoint
from gridsearch.checkpoint.identity import short_hash
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.merge.pool.relations import EXACT, Relations, main_part, relations
from gridsearch.merge.pool.remarks import remarks
from gridsearch.merge.pool.sketch import new_signs, standard_error
from gridsearch.merge.pool.sums import PoolProgress
from gridsearch.merge.pool.survey import Surveyed, surveys

MOST_IN_POOL = 2_000


@dataclass(frozen=True)
class Pool:
    """The models of a folder, the base among them, and how they relate.

    Attributes:
        remarks: model -> what stands out of it, in words.
        unread: file -> why it cannot be read.
    """

    models: tuple[Surveyed, ...]
    base: str | None
    relations: Mapping[str, Relations]
    remarks: Mapping[str, Sequence[str]]
    unread: Mapping[str, str]

    @property
    def main_part(self) -> str | None:
        """Return the part by which models are near or far: the UNet where they have one."""
        return main_part(self.relations)

    def nearest(self, name: str) -> tuple[str, float] | None:
        """Return the model that is nearest to one in the main part, and how far it is."""
        own = self.relations.get(self.main_part or "")
        if own is None or name not in own.names:
            return None
        here = own.names.index(name)
        row = own.distance()[here]
        row[here] = np.inf
        return own.names[int(row.argmin())], float(row.min())

    def rows(self) -> list[dict[str, object]]:
        """Return a row of a table for each model."""
        return [self._row(model) for model in self.models]

    def _row(self, model: Surveyed) -> dict[str, object]:
        name, near = model.name, self.nearest(model.name)
        row: dict[str, object] = {
            "model": name,
            "sha256": model.sha256,
            "hash": short_hash(model.sha256),
            "is": model.family,
            "predicts": model.prediction.type,
            "dtypes": " ".join(model.file.dtypes),
            "bytes": model.file.bytes,
        }
        if self.base:
            for part, own in self.relations.items():
                known = name in own.names
                row[f"change {part}"] = float(own.change()[own.names.index(name)]) if known else None
        row |= {"nearest": near and near[0], "distance": near and near[1]}
        row["not finite"] = sum(model.broken.values())
        return row | {"remarks": "; ".join(self.remarks.get(name, ()))}

    def pairs(self) -> list[dict[str, object]]:
        """Return a row for each pair of models and part: their distance and, with a base, a cosine."""
        found: list[dict[str, object]] = []
        for part, own in self.relations.items():
            distance, cosine = own.distance(), own.cosine()
            for i, j in zip(*np.triu_indices(len(own.names), 1), strict=True):
                angle = float(cosine[i, j]) if self.base and np.isfinite(cosine[i, j]) else None
                pair = {"part": part, "a": own.names[i], "b": own.names[j]}
                found.append(pair | {"distance": float(distance[i, j]), "cosine": angle})
        return found

    def notes(self) -> list[str]:
        """Return how exact the numbers are, and which files are missing here, in sentences."""
        found = [f"{file} is left out: {why}" for file, why in self.unread.items()]
        if self.relations and not all(own.exact for own in self.relations.values()):
            error = standard_error()
            found.append(
                f"More than {EXACT} models are compared by a random projection of their weights: distances "
                f"and changes have a standard error of {error / 2**0.5:.1%} of themselves, cosines one of "
                f"{error:.3f}."
            )
        return found


def survey_pool(folder: Path, base: Path | None, progress: PoolProgress) -> Pool:
    """Read the models in a folder and below it, each once, and the base, wherever that is.

    Raises:
        BadInput: there is no model in the folder, or the base cannot be read.
    """
    files, unread = _opened(folder)
    base_name = None
    if base:
        base_name = next((name for name, file in files.items() if _is_same(file.path, base)), None)
        if base_name is None:
            base_name = f"{base.stem} (base)"
            files = {base_name: open_model(base), **files}
    advance = progress.reading(f"{len(files)} models", sum(file.bytes for file in files.values()))
    found = surveys(files, new_signs(), advance)
    pairs = relations(found, base_name, progress)
    main = pairs.get(main_part(pairs) or "")
    return Pool(tuple(found), base_name, pairs, remarks(found, main), unread)


def _opened(folder: Path) -> tuple[dict[str, Checkpoint], dict[str, str]]:
    """Return the models in a folder by their paths within it, and why files cannot be read."""
    if not folder.is_dir():
        raise BadInput("There is no such folder.", where=folder, fix="Name a folder of models.")
    opened, unread = {}, {}
    for path in _models_in(folder):
        name = str(path.relative_to(folder)).removesuffix(ENDING)
        try:
            opened[name] = open_model(path)
        except BadInput as error:
            unread[str(path.relative_to(folder))] = " ".join(error.what.split())
    if not opened:
        why = "; ".join(f"{file}: {what}" for file, what in list(unread.items())[:3]) or None
        fix = f"Name a folder with {ENDING} files, or diffusers folders, in it."
        raise BadInput("There is no model in this folder that can be read.", where=folder, why=why, fix=fix)
    return opened, unread


def _models_in(folder: Path) -> list[Path]:
    """Return the files of models in a folder and below it, and the diffusers folders, in order of names."""
    found = []
    for place, folders, names in os.walk(folder):
        if INDEX in names:
            found.append(Path(place))
            folders.clear()  # the files in it are parts of one model
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place) / name for name in names if name.endswith(ENDING) and not name.startswith(".")]
    if len(found) > MOST_IN_POOL:
        what = f"There are {len(found):,} models in this folder; {MOST_IN_POOL:,} are the most."
        raise BadInput(what, where=folder, fix="Name a folder with fewer.")
    return sorted(found)


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)
