"""Who is answered, and that nothing which is sent tells which picture is whose."""

import http.client
import io
import json
import re
import shutil

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gridsearch.app.web.judge.pairs import choose_pairs
from gridsearch.app.web.judge.routes import bare_png, judge_page
from gridsearch.app.web.server import open_server
from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.results.store.judgements import judgements_of
from tests.helpers.judging import TOKEN, served


@pytest.fixture(scope="module")
def folder(tied_run, tmp_path_factory):
    return shutil.copytree(tied_run, tmp_path_factory.mktemp("server") / "run")


@pytest.fixture
def server(folder):
    results = load_results(folder)
    with served(folder, choose_pairs(results, (0, 3, 4), 5, seed=1)) as server:
        yield server


def ask(server, path, said=None, **headers):
    """Status, headers and body of a reply. `Host=None` sends no such header."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=120)
    sent = {"Host": f"127.0.0.1:{server.server_port}"}
    if said is not None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        sent |= {"X-Token": TOKEN, "Content-Type": "application/json", "Content-Length": str(len(body))}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest("GET" if said is None else "POST", path, skip_host=True, skip_accept_encoding=True)
    for name, value in sent.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(None if said is None else body)
    reply = connection.getresponse()
    return reply.status, dict(reply.getheaders()), reply.read()


def kept(folder):
    return judgements_of(store.read_study(folder).judgements)


def image_of(server) -> str:
    return next(iter(server.session.images))


def test_only_this_machine_is_listened_to(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/{TOKEN}/"


@pytest.mark.parametrize("name", ["", "page.js", "state", "image"])
def test_a_wrong_token_host_or_origin_is_refused(server, name):
    name = f"image/{image_of(server)}" if name == "image" else name
    port = server.server_port
    assert ask(server, f"/{TOKEN}/{name}")[0] == 200
    own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert ask(server, f"/{TOKEN}/{name}", **own)[0] == 200
    for path in (
        f"/{name}",
        f"/wrong/{name}",
        f"/{TOKEN}x/{name}",
        f"/%61-token/{name}",
        f"/x/{TOKEN}/{name}",
    ):
        assert ask(server, path)[0] == 403, path
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil.example", None):
        assert ask(server, f"/{TOKEN}/{name}", Host=host)[0] == 403, host
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{port}",
        f"http://127.0.0.1:{port}1",
        "",
    ):
        assert ask(server, f"/{TOKEN}/{name}", Origin=origin)[0] == 403, origin


def test_the_address_without_its_last_slash_leads_to_the_page(server):
    status, headers, _ = ask(server, f"/{TOKEN}?x")
    assert (status, headers["Location"]) == (302, f"/{TOKEN}/")
    assert ask(server, "/wrong")[0] == 403
    assert ask(server, f"/{TOKEN}", {"place": 0, "answer": "first"})[0] == 404


def test_an_answer_needs_more_than_the_address(server, folder):
    path, said, before = f"/{TOKEN}/answer", {"place": 0, "answer": "first"}, kept(folder)
    for headers, status in (
        ({"X_Token": "wrong"}, 403),
        ({"X_Token": None}, 403),
        ({"X_Token": "é"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": None}, 415),
        ({"Content_Length": None}, 411),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": "1001"}, 413),
        ({"Content_Length": "9" * 5000}, 413),
    ):
        assert ask(server, path, said, **headers)[0] == status, headers
    for body in (b"", b"[", b"[" * 900, b"[]", b"\xff", b'"x"'):
        assert ask(server, path, body)[0] == 400, body
    chunks = b"2\r\n{}\r\n0\r\n\r\n"  # could go on for ever: only the stated length is read
    assert ask(server, path, chunks, Transfer_Encoding="chunked")[0] == 400
    for wrong in (
        {"place": "0"},
        {"place": 0},
        {"place": 0, "answer": "burnt"},
        {"place": True, "answer": "first"},
    ):
        assert ask(server, path, wrong)[0] == 400, wrong
    assert ask(server, path, {"place": 0, "answer": ["first"]})[0] == 400
    for stale in (-1, 1, 99):
        assert ask(server, path, {"place": stale, "answer": "first"})[0] == 409
    assert ask(server, f"/{TOKEN}/undo", {"place": 0})[0] == 409
    assert ask(server, f"/{TOKEN}/state", said)[0] == 404
    assert kept(folder) == before


def test_answers_are_kept_at_once_and_taken_back(server, folder):
    before = kept(folder)
    pair = server.session.pairs[0]
    status, _, body = ask(server, f"/{TOKEN}/answer", {"place": 0, "answer": "second"})
    assert (status, json.loads(body)["done"]) == (200, 1)
    (made,) = set(kept(folder)) - set(before)
    assert (made.first, made.second) == (pair.first, pair.second)
    assert (made.prompt_id, made.seed) == (pair.prompt_id, pair.seed)
    assert (made.answer, made.session) == ("second", 7)
    assert ask(server, f"/{TOKEN}/answer", {"place": 0, "answer": "first"})[0] == 409  # pressed twice
    assert ask(server, f"/{TOKEN}/undo", {"place": 1})[0] == 200
    assert kept(folder) == before
    for place in range(5):
        status, _, body = ask(server, f"/{TOKEN}/answer", {"place": place, "answer": "equal"})
    assert json.loads(body) == {"done": 5, "total": 5, "pairs": []}
    assert ask(server, f"/{TOKEN}/answer", {"place": 5, "answer": "equal"})[0] == 409
    assert not server.session.ended.is_set()
    assert ask(server, f"/{TOKEN}/finish", {})[2] == b'{"headline": "done"}'
    assert server.session.ended.wait(120)


def test_nothing_but_pages_and_pictures_is_served(server):
    up = ("../../study.db", "image/../../study.db", "image/%2e%2e/study.db", "page/page.js", "../x/state")
    for name in (*up, "image/", "image/t0000_p1_11.png", "images/t0000_p1_11.png", "favicon.ico"):
        assert ask(server, f"/{TOKEN}/{name}")[0] == 404, name


def test_pages_may_load_nothing_from_elsewhere_and_pass_nothing_on(server):
    for name in ("", "state", f"image/{image_of(server)}", "nothing"):
        headers = ask(server, f"/{TOKEN}/{name}")[1]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"unsafe|http|\*", policy)
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers
    assert "default-src 'none'" in ask(server, "/wrong/")[1]["Content-Security-Policy"]
    page = ask(server, f"/{TOKEN}/")[2].decode()
    assert not re.search(r"\son\w+=|style=|<script>", page)


def test_nothing_tells_which_picture_is_whose(folder, tmp_path):
    """Neither names nor headers nor the picture's own texts; and a picture in two pairs has two names."""
    info = PngInfo()
    info.add_text("parameters", "a cat\nmerge: 0.5, trial 3")
    info.add_itxt("comment", "ratio 0.5")
    path = tmp_path / "with text.png"
    with Image.open(next((folder / "images").glob("*.png"))) as image:
        image.save(path, pnginfo=info, icc_profile=b"ratio 0.5", dpi=(3, 5))
    bare = bare_png(path)
    assert {bare[at + 4 : at + 8] for at in chunks(bare)} == {b"IHDR", b"IDAT", b"IEND"}
    with Image.open(io.BytesIO(bare)) as shown, Image.open(path) as original:
        assert shown.tobytes() == original.convert("RGB").tobytes()

    pairs = choose_pairs(load_results(folder), (0, 3, 4), 30, seed=1)
    with served(folder, pairs) as server:
        session = server.session
        assert len(session.images) == 60
        assert len(set(session.images.values())) == 30
        status, headers, body = ask(server, f"/{TOKEN}/state")
        assert status == 200
        state = json.loads(body)
        assert all(set(pair) == {"left", "right", "prompt"} for pair in state["pairs"])
        said = json.dumps(state["total"]) + str(headers)
        assert "t000" not in said + str(list(session.images))
        image = ask(server, f"/{TOKEN}/image/{state['pairs'][0]['left']}")
        assert {"Content-Type", "Content-Length", "Date", "Server"} < set(image[1])
        assert "Last-Modified" not in image[1]
        assert image[1]["Server"] == "gridsearch"


def chunks(png: bytes):
    at = 8
    while at < len(png):
        yield at
        at += 12 + int.from_bytes(png[at : at + 4], "big")


def test_a_picture_that_has_gone_is_no_crash(folder, server):
    name, file = next(iter(server.session.images.items()))
    content = file.read_bytes()
    try:
        file.write_bytes(content[:50])
        assert ask(server, f"/{TOKEN}/image/{name}")[0] == 404
        file.unlink()
        assert ask(server, f"/{TOKEN}/image/{name}")[0] == 404
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [(RunFailed("The disk is full."), 503, b"full"), (ValueError("x"), 500, b"bug")],
)
def test_a_failure_is_a_reply_and_leaves_the_page_open(server, monkeypatch, error, status, words):
    def fail():
        raise error

    monkeypatch.setattr(server.session, "result", fail)
    given, headers, body = ask(server, f"/{TOKEN}/finish", {})
    assert (given, headers["X-Content-Type-Options"]) == (status, "nosniff")
    assert words in body
    assert not server.session.ended.is_set()


def test_a_taken_port_is_said(server):
    with pytest.raises(BadInput, match="cannot be served"):
        open_server(lambda _: judge_page(server.session, TOKEN), server.server_port)
