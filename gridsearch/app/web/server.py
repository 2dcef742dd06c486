"""The HTTP server of the local pages; only this machine reaches it."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from gridsearch.app.web.guard import HOME, LocalPage, guarded
from gridsearch.base.errors import BadInput


class Server(ThreadingMixIn, WSGIServer):
    """A server of one page.

    Attributes:
        address: where the page is, token included.
    """

    daemon_threads = True  # a browser holds connections open that it may never use
    address: str

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
    """Return a server that listens on 127.0.0.1.

    Args:
        make_page: returns the page to serve on a port.
        port: 0 for any free port.

    Raises:
        BadInput: the port is in use or not permitted; or `make_page` raises it.
    """
    try:
        server = Server((HOME, port), _Requests)
    except OSError as error:
        raise BadInput(
            "The page cannot be served on this port.",
            where=f"--port {port}",
            why=error.strerror,
            fix="Leave out --port, and a free port is chosen.",
        ) from None
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

    Args:
        begin: called once requests are answered; may take its time, as a browser in the terminal does.
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
