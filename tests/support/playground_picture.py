"""Take the picture of the playground: `python -m tests.support.playground_picture docs/playground.png`.

It starts the embedded model's server, presses an example, sends the example's results, and takes the picture of the
whole exchange.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.browser import Page, browser
from tests.support.started_server import started

EXAMPLE = 2  # two calls at once, which are neither too short nor too long for one window
SIZE = (1200, 800)


def take(page: Page, url: str, path: Path) -> None:
    width, height = SIZE
    page.open(url, width=width, height=height)
    page.click(f"#examples button:nth-child({EXAMPLE})")
    page.until(lambda: page.all(".send-results"))
    page.click(".send-results")
    page.until(lambda: page.text("#status") == "Done.")
    page.run("document.activeElement.blur()")
    path.write_bytes(page.driver.get_screenshot_as_png())


def main() -> None:
    """Run the command."""
    with started() as server, tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as page:
        take(page, server.url, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
