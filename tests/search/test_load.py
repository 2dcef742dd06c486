"""A run's models are loaded while their files are hashed."""

import threading
from pathlib import Path

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.results import store
from gridsearch.search import load
from gridsearch.search.load import prepare_and_load
from gridsearch.search.prepare import prepare
from tests.helpers.small_run import FILE, Quiet, experiment

PATIENCE = 120  # seconds after which a thread that waits for another says so


class Meeting(Quiet):
    """Hashing goes on only once the models are being read, and `read` is called then."""

    def __init__(self, read=lambda: None):
        self.began, self.ended, self.met, self._read = threading.Event(), threading.Event(), [], read

    def hashing(self, name, total):
        def advance(size):
            self.met.append(self.began.wait(PATIENCE))

        return advance

    def reading(self, name, total):
        self.began.set()
        self._read()
        return lambda size: None


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(load, "SOON", 0)


def test_models_are_read_while_their_files_are_hashed(toy, tmp_path, impatient):
    listener, what = Meeting(), experiment(toy)
    prepared, setup = prepare_and_load(what, FILE, tmp_path / "run", listener)
    assert listener.met
    assert all(listener.met)
    alone = prepare(what, FILE, tmp_path / "run", Quiet().hashing)
    assert prepared.facts == alone.facts
    assert setup.hashes == {name: model["sha256"] for name, model in alone.facts.models.items()}


def test_where_loading_fails_no_file_is_hashed_to_its_end(toy, tmp_path, impatient):
    def fail():
        raise BadInput("unreadable")

    listener = Meeting(fail)
    with pytest.raises(BadInput, match="unreadable"):
        prepare_and_load(experiment(toy), FILE, tmp_path / "run", listener)
    assert len(listener.met) <= 1  # of two models; the first was being hashed


def test_what_does_not_fit_the_folder_is_refused_before_anything_is_loaded(toy, tmp_path, monkeypatch):
    out = tmp_path / "run"
    store.write_study(out, prepare(experiment(toy), FILE, out, Quiet().hashing).facts)
    monkeypatch.setattr(load, "load_setup", lambda *_, **__: pytest.fail("loaded"))
    monkeypatch.setattr(load, "SOON", PATIENCE)  # on a busy machine too
    with pytest.raises(BadInput, match="a different experiment"):
        prepare_and_load(experiment(toy, prompt=[{"text": "a cube", "seeds": [1]}]), Path("x"), out, Quiet())
