"""Looking for a password wherever a run may have written it."""

from pathlib import Path
from typing import Any

from tests.helpers.postgres import PASSWORD, Postgres

# Pieces of every form in which it could be quoted: as it is, in JSON, in HTML, percent-encoded.
PIECES = (b"s/w%rd", b"s%2Fw%25rd", b"s/w%25rd", b"s%2fw%25rd", b"s\\/w%rd", b"s&#x2F;w%rd")
HUSH = "hush-hush-hush"  # the bucket's
assert PIECES[0].decode() in PASSWORD


def in_text(text: str | bytes) -> bool:
    found = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return any(piece in found for piece in (*PIECES, HUSH.encode()))


def in_files(*folders: Path) -> list[Path]:
    """The files that tell, by their content or their name."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if in_text(path.read_bytes()) or in_text(str(path))]


def in_database(postgres: Postgres, url: str) -> list[str]:
    """The tables of a database that tell."""
    name = url.rsplit("/", 1)[1]
    tables = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)
    assert ("trials",) in tables
    rows = {table: postgres.execute(f"SELECT t::text FROM {table} AS t", name) for (table,) in tables}
    return [table for table, found in rows.items() if in_text("\n".join(row for (row,) in found))]


def in_bucket(bucket: Any) -> list[str]:
    """The objects that tell."""
    objects = [*bucket.objects.all()]
    assert objects
    return [one.key for one in objects if in_text(one.key) or in_text(one.get()["Body"].read())]
