"""What `gridsearch judge` says and does beside its page."""

import json
import shutil
import urllib.request

import pytest

from gridsearch.app.cli.app import app
from gridsearch.app.web import server as server_module
from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.results import store


@pytest.fixture
def folder(tied_run, tmp_path):
    return shutil.copytree(tied_run, tmp_path / "run")


def judge(folder, *options):
    app(["judge", str(folder), "--no-browser", *map(str, options)], standalone_mode=False)


def answering(monkeypatch, answers):
    """In the place of a browser: gives these answers, and then the person presses Ctrl-C."""

    def serve(server, begin, ended):
        def answer_all():
            begin()
            for place, answer in enumerate(answers):
                send(server.address, {"place": place, "answer": answer})
            raise KeyboardInterrupt

        original(server, answer_all, ended)

    original = server_module.serve
    monkeypatch.setattr(server_module, "serve", serve)


def send(address, answer):
    headers = {"Content-Type": "application/json", "X-Token": address.split("/")[-2]}
    urllib.request.urlopen(
        urllib.request.Request(f"{address}answer", json.dumps(answer).encode(), headers)
    ).close()


def test_ctrl_c_keeps_what_was_said_and_the_report_says_it(folder, monkeypatch, capsys):
    answering(monkeypatch, ["equal", "equal"])
    judge(folder, "--pairs", 99, "--trials", 0, "--trials", 3)
    said = " ".join(capsys.readouterr().out.split())
    assert "There are 10 different pairs." in said
    assert "10 pairs: http://127.0.0.1:" in said
    assert "You judged 2 blind pairs. You like another trial as much" in said
    assert '"pairs": 2' in (folder / "best.json").read_text("utf-8")


def test_beside_a_run_the_report_is_left_to_it(folder, monkeypatch, capsys):
    answering(monkeypatch, ["first"])
    with store.locked(folder):
        judge(folder)
    assert "A run is in progress here" in " ".join(capsys.readouterr().out.split())
    assert not (folder / "best.json").exists()
    assert len(store.read_study(folder).judgements) == 1


def test_a_report_that_cannot_be_written_is_not_left_to_a_run(folder, monkeypatch, capsys):
    answering(monkeypatch, ["first"])
    (folder / "best.json").mkdir()
    with pytest.raises(RunFailed, match="directory"):
        judge(folder)
    assert "A run is in progress here" not in capsys.readouterr().out
    assert len(store.read_study(folder).judgements) == 1


def test_nothing_said_changes_nothing(folder, monkeypatch, capsys):
    answering(monkeypatch, [])
    judge(folder)
    assert "Nothing was judged." in capsys.readouterr().out
    assert not (folder / "best.json").exists()


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no results"):
        judge(tmp_path)
