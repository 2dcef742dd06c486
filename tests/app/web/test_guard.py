"""Which names reach a page that is for this machine's own browser."""

from gridsearch.app.web.guard import hosts, origins


def test_the_port_is_left_out_where_browsers_do():
    assert hosts(80) == {"127.0.0.1", "localhost", "127.0.0.1:80", "localhost:80"}
    assert "http://localhost" in origins(80)
    assert hosts(8080) == {"127.0.0.1:8080", "localhost:8080"}
