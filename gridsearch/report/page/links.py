"""Where the file names stored with a run lead."""

import os
from pathlib import Path
from urllib.parse import quote


def link_to(file: Path, home: Path) -> str:
    """A link to `file` from a page in `home`."""
    return quote(Path(os.path.relpath(file, home)).as_posix())
