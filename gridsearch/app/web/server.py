"""The HTTP server of the local pages, and its guard: which requests are answered, and every reply's headers.

Only this machine reaches the server. The Origin header gives away another site's page; the Host header does
so where a name of that site leads to 127.0.0.1 (DNS rebinding). Another user of this machine does not know
the token, unless it is read from the command line of the browser that is opened with it. A file that forwards
to the address would hide it, but many browsers may not read one: those in a sandbox (snap, Flatpak), and
those at the other end of WSL or of a remote editor.
"""

import hmac
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication

from bottle import HTTPResponse

from gridsearch.base.errors import BadInput

HOME = "127.0.0.1"
READING = ("GET", "HEAD")
HEADERS = {
    "Cache-Control": "no-store",
    # of every reply that brings no policy of its own
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Server": "gridsearch",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
OPEN_TO_ALL = "access-control-allow-origin"  # optuna-dashboard grants it for artifacts


@dataclass(frozen=True)
class LocalPage:
    """A page, and what lets a request in."""

    application: WSGIApplication
    token: str  # the secret without which nothing is answered
    entry: str  # path and query of the page's address; they hold the token
    carried: Callable[[dict[str, Any]], Iterable[str]]  # the tokens that a request carries
    methods: Collection[str]  # that are answered


def guarded(page: LocalPage, port: int) -> WSGIApplication:
    """Return the page's application behind the guard; every reply has `HEADERS`."""

    def answer(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            own = {name.lower() for name, _ in headers}
            kept = [pair for pair in headers if pair[0].lower() != OPEN_TO_ALL]
            added = [pair for pair in HEADERS.items() if pair[0].lower() not in own]
            return start(status, kept + added, *error)

        refused = _refusal(page, port, environ)
        return page.application(environ, begin) if refused is None else sent(refused, begin)

    return answer


def _refusal(page: LocalPage, port: int, environ: dict[str, Any]) -> HTTPResponse | None:
    """Return the reply to a request that is not let in; None for one that is."""
    hosts = {f"{name}:{port}" for name in (HOME, "localhost")}
    if port == 80:  # that of http, which browsers leave out
        hosts |= {HOME, "localhost"}
    if environ.get("HTTP_HOST") not in hosts:
        return text_reply(403, "Refused: another host.")
    if environ.get("HTTP_ORIGIN") not in {None, *(f"http://{host}" for host in hosts)}:
        return text_reply(403, "Refused: another origin.")
    method = environ["REQUEST_METHOD"]
    if method not in page.methods:
        return text_reply(405, f"Refused: this page does not take {method} requests.")
    needed = [page.carried(environ)]
    if method not in READING:  # a header that no form, and no script of another site, can send
        needed.append([environ.get("HTTP_X_TOKEN", "")])
    if not all(any(_is_token(given, page.token) for given in tokens) for tokens in needed):
        return text_reply(403, "Refused: wrong token. Open the address shown in the terminal.")
    return None


def _is_token(given: str, token: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def text_reply(status: int, text: str) -> HTTPResponse:
    return HTTPResponse(text, status, {"Content-Type": "text/plain; charset=utf-8"})


def sent(reply: HTTPResponse, start: StartResponse) -> Iterable[bytes]:
    """Send a reply of text as WSGI does, outside of a bottle application."""
    start(reply.status_line, reply.headerlist)
    return [reply.body.encode()]


class Server(ThreadingMixIn, WSGIServer):
    """A server of one page."""

    address: str  # where the page is, token included
    daemon_threads = True  # a browser holds connections open that it may never use

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # http.server would ask a name server for this machine's name
        self.server_name, self.server_port = HOME, self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that hangs up; print the traceback of a bug."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Requests(WSGIRequestHandler):
    timeout = 20  # seconds; then a connection that says nothing is closed

    def get_environ(self) -> dict[str, Any]:
        """Return the WSGI environment, with the path as it was sent beside the decoded one."""
        return super().get_environ() | {"REQUEST_URI": self.path}

    def log_message(self, *_: object) -> None:
        """Keep the terminal for the person."""


def open_server(make_page: Callable[[int], LocalPage], port: int) -> Server:
    """Return a server of the page on 127.0.0.1; `port` is 0 for any free port.

    Raises:
        BadInput: the port is in use or not permitted; or `make_page` raises it.
    """
    try:
        server = Server((HOME, port), _Requests)
    except OSError as error:
        what, fix = "The page cannot be served on this port.", "Leave out --port, and a free port is chosen."
        raise BadInput(what, where=f"--port {port}", why=error.strerror, fix=fix) from None
    try:
        page = make_page(server.server_port)
    except BadInput:
        server.server_close()
        raise
    server.set_app(guarded(page, server.server_port))
    server.address = f"http://{HOME}:{server.server_port}/{page.entry}"
    return server


def serve(server: Server, begin: Callable[[], object], ended: threading.Event) -> None:
    """Answer requests until `ended` is set, or Ctrl-C is pressed.

    Once they are answered, `begin` is called; it may take its time, as a browser in the terminal does.
    """
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        with suppress(KeyboardInterrupt):
            begin()
            ended.wait()
    finally:
        server.shutdown()
        server.server_close()
