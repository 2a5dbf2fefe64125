"""The console in a real browser, light and dark. It runs in `.pictures`, where playwright is.

`python console.py URL FOLDER SESSION`, with the key in API_KEY; a browser is what BROWSER names, or
the first of those that are usual.
"""

import os
import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = {"width": 1180, "height": 760}
PHONE = {"width": 390, "height": 760}
COLOURS = 128


def main() -> int:
    url, folder, session = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found(), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = signed_in(browser, url, scheme, SIZE)
            take(page, f"{url}/sessions/{session}", folder / f"console-{scheme}.png")
            take(page, f"{url}/", folder / f"sessions-{scheme}.png")
        phone = signed_in(browser, url, "light", PHONE)
        take(phone, f"{url}/inbox", folder / "inbox-phone.png")
        browser.close()
    return 0


def found() -> str | None:
    """None: the one that `playwright install chromium` has brought."""
    named = os.environ.get("BROWSER", "")
    return next(filter(None, map(shutil.which, (named, *BROWSERS))), None)


def signed_in(browser: Browser, url: str, scheme: str, size: dict[str, int]) -> Page:
    context = browser.new_context(color_scheme=scheme, viewport=size, reduced_motion="reduce")
    page = context.new_page()
    found = page.goto(f"{url}/sign-in")
    if found is None or not found.ok:
        sys.exit(f"pictures: {url}/sign-in is no page")
    page.locator("input[type=password], input[name=key]").first.fill(os.environ["API_KEY"])
    page.locator("form button[type=submit], form button:not([type])").first.click()
    page.wait_for_url(lambda address: "/sign-in" not in address)
    return page


def take(page: Page, address: str, file: Path) -> None:
    """In few colours: a page has no more, and the picture is a third of its size."""
    page.goto(address, wait_until="load")
    page.locator("main").wait_for()
    page.evaluate("document.fonts.ready")
    shot = Image.open(BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    shot.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    sys.stdout.write(f"pictures: {file.name}, {file.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    sys.exit(main())
