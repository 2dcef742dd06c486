"""A page's figures in a browser: when it is first seen, and how smoothly it scrolls."""

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

# Frame by frame from top to bottom, then across the grid; the time of each frame in ms.
SCROLL = """async () => {
  const frames = [];
  let last = performance.now();
  const frame = () => new Promise((then) => requestAnimationFrame(() => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    then();
  }));
  await frame();
  frames.length = 0;
  const end = document.documentElement.scrollHeight;
  for (let at = 0; at < end; at += 120) { scrollTo(0, at); await frame(); }
  const grid = document.querySelector(".grid");
  grid.scrollIntoView();
  for (let at = 0; at < grid.scrollWidth; at += 120) { grid.scrollLeft = at; await frame(); }
  for (let at = 0; at < grid.scrollHeight; at += 120) { grid.scrollTop = at; await frame(); }
  return frames;
}"""


@dataclass(frozen=True)
class Seen:
    """All in ms: the first paint of content, the page ready for keys, each frame of a scroll through it."""

    first_paint: float
    ready: float
    frames: tuple[float, ...]

    def frame(self, share: float) -> float:
        """The frame time that this share of the frames keeps."""
        return sorted(self.frames)[min(int(share * len(self.frames)), len(self.frames) - 1)]


def seen(browser: Browser, file: Path) -> Seen:
    """Of a page opened as a file."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(file.resolve().as_uri())
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    page.wait_for_timeout(2000)  # a person looks at the answer first
    found = Seen(first, ready, tuple(page.evaluate(SCROLL)))
    page.close()
    return found
