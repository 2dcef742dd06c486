"""The server of `gridsearch judge`, for as long as a test asks it."""

import threading
from contextlib import contextmanager

from gridsearch.app.web.judge.routes import Session, judge_page
from gridsearch.app.web.server import open_server, serve

TOKEN = "a-token"


@contextmanager
def served(folder, pairs):
    session = Session(folder, pairs, 7)
    session.result = lambda: {"headline": "done"}
    server = open_server(lambda _: judge_page(session, TOKEN), 0)
    server.session = session
    thread = threading.Thread(target=serve, args=(server, int, session.ended))
    thread.start()
    try:
        yield server
    finally:
        session.ended.set()
        thread.join()
