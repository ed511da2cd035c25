"""A real Chromium and a real `exptrack ui`; consoles stay empty, and nothing leaves the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exptrack_daemon import supervisor
from tests.browser.homes import add_media, empty_home, hostile_home, many_metrics, many_runs, vision
from tests.browser.studio import Studio

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PATIENT_MS = 45_000
"""Nothing here is about speed, and other tests run on the same two cores."""
_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module: while it is open, no test of its process can run an event loop of its own."""
    found = next((path for name in _CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: `make browser`, or apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    playwright.expect.set_options(timeout=PATIENT_MS)
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield launched
        launched.close()


class Window:
    """Opens pages of a studio as a user's browser would, and remembers what they said and asked for."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.said: list[str] = []
        self.requests: list[str] = []
        self.allowed: set[str] = set()
        """Beginnings of console messages that the test itself causes."""

    def open(
        self, studio: Studio, route: str, *, width: int = 1280, bypass_csp: bool = False
    ) -> Page:
        """A fresh browser profile, signed in, at the route (or at a path of the server)."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 800},
            bypass_csp=bypass_csp,
        )
        context.set_default_timeout(PATIENT_MS)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"fault: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))
        context.request.get(studio.start)  # signs in, without drawing a page for it
        page.goto(studio.address + (route if route.startswith("/ui") else f"/#{route}"))
        return page

    def close(self) -> None:
        """Close all pages: they ask for nothing any more."""
        while self._contexts:
            self._contexts.pop().close()


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """Afterwards: an empty console, and requests to this machine only."""
    window = Window(browser)
    yield window
    window.close()
    odd = [text for text in window.said if not any(part in text for part in window.allowed)]
    assert odd == []
    away = [url for url in window.requests if not url.startswith(("http://127.0.0.1:", "blob:"))]
    assert away == []


@pytest.fixture
def own(home: Path, window: Window) -> Iterator[Studio]:
    """A studio over `home`, for the test to begin; its pages are closed before it ends."""
    studio = Studio(home)
    yield studio
    window.close()
    studio.end()


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps a screenshot in the folder that EXPTRACK_SCREENSHOTS names; else nothing."""

    def keep(page: Page, name: str) -> None:
        folder = os.environ.get("EXPTRACK_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png")

    return keep


def _served(
    factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]
) -> Iterator[Studio]:
    home = factory.mktemp(name) / "home"
    home.mkdir(mode=0o700)
    build(home)
    studio = Studio(home)
    studio.begin()
    yield studio
    try:
        studio.end()
    finally:
        supervisor.stop(home)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A dozen runs of a sweep: one crashed, one failed, one with lost rows, one with NaN, media in one."""

    def build(home: Path) -> None:
        vision(home)
        add_media(home)

    yield from _served(tmp_path_factory, "vision", build)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A home without runs."""
    yield from _served(tmp_path_factory, "empty", empty_home)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A home whose every text is an attack."""
    yield from _served(tmp_path_factory, "hostile", hostile_home)


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """1,200 runs, and one of 3,000 metrics."""

    def build(home: Path) -> None:
        many_runs(home, 1200)
        many_metrics(home, 3000)

    yield from _served(tmp_path_factory, "crowded", build)
