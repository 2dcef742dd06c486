"""The guard of the local pages: which requests are answered, and the headers of every reply.

The Origin header gives away another site's page; the Host header does so where a name of that site leads to
127.0.0.1 (DNS rebinding). Another user of this machine does not know the token, unless it is read from the
command line of the browser that is opened with it. A file that forwards to the address would hide it, but
many browsers may not read one: those in a sandbox (snap, Flatpak), and those at the other end of WSL or of a
remote editor.
"""

import hmac
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication

from bottle import HTTPResponse

HOME = "127.0.0.1"
HTTP_PORT = 80
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
    """A page, and what lets a request in.

    Attributes:
        application: answers the requests that are let in.
        token: the secret without which nothing is answered.
        entry: path and query of the page's address; they hold the token.
        carried: returns the tokens that a request carries.
        methods: the HTTP methods that are answered.
    """

    application: WSGIApplication
    token: str
    entry: str
    carried: Callable[[dict[str, Any]], Iterable[str]]
    methods: Collection[str]


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
    method = environ["REQUEST_METHOD"]
    if environ.get("HTTP_HOST") not in hosts(port):
        return text_reply(403, "Refused: another host.")
    if environ.get("HTTP_ORIGIN") not in {None, *origins(port)}:
        return text_reply(403, "Refused: another origin.")
    if method not in page.methods:
        return text_reply(405, f"Refused: this page does not take {method} requests.")
    needed = [page.carried(environ)]
    if method not in READING:  # a header that no form, and no script of another site, can send
        needed.append([environ.get("HTTP_X_TOKEN", "")])
    if not all(any(_is_token(given, page.token) for given in tokens) for tokens in needed):
        return text_reply(403, "Refused: wrong token. Open the address shown in the terminal.")
    return None


def hosts(port: int) -> set[str]:
    """Return the allowed values of the Host header. Browsers leave out the port that http has by default."""
    names = {HOME, "localhost"}
    return {f"{name}:{port}" for name in names} | (names if port == HTTP_PORT else set())


def origins(port: int) -> set[str]:
    """Return the allowed values of the Origin header, where there is one."""
    return {f"http://{host}" for host in hosts(port)}


def _is_token(given: str, token: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def text_reply(status: int, text: str) -> HTTPResponse:
    """Return a reply of plain text."""
    return HTTPResponse(text, status, {"Content-Type": "text/plain; charset=utf-8"})


def sent(reply: HTTPResponse, start: StartResponse) -> Iterable[bytes]:
    """Send a reply of text as WSGI does, outside of a bottle application."""
    start(reply.status_line, reply.headerlist)
    return [reply.body.encode()]
