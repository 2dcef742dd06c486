"""What no row names goes; what one names, and what is somebody else's, stays."""

from gridsearch.search.disk.cleanup import remove_unnamed_files


def test_only_what_this_program_wrote_and_no_row_names_goes(tmp_path):
    kept = [
        "images/a.png",
        "checks/b.webp",
        "traces/a.png",
        "traces/a.json",
        "images/notes.txt",
        "other/c.png",
    ]
    gone = ["images/.a.png.part", "images/z.png", "traces/z.json"]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    rows = [{"file": "images/a.png", "film": "traces/a.png"}, {"file": "checks/b.webp", "film": None}]
    assert sorted(remove_unnamed_files(tmp_path, rows)) == sorted(gone)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
