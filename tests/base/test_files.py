"""A file and its name are on the disk before anybody is told of them."""

import os
import time

from gridsearch.base.files import age_of, write_atomic


def test_a_file_is_flushed_before_it_has_its_name_and_its_folder_after(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def flush(file: int) -> None:
        done.append(("flush", os.readlink(f"/proc/self/fd/{file}")))
        fsync(file)

    def rename(old, new) -> None:
        done.append(("rename", str(new)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    path = tmp_path / "row.png"
    write_atomic(path, b"image")
    part = str(tmp_path / ".row.png.part")
    assert done == [("flush", part), ("rename", str(path)), ("flush", str(tmp_path))]
    assert [file.name for file in tmp_path.iterdir()] == ["row.png"]


def test_an_age_is_told_by_the_file_server_s_clock(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    path.touch()
    server = path.stat().st_mtime
    os.utime(path, (server - 600, server - 600))
    monkeypatch.setattr(time, "time", lambda: server + 3 * 3600)
    assert 600 <= age_of(path) < 3600
    assert age_of(tmp_path / "gone") == 0
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
