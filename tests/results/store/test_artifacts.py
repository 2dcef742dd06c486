"""Images of several machines in one bucket or folder."""

import sys
from collections.abc import Iterator

import pytest

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.store import artifacts as module
from gridsearch.results.store.artifacts import Missing, gather, open_artifacts
from gridsearch.results.store.location import StudyPlace, note_place

NAME = "images/t0007_p1_1.png"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "hush/hush",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@pytest.fixture
def bucket(s3, monkeypatch) -> Iterator[str]:
    import boto3

    for key, value in (KEYS | {"AWS_ENDPOINT_URL": s3}).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(module, "TRIES", 1)
    made = boto3.resource("s3").Bucket("night")
    made.create(CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield "s3://night/my-merge"
    made.objects.all().delete()
    made.delete()


@pytest.fixture
def drawn(tmp_path):
    path = tmp_path / "drawn.png"
    path.write_bytes(b"image")
    return path


@pytest.fixture(params=["bucket", "folder", "file"])
def place(request, tmp_path) -> str:
    if request.param == "bucket":
        return request.getfixturevalue("bucket")
    return f"{'file://' if request.param == 'file' else ''}{tmp_path / 'shared'}"


def test_what_one_machine_puts_another_fetches(place, drawn, tmp_path):
    here, there = open_artifacts(place), open_artifacts(place)
    here.put(NAME, drawn)
    drawn.write_bytes(b"drawn again")
    here.put(NAME, drawn)
    there.fetch(NAME, tmp_path / "results" / NAME)
    assert (tmp_path / "results" / NAME).read_bytes() == b"drawn again"
    with pytest.raises(Missing, match="no such file"):
        there.fetch("images/t0008_p1_1.png", tmp_path / "nothing.png")
    assert not (tmp_path / "nothing.png").exists()


@pytest.fixture
def gathered(tmp_path, monkeypatch):
    """A function that gathers these files into a results folder whose images lie at this place, too."""
    url, folder = "postgresql://me@there/night", tmp_path / "results"
    monkeypatch.setenv(STORAGE_VARIABLE, url)

    def gathered(place: str, names: list[str]):
        folder.mkdir(exist_ok=True)
        note_place(folder, StudyPlace(url, "night", place))
        gather(folder, [{"file": name} for name in names])
        return folder

    return gathered


def test_a_report_on_another_machine_fetches_what_it_lacks(place, drawn, tmp_path, gathered):
    artifacts = open_artifacts(place)
    names = [f"images/t{n:04}_p1_1.png" for n in range(20)]
    for name in names[:-1]:
        artifacts.put(name, drawn)
    there_already = tmp_path / "results" / names[0]
    there_already.parent.mkdir(parents=True)
    there_already.write_bytes(b"there already")
    folder = gathered(place, names)
    assert sorted(path.name for path in (folder / "images").iterdir()) == [name[7:] for name in names[:-1]]
    assert there_already.read_bytes() == b"there already"


@pytest.mark.parametrize(
    "name", ["../x.png", "/x.png", "images/../../x", "a//b", "a\\b", "C:x", "", "a\0b", "a/."]
)
def test_no_name_leaves_the_place(bucket, drawn, tmp_path, gathered, name):
    for place in (bucket, str(tmp_path / "shared")):
        artifacts = open_artifacts(place)
        for use in (artifacts.put, artifacts.fetch):
            with pytest.raises(BadInput):
                use(name, drawn)
        with pytest.raises(BadInput):
            gathered(place, [name or "."])


def test_no_link_in_a_folder_leads_out_of_it(drawn, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "images").symlink_to(tmp_path)
    with pytest.raises(BadInput, match="leads out"):
        open_artifacts(str(shared)).put(NAME, drawn)


def test_what_is_wrong_with_a_bucket_is_named_without_a_secret(bucket, monkeypatch):
    said = []
    for url, kind in {
        "s3://day/x": BadInput,
        "s3://key:hush@night/x": BadInput,
        "ftp://me:hush@x/": BadInput,
    }.items():
        with pytest.raises(kind) as wrong:
            open_artifacts(url)
        said.append(str(wrong.value))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hush@127.0.0.1:1")
    with pytest.raises(RunFailed) as wrong:
        open_artifacts(bucket)
    said.append(str(wrong.value))
    assert "no such bucket" in said[0]
    assert "does not answer" in said[3]
    assert not any("hush" in text for text in said)


def test_a_key_that_is_refused_or_missing_is_named(bucket, tmp_path, monkeypatch):
    from botocore.exceptions import ClientError, NoCredentialsError

    artifacts = open_artifacts(bucket)
    for error, says in (
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "AKIAEXAMPLE"}}, "List"), "refuses"),
        (NoCredentialsError(), "no key"),
    ):

        def refuse(_key, error=error):
            raise error

        monkeypatch.setattr(artifacts.store, "open_reader", refuse)
        with pytest.raises(BadInput, match=says) as wrong:
            artifacts.fetch(NAME, tmp_path / "fetched.png")
        assert "AKIA" not in str(wrong.value)


def test_without_boto_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(BadInput, match=r"pip install 'gridsearch\[s3\]'"):
        open_artifacts("s3://night/x")
