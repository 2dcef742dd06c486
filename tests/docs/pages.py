"""What a page of the documentation holds: blocks, commands, links and anchors."""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).parent.parent.parent
PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """A fenced block; `language` is empty where it is indented or says none."""

    language: str
    text: str
    line: int

    def file(self) -> str | None:
        """The file that it is, by its first line: `# my.toml`."""
        found = re.match(r"# (\S+\.(?:toml|py))(?:$|:)", self.text.partition("\n")[0])
        return found and found[1]


@dataclass(frozen=True)
class Command:
    """A line after the prompt, and the lines that the page says are printed."""

    words: tuple[str, ...]
    printed: tuple[str, ...]
    line: int

    def __str__(self) -> str:
        return shlex.join(self.words)


def pages() -> list[Path]:
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def tokens(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text())


def blocks(page: Path) -> list[Block]:
    """The page's blocks from top to bottom."""
    return [
        Block(token.info.strip(), token.content, token.map[0] + 1)
        for token in tokens(page)
        if token.type in ("fence", "code_block")
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a console block. A line that ends in a backslash goes on in the next."""
    found: list[Command] = []
    lines = block.text.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines, start=block.line + 1):
        if line.startswith(PROMPT):
            words = shlex.split(line.removeprefix(PROMPT), comments=True)
            found.append(Command(tuple(words), (), number))
        elif found:
            last = found.pop()
            found.append(Command(last.words, (*last.printed, line), last.line))
        else:
            raise ValueError(f"line {number} is printed before any command: {line}")
    return found


def inline(page: Path, kind: str) -> Iterator[Token]:
    """Links, pictures and words in code type, wherever they stand."""
    for token in tokens(page):
        yield from (child for child in token.children or () if child.type == kind)


def targets(page: Path) -> list[str]:
    """Addresses of links and pictures."""
    links = [str(token.attrs["href"]) for token in inline(page, "link_open")]
    return links + [str(token.attrs["src"]) for token in inline(page, "image")]


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as GitHub makes them."""
    pairs = itertools.pairwise(tokens(page))
    headings = [after.content for token, after in pairs if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
