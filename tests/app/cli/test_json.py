"""`--json`: one document, or a line an event, as the schemas say, and nothing else."""

import shutil
from dataclasses import replace

import jsonschema
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from gridsearch.app.cli.schemas import DOCUMENTS
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.answer import Answer, FrontPoint, Neighbour, Unmasked
from gridsearch.results.analysis.best_json import best_dict
from tests.helpers.experiments import GOOD
from tests.helpers.made_up import make_results
from tests.helpers.program import gridsearch
from tests.helpers.schemas import read, require_valid, schema
from tests.helpers.stored import stored_run


@pytest.fixture(scope="module")
def night(toy, tmp_path_factory):
    """A folder in which `run --json` has run, and what it said."""
    folder = tmp_path_factory.mktemp("night")
    text = GOOD.replace("steps = 2", "steps = 2\ntrace = true").format(toy=toy.resolve())
    (folder / "x.toml").write_text(text)
    done = gridsearch("run", "x.toml", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_schemas_are_schemas():
    for name in DOCUMENTS:
        Draft202012Validator.check_schema(schema(name))


def test_a_schema_refuses_what_it_does_not_know():
    with pytest.raises(jsonschema.ValidationError):
        require_valid({"event": "note", "text": "x", "more": 1}, "event")


def parts(of):
    """The schema and all that lies inside it."""
    if isinstance(of, dict):
        yield of
    for inner in of.values() if isinstance(of, dict) else of if isinstance(of, list) else ():
        yield from parts(inner)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_key_of_a_document_is_required_and_no_other_is_allowed(name):
    objects = [part for part in parts(schema(name)) if isinstance(part.get("properties"), dict)]
    for part in objects:
        assert set(part["required"]) == set(part["properties"]), part["title"]
        assert part["additionalProperties"] is (part["title"] == "FileRecord"), part["title"]


def test_a_schema_is_printed():
    done = gridsearch("schema", "best")
    assert (done.returncode, read(done.stdout)) == (0, schema("best"))
    done = gridsearch("schema", "worst")
    assert done.returncode == 2
    assert "'worst'" in done.stderr
    assert "best" in done.stderr


def test_a_runs_lines_are_events(night):
    folder, said = night
    events = [require_valid(read(line), "event") for line in said.splitlines()]
    names = [event["event"] for event in events]
    assert names.count("run_started") == names.count("answer") == 1
    assert names.index("run_started") < names.index("reference") < names.index("trial") < names.index("check")
    assert names[-1] == "answer"
    trials = [event for event in events if event["event"] == "trial"]
    assert sorted(event["parameters"]["ratio"] for event in trials) == [0.0, 0.5, 1.0]
    assert all(sum(event["found"]["verdicts"].values()) == 1 for event in trials)
    best = require_valid(read((folder / "results" / "bad" / "best.json").read_text("utf-8")), "best")
    assert events[-1]["best"] == best


def test_a_run_that_is_stopped_while_it_loads_says_so(toy, tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("gridsearch.app.cli.documents.Events.loading", interrupted)
    (tmp_path / "x.toml").write_text(GOOD.format(toy=toy.resolve()))
    done = gridsearch("run", "x.toml", "--json", cwd=tmp_path)
    assert (done.returncode, require_valid(read(done.stdout), "event")) == (130, {"event": "interrupted"})


def test_a_quiet_run_says_the_answer_alone(night):
    folder, _ = night
    done = gridsearch("run", "x.toml", "--quiet", cwd=folder)
    best = read((folder / "results" / "bad" / "best.json").read_text("utf-8"))
    assert (done.returncode, done.stderr) == (0, "")
    first, *alarms = done.stdout.splitlines()
    assert first == best["sentence"]
    assert all(line.startswith("  ALARM") for line in alarms)
    assert gridsearch("run", "x.toml", "--quiet", "--json", cwd=folder).returncode == 2


REBASIN = ("rebasin", "{toy}/base.safetensors", "--to", "{toy}/vpred.safetensors")
EXTRACT = ("extract", "{toy}/base.safetensors", "{toy}/vpred.safetensors")


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ("plan", ["plan", "x.toml"]),
        ("inspect", ["inspect", "{toy}/base.safetensors", "{toy}/vpred.safetensors"]),
        ("answer", ["report", "results/bad"]),
        ("answer", ["score", "results/bad"]),
        ("scores", ["score", "results/bad/images"]),
        ("written", ["export", "results/bad", "--trial", "2", "-o", "e.safetensors"]),
        ("written", ["merge", "x.toml", "--ratio", "0.5", "-o", "m.safetensors"]),
        ("written", ["merge", "x.toml", "--ratio", "0.5", "-o", "m.mecha"]),
        ("rebased", [*REBASIN, "-o", "r.safetensors", "--config", "{toy}/config"]),
        (
            "explained",
            ["explain", "{toy}/vpred.safetensors", "{toy}/base.safetensors", "{toy}/burnt.safetensors"],
        ),
        ("extracted", [*EXTRACT, "-o", "l.safetensors", "--rank", "1", "--config", "{toy}/config"]),
    ],
)
def test_every_document_is_as_its_schema_says(night, toy, schema, arguments):
    folder, _ = night
    words = [word.format(toy=toy.resolve()) for word in arguments]
    done = gridsearch(*words, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    require_valid(read(done.stdout), schema)


def test_a_bad_picture_is_a_row_and_the_exit_code(tmp_path):
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"")
    done = gridsearch("score", "bad.png", "good.png", "--json", cwd=tmp_path)
    assert done.returncode == 2
    found = require_valid(read(done.stdout), "scores")
    assert found["bad"] == 1
    assert [(row["verdict"], row["blur"]) for row in found["images"]] == [("error", None), ("blank", None)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "gone.toml"], "gone.toml"),
        (["plan"], "Missing argument"),
        (["report", "."], "holds no results"),
        (["inspect", "gone.safetensors"], "no such checkpoint"),
        (["export", ".", "-o", "x.safetensors"], "holds no results"),
    ],
)
def test_an_error_is_a_document_too(tmp_path, arguments, said):
    done = gridsearch(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    error = require_valid(read(done.stdout), "error")["error"]
    assert error["exit_code"] == 2
    assert error["what"] in " ".join(done.stderr.split())


def test_an_error_of_a_run_is_an_event(tmp_path, toy):
    (tmp_path / "x.toml").write_text(GOOD.replace("steps = 2", "steps = 0").format(toy=toy.resolve()))
    done = gridsearch("run", "x.toml", "--json", cwd=tmp_path)
    assert done.returncode == 2
    event = require_valid(read(done.stdout), "event")
    assert (event["event"], event["error"]["exit_code"]) == ("error", 2)


def test_best_json_is_as_its_schema_says_of_every_kind_of_run(sweep, modes, tmp_path):
    for results in (sweep, modes, make_results(tmp_path / "half", prompts=("a", "b"), done=5)):
        require_valid(best_dict(results, analyse(results)), "best")
    answer = analyse(modes)
    full = replace(
        answer,
        neighbours=(Neighbour(1, 0.1, 0.5, 2.0),),
        front=(FrontPoint(1, 1.2, float("nan"), 1.0, True),),
        unmasked=Unmasked(1, 2, "it was luck", 0.01),
        given_up=({"render.cfg": 4.0},),
    )
    require_valid(best_dict(modes, full), "best")
    nothing = Answer(None, {}, (), (), 0, 5, False, 0.5)
    require_valid(best_dict(sweep, nothing), "best")


def test_a_hostile_prompt_cannot_leave_its_string(tmp_path):
    evil = 'a "</script>\x1b[2J\x9b2J\n{"event": "error"}'
    folder = stored_run(tmp_path / "evil", prompts=(evil, "a dog"))
    done = gridsearch("report", folder, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    require_valid(read(done.stdout), "answer")
    assert not set(done.stdout) & {"\x1b", "\x9b"}
    shutil.rmtree(folder)
