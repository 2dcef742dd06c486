"""Where a shared study lies: what is refused, and what nobody may read."""

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from gridsearch.base.errors import BadInput
from gridsearch.results.shared.url import (
    check_url,
    cleaned,
    parse_url,
    redacted,
    same_database,
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
        (f"mysql+pymysql://me:{WRITTEN}@host/db", r"(?s)Unknown scheme.*needs PostgreSQL"),
        (f"postgresql+psycopg2://me:{WRITTEN}@host/db", r"(?s)Unknown scheme.*postgresql\+psycopg://"),
        ("grpc://host:13000", "Unknown scheme"),
    ],
)
def test_what_cannot_be_used_is_refused_without_a_word_of_the_password(url, says):
    with pytest.raises(BadInput, match=says) as refused:
        check_url(url)
    assert "s3cr3t" not in str(refused.value)
    assert "s3cr3t" not in str(refused.value.__cause__ or "")


def test_a_driver_that_is_missing_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'gridsearch\[postgres\]'"):
        check_url("postgresql://host/db")


def test_a_short_scheme_means_the_driver_that_is_installed_with_the_extra():
    assert parse_url("postgresql://host/db").drivername == "postgresql+psycopg"


def test_what_is_shown_keeps_the_user_and_hides_every_password():
    url = f"postgresql://me:{WRITTEN}@host:5432/db?sslmode=require&sslpassword=hush&password=two"
    shown = redacted(url)
    assert shown == "postgresql://me:***@host:5432/db?password=***&sslmode=require&sslpassword=***"
    assert redacted(f"postgresql://me:{SECRET}@host:port/db") == "postgresql://***"


def test_what_is_kept_has_no_password():
    url = f"postgresql://me:{WRITTEN}@host:5432/db?sslmode=require&sslpassword=hush"
    assert without_password(url) == "postgresql+psycopg://me@host:5432/db?sslmode=require"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (f"postgresql://me:{WRITTEN}@host:5432/db?sslmode=require", True),
        ("postgresql://another@host/db", True),
        ("postgresql://me@elsewhere/db", False),
        ("postgresql://me@host:5433/db", False),
        ("postgresql://me@host/another", False),
        ("postgresql://me@host/db?host=elsewhere", False),  # as libpq understands it
        ("postgresql://me@elsewhere/db?host=host", True),
    ],
)
def test_a_database_is_the_same_by_its_host_port_and_name(other, same):
    assert same_database("postgresql+psycopg://me@host/db", other) == same


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
