"""Optuna's dashboard over a run, asked as a browser asks it."""

import io
import json
import threading
import urllib.error
import urllib.request
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.trial import TrialState

from gridsearch.app.web import dashboard
from gridsearch.app.web.dashboard import View, dashboard_page
from gridsearch.app.web.server import guarded, open_server
from gridsearch.base.errors import BadInput
from gridsearch.results import store
from tests.helpers.stored import stored_run

TOKEN, PORT = "secret-of-a-test", 8123
COOKIE = {"HTTP_COOKIE": f"gridsearch-{PORT}={TOKEN}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return stored_run(tmp_path_factory.mktemp("dashboard"))


@pytest.fixture(scope="module")
def app(folder):
    return application(folder)


def application(folder):
    return guarded(dashboard_page(folder, TOKEN, PORT), PORT)


def ask(app, path: str, method: str = "GET", query: str = "", body: bytes = b"", **headers):
    """(status, headers, body) of a request that carries the token, unless told otherwise."""
    environ = {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": f"127.0.0.1:{PORT}"} | COOKIE
    environ |= {
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
    }
    environ |= {"wsgi.input": io.BytesIO(body)} | headers
    setup_testing_defaults(environ)
    said = {}
    answer = app(environ, lambda status, found, *_: said.update(status=int(status[:3]), headers=dict(found)))
    content = b"".join(answer)
    return said["status"], said["headers"], content


def read(app, path: str) -> dict:
    status, _, body = ask(app, path)
    assert status == 200, body
    return json.loads(body)


def test_the_study_is_shown_with_figures_and_without_rows(app):
    (study,) = read(app, "/api/studies")["study_summaries"]
    assert (study["study_id"], study["study_name"]) == (1, "made-up")
    shown = read(app, "/api/studies/1")
    assert shown["objective_names"] == ["loss"]
    attributes = {
        trial["number"]: {pair["key"]: pair["value"] for pair in trial["user_attrs"]}
        for trial in shown["trials"]
    }
    assert attributes[0]["survived"] == "1.0"
    assert attributes[2] == attributes[2] | {"survived": "0.0", "images burnt": "4", "images": "4"}
    assert not any(key.startswith(("images_", "rung", "seconds")) for key in attributes[0])
    assert read(app, "/api/studies/1/param_importances")["param_importances"]


def test_every_image_is_an_artifact_of_its_trial_byte_for_byte(app, folder):
    shown = read(app, "/api/studies/1")
    stored = store.read_study(folder).trials
    for trial, kept in zip(shown["trials"], stored, strict=True):
        rows = store.images_of(kept)
        assert len(trial["artifacts"]) == len(rows) == 4
        for artifact, row in zip(trial["artifacts"], rows, strict=True):
            path = f"/artifacts/1/{trial['trial_id']}/{artifact['artifact_id']}"
            status, headers, body = ask(app, path)
            assert (status, headers["Content-Type"]) == (200, "image/png")
            assert body == (folder / row["file"]).read_bytes()
            assert "Access-Control-Allow-Origin" not in headers
            assert artifact["filename"] == f"{row['prompt_id']} seed {row['seed']} {row['verdict']}.png"
    reference = shown["artifacts"][0]
    assert reference["filename"].startswith("base p1 seed 11")
    assert ask(app, f"/artifacts/1/{reference['artifact_id']}")[0] == 200


def test_only_pictures_within_the_folder_are_served(tmp_path):
    run = tmp_path / "run"
    stored_run(run, prompts=("a",), seeds=(1,))
    (tmp_path / "secret.png").write_bytes(b"secret")
    (run / "page.html").write_text("<script>")
    facts, trials, *_ = (found := store.read_study(run)).facts, found.trials
    outside = (
        "../secret.png",
        str(tmp_path / "secret.png"),
        "page.html",
        "study.db",
        "images/../../secret.png",
    )
    changed = [
        store.copied(
            trial, user_attrs={"images": [store.images_of(trial)[0] | {"file": name}], "seconds": {}}
        )
        for trial, name in zip(trials, outside, strict=True)
    ]
    store.write_study(run, facts, changed)
    app = application(run)
    shown = read(app, "/api/studies/1")["trials"]
    assert [trial["artifacts"] for trial in shown] == [[]] * 5
    for wrong in ("../secret.png", "%2e%2e/secret.png", "..%2fsecret.png", "0" * 32, "study.db"):
        assert ask(app, f"/artifacts/1/{shown[0]['trial_id']}/{wrong}")[0] == 404
        assert ask(app, f"/artifacts/1/{wrong}")[0] == 404


REFUSED = {
    "another host": {"HTTP_HOST": "evil.example"},
    "a name that leads here": {"HTTP_HOST": f"evil.example:{PORT}"},
    "another port": {"HTTP_HOST": "127.0.0.1:80"},
    "another origin": {"HTTP_ORIGIN": "http://evil.example"},
    "a file's origin": {"HTTP_ORIGIN": "null"},
    "no token": {"HTTP_COOKIE": ""},
    "a wrong token": {"HTTP_COOKIE": f"gridsearch-{PORT}=guess"},
    "a wrong token in the address": {"HTTP_COOKIE": "", "QUERY_STRING": "token=guess"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_strangers_are_refused(app, case):
    for path in ("/dashboard", "/api/studies/1", "/static/bundle.js"):
        assert ask(app, path, **REFUSED[case])[0] == 403


WRITES = (
    ("DELETE", "/api/studies/1", {}),
    ("POST", "/api/studies", {"study_name": "mine", "directions": ["minimize"]}),
    ("POST", "/api/studies/1/rename", {"study_name": "mine"}),
    ("PUT", "/api/studies/1/note", {"version": 1, "body": "x"}),
    ("POST", "/api/trials/1/tell", {"state": "FAIL"}),
    ("POST", "/api/artifacts/1/1", {"file": "data:,x", "filename": "x"}),
    ("DELETE", "/api/artifacts/1/1/00", {}),
)


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_nothing_can_be_changed(app, folder, method, path, body):
    before = (folder / store.FILE).read_bytes()
    assert ask(app, path, method, body=json.dumps(body).encode())[0] == 405
    assert (folder / store.FILE).read_bytes() == before


def test_the_storage_itself_refuses_to_write(folder):
    view = View(folder)
    for change in (
        view.delete_study,
        view.create_new_trial,
        view.set_trial_user_attr,
        view.remove,
        view.write,
    ):
        with pytest.raises(PermissionError):
            change(1)


def test_a_run_that_goes_on_is_shown_as_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(dashboard, "FRESH", 0.0)
    stored_run(tmp_path, prompts=("a",), seeds=(1,))
    view = View(tmp_path)
    with store.open_study(tmp_path) as study:
        trial = study.ask()
        trial.suggest_float("ratio", 0, 1)
        row = store.images_of(study.trials[0])[0]
        store.record_batch(trial, 0, [row], {"render": 1.0})
        *_, shown = view.get_all_trials(1)
        assert shown.state == TrialState.RUNNING
        assert len([key for key in shown.system_attrs if key.startswith("artifacts:")]) == 1
        assert view.get_trial(shown._trial_id).user_attrs["images"] == 1
        said = {"role": "repeat", "of": 0, "parameters": {}}
        check = store.copied(study.trials[0], user_attrs=study.trials[0].user_attrs | said)
        store.checks_of(study).add_trial(check)
    assert [study.study_name for study in view.get_all_studies()] == [
        "made-up",
        "made-up: checks of the leaders",
    ]


def opened(folder, port):
    return open_server(lambda port: dashboard_page(folder, TOKEN, port), port)


def test_the_address_opens_it_once_and_a_cookie_from_then_on(folder):
    server = opened(folder, 0)
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        page = opener.open(server.address)
        assert page.url == f"http://127.0.0.1:{server.server_port}/dashboard/studies/1"  # without the token
        assert b"Optuna Dashboard" in page.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(page.url)
        with pytest.raises(BadInput, match="cannot be served on this port"):
            opened(folder, server.server_port)
        server.shutdown()


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(BadInput, match="holds no results"):
        opened(tmp_path, 0)
