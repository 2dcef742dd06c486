"""An installed package of scorers, for the tests: what an installer would leave of one."""

from pathlib import Path


def install(folder: Path, package: str, code: str, scorers: dict[str, str]) -> Path:
    """Write a module and the metadata that names its scorers. `folder` must be on the path.

    Args:
        code: of the module `package`.
        scorers: entry point -> the function's name.
    """
    (folder / f"{package}.py").write_text(code)
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {package}:{function}" for name, function in scorers.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[gridsearch.scorers]", *lines, ""]))
    return folder
