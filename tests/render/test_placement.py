"""The device that renders is named, and why it is not a GPU."""

import pytest
import torch

from gridsearch.base.errors import BadInput
from gridsearch.base.machine import local_workers
from gridsearch.render import placement as module
from gridsearch.render.placement import FULL_SIZE, placement, slow_notes


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_a_cpu_is_named_with_its_cores(monkeypatch):
    monkeypatch.setattr(module, "cores_here", lambda: 16)
    assert placement("auto", "auto").described() == "the CPU (16 cores), float32"


@pytest.mark.parametrize(
    ("cuda", "why"),
    [(None, "is built without CUDA"), ("13.0", "finds no NVIDIA GPU and driver")],
)
def test_without_a_gpu_the_reason_and_the_remedy_are_told(monkeypatch, cuda, why):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    with pytest.raises(BadInput, match="There is no CUDA device") as refused:
        placement("cuda", "auto")
    (note,) = slow_notes("auto", FULL_SIZE)
    for said in (str(refused.value), note):
        assert why in said
        assert f"install the CUDA build of torch {torch.__version__.partition('+')[0]}" in said


def test_a_small_model_or_a_chosen_cpu_needs_no_note():
    assert slow_notes("auto", FULL_SIZE - 1) == slow_notes("cpu", FULL_SIZE) == []


def test_the_gpu_of_a_mac_renders_in_half_precision_and_is_said_to_be_untested(monkeypatch):
    with pytest.raises(BadInput, match="There is no mps device"):
        placement("mps", "auto")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert str(placement("auto", "auto")) == str(placement("mps", "auto")) == "mps float16"
    assert placement("auto", "auto").described() == "the GPU of this Mac, float16"
    for device in ("auto", "mps"):
        (note,) = slow_notes(device, 1)
        assert "It was never tested on a Mac" in note
        assert local_workers(None, device).workers == 1
    assert slow_notes("cpu", FULL_SIZE) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert placement("auto", "auto").device == "cuda"
