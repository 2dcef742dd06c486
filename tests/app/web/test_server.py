"""Which names reach a page that is for this machine's own browser."""

import pytest

from gridsearch.app.web.server import LocalPage, guarded


def asked(port: int, host: str, origin: str | None) -> str:
    """The status of the reply to a browser that names itself so."""
    said = []

    def application(_, start):
        start("200 OK", [])
        return []

    page = LocalPage(application, "token", "", lambda _: ["token"], ("GET",))
    environ = {"REQUEST_METHOD": "GET", "HTTP_HOST": host} | ({"HTTP_ORIGIN": origin} if origin else {})
    guarded(page, port)(environ, lambda status, *_: said.append(status))
    return said[0][:3]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_port_is_left_out_where_browsers_do(name):
    for origin in (None, f"http://{name}", f"http://{name}:80"):
        assert asked(80, name, origin) == asked(80, f"{name}:80", origin) == "200"
    assert asked(8080, f"{name}:8080", f"http://{name}:8080") == "200"
    assert asked(8080, name, None) == asked(8080, f"{name}:80", None) == "403"
    assert asked(8080, f"{name}:8080", f"http://{name}") == "403"
