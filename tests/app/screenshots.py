"""
Pictures of the page for the docs: `python -m tests.app.screenshots docs` (`make screenshots`), or with the address of
a page that is being served behind it.
"""

import io
import sys
from contextlib import nullcontext
from pathlib import Path

from PIL import Image

from tests.app.browser import Page, chromium, served_page


_NUM_COLOURS = 128
_WIDTH = 1400


def main(folder: Path, address: str | None = None) -> None:
    with nullcontext(address) if address else served_page() as address, chromium(_WIDTH, 1000) as driver:
        page = Page(driver, address)
        page.generate()
        page.one("#glimpse img")
        # The size of a window counts its frame.
        height = driver.execute_script("return document.body.scrollHeight + window.outerHeight - window.innerHeight")
        driver.set_window_size(_WIDTH, height)
        driver.execute_script("window.scrollTo(0, 0)")
        picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    # Few colours: small enough for a repository.
    picture.quantize(_NUM_COLOURS).save(folder / "page.png", optimize=True)
    print(folder / "page.png", picture.size, (folder / "page.png").stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
