"""Where a shared study lies: what is refused, and what nobody may read."""

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from gridsearch.base.errors import BadInput
from gridsearch.results.shared.url import (
    ENVIRONMENT,
    check_url,
    cleaned,
    parse_url,
    redacted,
    with_password,
    without_password,
)

SECRET = "s3cr3t/p@ss"
WRITTEN = "s3cr3t%2fp%40ss"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"postgresql://me:{WRITTEN}@host/", "names no database"),
        (f"postgresql://me:p@{SECRET}@host/db", "(?s)not a URL.*%40"),
        (f"postgresql://me:{WRITTEN}@host:port/db", "not a URL"),
        (f"not a url {WRITTEN}", "not a URL"),
        (f"oracle://me:{WRITTEN}@host/db", r"(?s)Unknown scheme.*postgresql\+psycopg://"),
        ("sqlite:///study.db", "for one machine"),
        (f"grpc://me:{WRITTEN}@host:13000", "only a host and a port"),
        ("grpc://", "no host"),
    ],
)
def test_what_cannot_be_used_is_refused_without_a_word_of_the_password(url, says):
    with pytest.raises(BadInput, match=says) as refused:
        check_url(url)
    assert "s3cr3t" not in str(refused.value)
    assert "s3cr3t" not in str(refused.value.__cause__ or "")


def test_a_driver_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for scheme, extra in {"postgresql": "postgres", "mysql+pymysql": "mysql", "grpc": "grpc"}.items():
        place = "host:13000" if scheme == "grpc" else "host/db"
        with pytest.raises(BadInput, match=rf"pip install 'gridsearch\[{extra}\]'"):
            check_url(f"{scheme}://{place}")


def test_a_short_scheme_means_the_driver_that_is_installed_with_the_extra():
    assert parse_url("postgresql://host/db").drivername == "postgresql+psycopg"
    assert parse_url("mysql://host/db").drivername == "mysql+pymysql"


def test_what_is_shown_keeps_the_user_and_hides_every_password():
    url = f"postgresql://me:{WRITTEN}@host:5432/db?sslmode=require&sslpassword=hush&password=two"
    shown = redacted(url)
    assert shown == "postgresql://me:***@host:5432/db?password=***&sslmode=require&sslpassword=***"
    assert redacted(f"postgresql://me:{SECRET}@host:port/db") == "postgresql://***"


def test_what_is_kept_is_given_its_password_back_by_the_environment():
    url = f"postgresql://me:{WRITTEN}@host:5432/db?sslmode=require&sslpassword=hush"
    kept = without_password(url)
    assert kept == "postgresql+psycopg://me@host:5432/db?sslmode=require"
    assert with_password(kept, {ENVIRONMENT: url}) == url
    assert with_password(kept, {ENVIRONMENT: url.replace("host", "elsewhere")}) is None
    assert with_password(kept, {}) is None


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_no_form_of_a_password_is_left_in_what_a_driver_says(password):
    url = URL.create("postgresql+psycopg", "me", password, "host", 5432, "db")
    url = url.render_as_string(hide_password=False)
    said = cleaned(f"could not open {url} with <{password}>", url)
    assert f"<{password}>" not in said or set(password) <= {"*"}
    assert url not in said


def test_a_password_in_the_user_s_own_encoding_is_hidden_too():
    url = "postgresql://me:%41b%2fc@host/db"  # Ab/c
    assert cleaned("%41b%2fc Ab/c Ab%2Fc", url) == "*** *** ***"
