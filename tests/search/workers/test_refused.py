"""A worker of another version, or with other models, is refused by itself, and the run says so, too."""

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import load_experiment
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.search import prepare
from gridsearch.search.budget import Budget
from gridsearch.search.load import prepare_and_load
from gridsearch.search.workers.leader import lead
from gridsearch.search.workers.look import InProcess
from gridsearch.search.workers.worker import work, work_once, worker_of
from tests.helpers.small_run import Noting, Quiet


@pytest.mark.night
def test_the_worker_and_the_run_say_why(file, tmp_path, monkeypatch):
    other, out, said, told = tmp_path / "other.toml", tmp_path / "out", [], Noting()
    other.write_text(file.read_text().replace("burnt.safetensors", "vpred.safetensors"))
    prepared, setup = prepare_and_load(load_experiment(file), file, out, told)
    version = prepare.version

    def come(name, theirs):
        with pytest.raises(BadInput) as refused:
            work(load_experiment(theirs), theirs, out, name, Quiet())
        said.append((name, str(refused.value)))

    def crew(study):
        worker = worker_of("here", study, prepared, setup, told, alone=True)

        def visited() -> bool:
            if not said:
                come("with other models", other)
                with monkeypatch.context() as patched:
                    patched.setattr(prepare, "version", lambda name: version(name) + ".post1")
                    come("with other packages", file)
            return work_once(worker, queue.read_orders(study))

        return InProcess(visited)

    lead(prepared, out, Budget(trials=2), told, crew, retries=0, shared=True, pace=0.01)
    assert "This worker's experiment or models are not those of the run." in said[0][1]
    assert "model burnt" in said[0][1]
    assert "delete" not in said[0][1]
    assert "packages are not those of the run" in said[1][1]
    for name, why in said:
        (note,) = [note for note in told.notes if note.startswith(f"The worker {name} was refused: ")]
        assert why.splitlines()[0] in note
    assert [trial.state.name for trial in store.read_study(out).trials][:2] == ["COMPLETE"] * 2
