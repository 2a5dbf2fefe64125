"""A real browser: the machine's own Chromium, driven by tools of an environment of their own."""

import shutil
import site
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tools.environments import PROJECT, missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}

if why := missing("browser"):
    raise RuntimeError(f"the tools of the browser are not here: {why}")
site.addsitedir(str(next((PROJECT / ".browser" / "lib").glob("python*/site-packages"))))


@contextmanager
def chromium() -> Iterator[Any]:
    """No sandbox: in a container it would need rights that the container has not."""
    from playwright.sync_api import sync_playwright

    found = [path for name in NAMES if (path := shutil.which(name))]
    assert found, f"there is no browser: install one of {', '.join(NAMES)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield browser
        browser.close()


def flaws(page: Any) -> list[str]:
    """What axe finds on the page as it is."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for fault in found
        for node in fault["nodes"]
    ]
