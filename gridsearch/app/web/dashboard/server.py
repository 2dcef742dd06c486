"""The dashboard's server: this machine alone reaches it, and only the browser that was given its address."""

from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from optuna_dashboard import wsgi

from gridsearch.app.web.dashboard.snapshot import SEARCH
from gridsearch.app.web.dashboard.view import View
from gridsearch.app.web.guard import HOME, hosts, is_token, listening, origins
from gridsearch.base.errors import BadInput

READING = ("GET", "HEAD")
FIRST = f"/dashboard/studies/{SEARCH}"
ANYBODY = "access-control-allow-origin"  # which the dashboard grants for artifacts
HEADERS = [
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]

Application = Callable[[dict[str, Any], Callable], Iterable[bytes]]


def application(folder: Path, token: str, port: int) -> Application:
    """The dashboard of a results folder, behind its guard.

    Raises:
        BadInput: the folder holds no study.
    """
    view = View(folder)
    return guarded(wsgi(view, artifact_store=view), token, port)


def guarded(inner: Application, token: str, port: int) -> Application:
    """Answers reading requests of this machine's own address, from a browser that has been told the token.

    The address with `?token=` leaves it in a cookie, for the dashboard's own links do not carry it.
    """
    cookie = f"gridsearch-{port}"  # cookies do not tell ports apart

    def answer(environ: dict[str, Any], start: Callable) -> Iterable[bytes]:
        def refuse(status: str, why: str, *headers: tuple[str, str]) -> Iterable[bytes]:
            start(status, [("Content-Type", "text/plain; charset=utf-8"), *HEADERS, *headers])
            return [f"{why}\n".encode()]

        def begin(status: str, headers: list[tuple[str, str]], *error: object) -> Callable:
            kept = [pair for pair in headers if pair[0].lower() != ANYBODY]
            return start(status, [*kept, *HEADERS], *error)

        if environ.get("HTTP_HOST") not in hosts(port):
            return refuse("403 Forbidden", "Refused: another host.")
        if environ.get("HTTP_ORIGIN") not in {None, *origins(port)}:
            return refuse("403 Forbidden", "Refused: another origin.")
        if environ["REQUEST_METHOD"] not in READING:
            return refuse("405 Method Not Allowed", "This shows a run and changes nothing of it.")
        given = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[-1]
        if is_token(given, token):
            keep = f"{cookie}={token}; HttpOnly; SameSite=Lax; Path=/"
            return refuse("302 Found", "", ("Set-Cookie", keep), ("Location", FIRST))
        if not is_token(_cookie(environ, cookie), token):
            return refuse("403 Forbidden", "Refused: open the address that the terminal shows.")
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # the dashboard takes it for granted
        return inner(environ, begin)

    return answer


def _cookie(environ: dict[str, Any], name: str) -> str:
    try:
        kept = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(name)
    except CookieError:
        return ""
    return kept.value if kept else ""


# -- the server


class Server(ThreadingMixIn, WSGIServer):
    """Listens on this machine's own address alone."""

    daemon_threads = True  # a browser holds connections open that it may never use

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # http.server would ask a name server what this machine is called
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up is no news."""


class Handler(WSGIRequestHandler):
    timeout = 20  # seconds; then a connection that says nothing is closed

    def log_message(self, *_: object) -> None:
        """The terminal is for the person."""


def open_server(folder: Path, token: str, port: int) -> Server:
    """A server that listens on a port, any free one for 0.

    Raises:
        BadInput: the port is taken, or not for everybody; or the folder holds no study.
    """
    with listening(port):
        server = Server((HOME, port), Handler)
    try:
        server.set_app(application(folder, token, server.server_port))
    except BadInput:
        server.server_close()
        raise
    return server


def address(server: Server, token: str) -> str:
    return f"http://{HOME}:{server.server_port}/?token={token}"
