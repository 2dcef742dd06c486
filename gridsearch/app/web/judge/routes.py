"""The routes of the judge's page: the page itself, the pairs, their images, and the answers."""

import functools
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from bottle import Bottle, HTTPResponse, request, response, static_file

from gridsearch.app.web.guard import LocalPage, text_reply
from gridsearch.app.web.judge.session import Session
from gridsearch.base.errors import BadInput, GridsearchError
from gridsearch.base.pictures import open_picture
from gridsearch.results.store.facts import Choice

FILES = Path(__file__).parent / "page"
# Not guessed from the name: a system's own table of types may differ.
FILE_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
MAX_BODY = 1000  # bytes; an answer has about forty


@dataclass(frozen=True)
class Site:
    """The parts that the page works on.

    Attributes:
        conclude: returns the result of the judgements, as JSON values.
        ended: set when the person has been sent the result.
    """

    token: str
    session: Session
    conclude: Callable[[], dict]
    ended: threading.Event = field(default_factory=threading.Event)


def judge_page(site: Site) -> LocalPage:
    """Return the page; the token is the first part of its path."""
    return LocalPage(_routes(site), site.token, f"{site.token}/", _token_in_path, ("GET", "POST"))


def _token_in_path(environ: dict[str, Any]) -> list[str]:
    """Read from the path as it was sent: an escaped token is none."""
    return [environ["REQUEST_URI"].partition("?")[0].removeprefix("/").partition("/")[0]]


def _routes(site: Site) -> Bottle:
    app, session, base = Bottle(), site.session, f"/{site.token}"
    app.install(_named_errors)

    @app.get(base)
    def add_slash() -> HTTPResponse:  # the page's own links are relative to the slash
        return HTTPResponse(status=302, headers={"Location": f"{base}/"})

    @app.get(f"{base}/")
    @app.get(f"{base}/<name:re:page\\.(?:css|js)>")
    def file(name: str = "page.html") -> HTTPResponse:
        return static_file(name, FILES, mimetype=FILE_TYPES[name])

    @app.get(f"{base}/state")
    def state() -> dict:
        return session.state()

    @app.get(f"{base}/image/<name>")
    def image(name: str) -> HTTPResponse:
        if name not in session.images:
            return _not_found()
        try:
            return HTTPResponse(bare_png(session.images[name]), headers={"Content-Type": "image/png"})
        except BadInput:
            return text_reply(404, "The image cannot be read.")

    @app.post(f"{base}/answer")
    def answer() -> dict:
        place = _place(said := _body())
        if said.get("answer") not in get_args(Choice):
            raise text_reply(400, "The request names no answer.")
        return _state_after(session.answer(place, said["answer"]))

    @app.post(f"{base}/undo")
    def undo() -> dict:
        return _state_after(session.undo(_place(_body())))

    def _state_after(done: bool) -> dict:
        response.status = 200 if done else 409
        return session.state()

    @app.post(f"{base}/finish")
    def finish() -> Iterator[bytes]:
        _body()
        response.content_type = "application/json"
        return _sent_before(json.dumps(site.conclude()), site.ended.set)

    @app.route("/<_:path>", method="ANY")
    def nothing(_: str) -> HTTPResponse:
        return _not_found()

    @app.error(500)
    def bug(_: object) -> str:
        response.content_type = "text/plain; charset=utf-8"
        return "This is a bug; the terminal shows the details."

    return app


def _named_errors(route: Callable) -> Callable:
    """A bottle plugin: send a named error as text."""

    @functools.wraps(route)
    def answer(*args: Any, **named: Any) -> Any:
        try:
            return route(*args, **named)
        except GridsearchError as error:
            return text_reply(503, str(error))

    return answer


def _not_found() -> HTTPResponse:
    return text_reply(404, "There is no such page.")


def _body() -> dict:
    """Return the JSON object that was sent.

    Raises:
        HTTPResponse: it is no JSON object, or its length is unknown or too large.
    """
    environ = request.environ
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise text_reply(415, "The body must be JSON.")
    length = environ.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdigit()):
        raise text_reply(411, "The length of the body is missing.")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise text_reply(413, "The body is too long.")
    try:
        # not by request.body, which follows `Transfer-Encoding: chunked` to any length
        said = json.loads(environ["wsgi.input"].read(int(length)))
    except (ValueError, RecursionError):
        said = None
    except OSError:
        raise text_reply(408, "The body did not arrive.") from None
    if not isinstance(said, dict):
        raise text_reply(400, "The body is not a JSON object.")
    return said


def _place(said: dict) -> int:
    if type(said.get("place")) is not int:
        raise text_reply(400, "The request names no pair.")
    return said["place"]


def _sent_before(text: str, action: Callable[[], object]) -> Iterator[bytes]:
    """Send a text, and act once it is sent: the server asks for more then."""
    yield text.encode()
    action()


def bare_png(path: Path) -> bytes:
    """Return an image as a PNG of nothing but its pixels: the file's texts say how it was made.

    Raises:
        BadInput: there is no such image, or it cannot be read.
    """
    buffer = io.BytesIO()
    with open_picture(path) as image:
        image.load()
        pixels = image if image.mode == "RGB" else image.convert("RGB")
        pixels.info = {}
        pixels.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
