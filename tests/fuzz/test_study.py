"""A study.db that somebody sent: other values in it, of other kinds, at every place."""

import json
import shutil
import sqlite3
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput, GridsearchError
from gridsearch.report.build import build
from gridsearch.results.results import load_results
from tests.fuzz.bounds import ALL, inputs
from tests.helpers.stored import stored_run

WRONG = [
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    "x",
    "",
    "\ud800",
    "=1+1",
    "../../x",
    "<script>",
    [],
    {},
    [[]],
    {"x": []},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return stored_run(tmp_path_factory.mktemp("sent") / "run")


def attributes(database):
    """(table, id) -> value, of all that is kept as JSON."""
    with closing(sqlite3.connect(database)) as connection:
        return {
            (table, number): json.loads(text)
            for table in ("study_user_attributes", "trial_user_attributes")
            for number, text in connection.execute(
                f"SELECT {table.removesuffix('s')}_id, value_json FROM {table}"
            )
        }


def put(database, place, value):
    table, number = place
    with closing(sqlite3.connect(database)) as connection, connection:
        statement = f"UPDATE {table} SET value_json = ? WHERE {table.removesuffix('s')}_id = ?"
        connection.execute(statement, (json.dumps(value), number))


def changed(draw, value):
    """The same with another value at one place."""
    deeper = isinstance(value, dict | list) and value and draw(st.integers(0, 8))
    if deeper and isinstance(value, dict):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 8)) == 0:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: changed(draw, value[key])}
    if deeper:
        return [changed(draw, value[0]), *value[1:]]
    return draw(st.sampled_from(WRONG))


@inputs(300, 8)
@given(data=st.data())
def test_a_report_of_it_is_made_or_refused_by_name(run, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("case")
    shutil.copy(run / "study.db", folder / "study.db")
    found = attributes(folder / "study.db")
    place = data.draw(st.sampled_from(sorted(found)))
    put(folder / "study.db", place, changed(data.draw, found[place]))
    with suppress(GridsearchError):
        results = load_results(folder)
        if ALL:
            build(results, sheets=False)
    shutil.rmtree(folder)


@pytest.mark.parametrize("statement", ["CREATE VIEW v AS SELECT 1", "DELETE FROM studies"])
def test_a_database_of_other_things_is_damaged(run, tmp_path, statement):
    shutil.copy(run / "study.db", tmp_path / "study.db")
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute(statement)
    with pytest.raises(BadInput, match="damaged"):
        load_results(tmp_path)


def test_a_database_of_noise_is_damaged(run, tmp_path):
    content = bytearray((run / "study.db").read_bytes())
    content[100:20_000] = b"\xaa" * 19_900
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        load_results(tmp_path)


def test_a_link_in_a_sent_folder_is_not_written_through(run, tmp_path):
    """What is written beside its place has a name that can be known before."""
    folder, victim = tmp_path / "run", tmp_path / "victim"
    shutil.copytree(run, folder)
    victim.write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (folder / ".thumbnails").symlink_to(tmp_path / "elsewhere")
    for name in ("report.html", "best.json", "trials.csv"):
        (folder / f".{name}.part").symlink_to(victim)
    with suppress(GridsearchError):
        build(load_results(folder))
    assert victim.read_text() == "mine"
    assert not list((tmp_path / "elsewhere").iterdir())
