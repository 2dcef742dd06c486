"""The page's server: this machine alone reaches it, and only who knows the token is answered."""

import io
import json
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import get_args

from gridsearch.app.web.guard import HOME, listening
from gridsearch.app.web.judge.guard import Request, refusal
from gridsearch.app.web.judge.session import Session
from gridsearch.base.errors import BadInput, GridsearchError
from gridsearch.base.pictures import open_picture
from gridsearch.results.store.judgements import Choice

PAGE = Path(__file__).parent / "page"
FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Reply:
    status: int
    kind: str
    body: bytes
    location: str | None = None  # where to ask instead


@dataclass(frozen=True)
class Site:
    """What is served.

    Attributes:
        conclude: the result of what was judged, as JSON values.
        ended: set when the person has seen the result.
    """

    token: str
    session: Session
    conclude: Callable[[], dict]
    ended: threading.Event = field(default_factory=threading.Event)


# -- from a request to a reply


def get(site: Site, name: str | None) -> Reply:
    if name is None:  # the page's own links are relative to the slash
        return Reply(302, "text/plain; charset=utf-8", b"", location=f"/{site.token}/")
    if name in FILES:
        file, kind = FILES[name]
        return Reply(200, kind, (PAGE / file).read_bytes())
    if name == "state":
        return _json(200, site.session.state())
    image = site.session.images.get(name.removeprefix("image/")) if name.startswith("image/") else None
    if image is None:
        return _text(404, "There is no such page.")
    try:
        return Reply(200, "image/png", bare_png(image))
    except BadInput:
        return _text(404, "The picture cannot be read.")


def post(site: Site, name: str | None, body: bytes) -> Reply:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return _text(400, "The body is no JSON object.")
    session, place, choice = site.session, said.get("place"), said.get("answer")
    if name == "finish":
        return _json(200, site.conclude())
    if name not in ("answer", "undo"):
        return _text(404, "There is no such page.")
    if type(place) is not int or (name == "answer" and choice not in get_args(Choice)):
        return _text(400, "The body does not say which pair, or what of it.")
    done = session.answer(place, choice) if name == "answer" else session.undo(place)
    return _json(200 if done else 409, session.state())


def bare_png(path: Path) -> bytes:
    """A picture as nothing but its pixels: the file's texts say how it was made.

    Raises:
        BadInput: there is no such picture, or it cannot be read.
    """
    buffer = io.BytesIO()
    with open_picture(path) as image:
        image.load()
        pixels = image if image.mode == "RGB" else image.convert("RGB")
        pixels.info = {}
        pixels.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _json(status: int, value: dict) -> Reply:
    body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Reply(status, "application/json; charset=utf-8", body)


def _text(status: int, text: str) -> Reply:
    return Reply(status, "text/plain; charset=utf-8", text.encode())


# -- the server


class Server(ThreadingHTTPServer):
    """Listens on this machine's own address alone."""

    daemon_threads = True  # a browser holds connections open that it may never use

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        super().__init__((HOME, port), Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # http.server would ask a name server what this machine is called
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up is no news; a bug is, with its traceback."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://{HOME}:{self.server_port}/{self.site.token}/"


class Handler(BaseHTTPRequestHandler):
    """Reads a request, has it checked and answered, and writes the reply."""

    timeout = 20  # seconds; then a connection that says nothing is closed
    server: Server

    def do_GET(self) -> None:
        self._answer(lambda name: get(self.server.site, name))

    def do_POST(self) -> None:
        self._answer(lambda name: post(self.server.site, name, self._body()))
        if self._name == "finish" and self._status == 200:
            self.server.site.ended.set()

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, reply_to: Callable[[str | None], Reply]) -> None:
        headers = {name.lower(): self.headers.get_all(name, []) for name in self.headers}
        request = Request(self.command, self.path, headers)
        self._name = request.parts[1]
        if refused := refusal(request, self.server.site.token, self.server.server_port):
            self._write(_text(refused[0], f"Refused: {refused[1]}."))
            return
        try:
            self._write(reply_to(self._name))
        except GridsearchError as error:
            self._write(_text(503, str(error)))
        except OSError:
            raise  # nobody is there to be told
        except Exception:
            self._write(_text(500, "This is a bug; the terminal says more."))
            raise

    def _write(self, reply: Reply) -> None:
        self._status = reply.status
        self.send_response(reply.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if reply.location is not None:
            self.send_header("Location", reply.location)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def version_string(self) -> str:
        return "gridsearch"

    def log_message(self, *_: object) -> None:
        """The terminal is for the person."""


def open_server(site: Site, port: int) -> Server:
    """A server that listens on a port, any free one for 0.

    Raises:
        BadInput: the port is taken, or not for everybody.
    """
    with listening(port):
        return Server(site, port)


def serve(server: Server, begin: Callable[[], object]) -> None:
    """Answer requests until the person has finished, or presses Ctrl-C.

    Args:
        begin: called when requests are answered; may take its time, as a browser in the terminal does.
    """
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        with suppress(KeyboardInterrupt):
            begin()
            server.site.ended.wait()
    finally:
        server.shutdown()
        server.server_close()
