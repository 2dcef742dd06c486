"""The server of `gridsearch judge`, for as long as a test asks it."""

import threading
from contextlib import contextmanager

from gridsearch.app.web.judge.routes import Site, judge_page
from gridsearch.app.web.judge.session import Session
from gridsearch.app.web.server import open_server, serve

TOKEN = "a-token"


@contextmanager
def served(folder, pairs):
    session = Session(folder, pairs, 7)
    site = Site(TOKEN, session, lambda: {"headline": "done"})
    server = open_server(lambda _: judge_page(site), 0)
    server.site = site
    thread = threading.Thread(target=serve, args=(server, int, site.ended))
    thread.start()
    try:
        yield server
    finally:
        site.ended.set()
        thread.join()
