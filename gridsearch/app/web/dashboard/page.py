"""Optuna's dashboard on a results folder, as a guarded page that only reads."""

from collections.abc import Iterable
from http.cookies import CookieError
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse

from bottle import BaseRequest, HTTPResponse
from optuna_dashboard import wsgi

from gridsearch.app.web.dashboard.snapshot import SEARCH
from gridsearch.app.web.dashboard.view import View
from gridsearch.app.web.guard import READING, LocalPage, sent

START_PAGE = f"/dashboard/studies/{SEARCH}"


def dashboard_page(folder: Path, token: str, port: int) -> LocalPage:
    """Return the dashboard of a results folder.

    The address with `?token=` leaves the token in a cookie, as the dashboard's own links do not carry it.

    Raises:
        BadInput: the folder holds no study.
    """
    view = View(folder)
    dashboard = wsgi(view, artifact_store=view)
    cookie = f"gridsearch-{port}"  # browsers send a cookie to all ports of a host

    def carried(environ: dict[str, Any]) -> list[str]:
        return [_query_token(environ), _cookie(environ, cookie)]

    def answer(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if _query_token(environ):
            entered = HTTPResponse(status=302, headers={"Location": START_PAGE})
            entered.set_cookie(cookie, token, path="/", httponly=True, samesite="lax")
            return sent(entered, start)
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # the dashboard takes it for granted
        return dashboard(environ, start)

    return LocalPage(answer, token, f"?token={token}", carried, READING)


def _query_token(environ: dict[str, Any]) -> str:
    return BaseRequest(environ).query.get("token", "")


def _cookie(environ: dict[str, Any], name: str) -> str:
    try:
        return BaseRequest(environ).get_cookie(name, "")
    except CookieError:  # another program's, of the same host
        return ""
