"""EfficientNet-Lite0: its file is read without unpickling, and its norms are folded in."""

import io
from collections import OrderedDict
from math import prod

import numpy as np
import pytest
import torch

from gridsearch.base.errors import BadInput
from gridsearch.score.scorers import lite0
from gridsearch.score.scorers.lite0 import (
    HEAD,
    PACKAGE,
    WEIGHTS_FILE,
    Unit,
    folded,
    raw_storages,
    unit_shapes,
)


def old_format(tensors) -> bytes:
    file = io.BytesIO()
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def test_storages_come_in_the_order_of_their_tensors():
    made = OrderedDict((f"t{n}", torch.randn(n + 1)) for n in range(9)) | {"steps": torch.tensor(7)}
    found = raw_storages(old_format(OrderedDict(made)), [4] * 9 + [8])
    assert found == [tensor.numpy().tobytes() for tensor in made.values()]


class Opened:
    """What unpickling would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_unpickled(tmp_path):
    content = old_format({"a": torch.ones(2), "b": Opened(tmp_path / "opened")})
    assert raw_storages(content, [4]) == [torch.ones(2).numpy().tobytes()]
    assert not (tmp_path / "opened").exists()
    torch.load(io.BytesIO(content), weights_only=False)
    assert (tmp_path / "opened").exists()


def test_another_file_is_refused_and_the_package_is_not_imported(tmp_path, monkeypatch):
    file = tmp_path / PACKAGE / WEIGHTS_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another")
    (tmp_path / PACKAGE / "__init__.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput, match="SHA-256 is another") as refused:
        lite0.known_file()
    assert str(file) in str(refused.value)


def test_it_has_the_published_number_of_parameters():
    kernels = unit_shapes()
    norms = [2 * max(shape[2] if shape[3] == 1 else 0, shape[3]) for shape in kernels]
    classes = (HEAD + 1) * 1000
    assert sum(map(prod, kernels)) + sum(norms) + classes == 4_652_008


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (3, 3, 5, 1)])
def test_a_folded_norm_is_the_norm(shape):
    rng = np.random.default_rng(3)
    channels = shape[2] if shape[3] == 1 else shape[3]
    kernel = rng.normal(size=shape)
    scale, shift, mean, variance = rng.uniform(0.2, 2, (4, channels))
    storages = [values.astype(np.float32).tobytes() for values in (kernel, scale, shift, mean, variance)]
    x = torch.from_numpy(rng.normal(size=(1, shape[2], 7, 8)))
    weight = torch.from_numpy(kernel).permute((2, 3, 0, 1) if shape[3] == 1 else (3, 2, 0, 1))
    plain = torch.nn.functional.conv2d(x, weight, padding=1, groups=shape[2] if shape[3] == 1 else 1)
    of = (torch.from_numpy(values) for values in (mean, variance, scale, shift))
    expected = torch.nn.functional.batch_norm(plain, *of, eps=1e-3)
    torch.testing.assert_close(folded(storages, shape)(x.float()).double(), expected, rtol=1e-5, atol=1e-5)


def test_a_stride_pads_at_the_end():
    ones = Unit(torch.ones(1, 1, 3, 3), torch.zeros(1), stride=2)
    assert ones(torch.ones(1, 1, 4, 4))[0, 0].tolist() == [[9, 6], [6, 4]]
