"""The server of `gridsearch judge`, for as long as a test asks it."""

import threading
from contextlib import contextmanager

from gridsearch.app.web.judge.server import Site, open_server, serve
from gridsearch.app.web.judge.session import Session

TOKEN = "a-token"


@contextmanager
def served(folder, pairs):
    session = Session(folder, pairs, 7)
    server = open_server(Site(TOKEN, session, lambda: {"headline": "done"}), 0)
    thread = threading.Thread(target=serve, args=(server, int))
    thread.start()
    try:
        yield server
    finally:
        server.site.ended.set()
        thread.join()
