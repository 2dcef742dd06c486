"""What each of several workers has of a machine."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from gridsearch.base import machine
from gridsearch.base.machine import (
    FreeMemory,
    LocalWorkers,
    free_memory,
    gpus_here,
    has_ended,
    local_workers,
    process_name,
)


@pytest.fixture(autouse=True)
def _memory(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=9000))


@pytest.fixture
def cards(monkeypatch):
    """Two GPUs, of which the first has 700 of 1000 bytes free."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (700, 1000))


def test_workers_have_a_gpu_by_turns_and_a_share_of_what_is_free(monkeypatch, cards):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    three = local_workers(3, "auto")
    assert (three.per_gpu, three.speedup) == (2, 2)
    environment = three.environment()
    assert [environment(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["0", "1", "0"]
    for name, value in environment(0).items():
        monkeypatch.setenv(name, value)
    assert free_memory("cuda") == FreeMemory(host=3000, gpu=500)
    assert local_workers(None, "cuda").workers == 1  # of those that it has been left


def test_a_plan_for_workers_parts_what_is_free_as_they_will(cards):
    assert free_memory("cuda") == FreeMemory(host=9000, gpu=700)
    assert free_memory("cuda", workers=3, per_gpu=2) == FreeMemory(host=3000, gpu=500)


def test_gpus_that_were_taken_away_are_not_used(monkeypatch, cards):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert gpus_here() == ("3", "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus_here() == ()


def test_an_experiment_for_the_cpu_leaves_the_gpus_alone_and_parts_the_cores(monkeypatch, cards):
    monkeypatch.setattr(machine, "cores_here", lambda: 8)
    assert local_workers(None, "cpu") == LocalWorkers(8, ())
    mine = LocalWorkers(3, ()).environment()(0)
    assert "CUDA_VISIBLE_DEVICES" not in mine
    assert mine["OMP_NUM_THREADS"] == "2"
    assert LocalWorkers(3, ()).speedup == 1


def test_of_a_process_elsewhere_nothing_is_known():
    """Ended ones of this machine: tests/search/workers/test_leases.py."""
    host, numbering, _, time = process_name().split(" ")
    for name in ("", "w", f"{host} other 999999999 {time}", f"other {numbering} 999999999 {time}"):
        assert not has_ended(name)
    assert not has_ended(process_name())
    assert has_ended(f"{host} {numbering} 999999999 {time} 2")
    assert not has_ended(f"{host} {numbering} x {time}")
