"""A browser for the tests of pages; fixtures `new_page` and `open_lab`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browsing import Lab
    from jupyter_servers import LabServer
    from playwright.sync_api import Browser, Page
    from quiet_network import QuietNetwork

ARTIFACTS = Path(__file__).parent / "artifacts"
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REPORTS: pytest.StashKey[dict[str, pytest.TestReport]] = pytest.StashKey()


def need_for_browser(present: object, reason: str) -> None:
    """Skip where a browser test lacks something, or fail where REQUIRE_BROWSER=1 says that it must be there."""
    if present:
        return
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, and {reason}")
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.stash.setdefault(REPORTS, {})[report.when] = report
    return report


def has_failed(item: pytest.Item) -> bool:
    return any(report.failed for report in item.stash.get(REPORTS, {}).values())


@pytest.fixture(scope="module")
def quiet_network() -> Iterator[QuietNetwork | None]:
    """A network for the browser alone, where this process may make one."""
    from quiet_network import QuietNetwork

    try:
        network = QuietNetwork()
    except OSError:
        yield None
        return
    yield network
    network.close()


@pytest.fixture(scope="module")
def browser(quiet_network, tmp_path_factory):
    """Chromium.

    Of the module only: while Playwright's synchronous interface is open, a loop counts as running in this thread.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    need_for_browser(program, "no Chromium is on PATH (chromium, chromium-browser, google-chrome)")
    from playwright.sync_api import sync_playwright

    if quiet_network is not None:
        program = quiet_network.wrap(program, tmp_path_factory.mktemp("browser"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


class Pages:
    """The pages of a module's tests: each test's own, and those of JupyterLab that a test leaves to the next one.

    To load JupyterLab takes a processor six seconds, and to bring a loaded page back to its launcher a third of one.
    """

    def __init__(self, browser: Browser, network: QuietNetwork | None) -> None:
        self._browser = browser
        self._network = network
        self._used: dict[Page, LabServer] = {}
        self._labs: dict[Page, Lab] = {}

    def new(self, server: LabServer) -> Page:
        """Open an empty page for a server, with nothing remembered."""
        if self._network is not None:
            self._network.offer(server.port)
        context = self._browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(30_000)
        page = context.new_page()
        self._used[page] = server
        return page

    def lab(self, server: LabServer, *, anew: bool = False) -> Lab:
        """Return a page of JupyterLab that shows its launcher and that the test does not have yet.

        Parameters
        ----------
        server
            Whose page it is.
        anew
            Whether it is loaded now in any case: a page of an earlier test has read settings, launches and the like.
        """
        from browsing import Lab

        for page, lab in list(self._labs.items()):
            if page not in self._used and lab.server is server:
                self._used[page] = server
                if self._starts_over(lab):
                    if anew:
                        lab.open()
                    return lab
        lab = Lab(self.new(server), server)
        lab.open()
        self._labs[lab.page] = lab
        return lab

    def _starts_over(self, lab: Lab) -> bool:
        """Bring a page of an earlier test back to its launcher, or close it where that does not succeed."""
        from playwright.sync_api import Error

        try:
            lab.start_over()
        except (AssertionError, Error) as error:
            print(f"a fresh page is opened, as the one before it cannot be used again: {error}")
            self._close(lab.page)
            return False
        return True

    def end_test(self, name: str, *, failed: bool) -> None:
        """Close the test's pages, but for those of JupyterLab; of a failed test all, leaving what was on them."""
        for number, (page, server) in enumerate(list(self._used.items())):
            if failed:
                leave_screenshot(page, f"{name}{f'-{number}' if number else ''}", server)
            if failed or page not in self._labs:
                self._close(page)
        self._used.clear()

    def _close(self, page: Page) -> None:
        page.context.close()
        self._used.pop(page, None)
        self._labs.pop(page, None)


@pytest.fixture(scope="module")
def module_pages(browser, quiet_network) -> Pages:
    """The pages of the module; they end with its browser."""
    return Pages(browser, quiet_network)


@pytest.fixture
def pages(request, module_pages) -> Iterator[Pages]:
    """The pages that a test opens."""
    yield module_pages
    module_pages.end_test(request.node.name, failed=has_failed(request.node))


def leave_screenshot(page: Page, name: str, server: LabServer) -> None:
    """Write down what a failed test's page shows, and the end of its server's log."""
    ARTIFACTS.mkdir(exist_ok=True)
    picture, log = (ARTIFACTS / f"{name}{suffix}" for suffix in (".png", ".log"))
    log.write_text(server.log_tail())
    print(f"the page: {picture}\nthe server's log: {log}")
    with suppress(Exception):  # whatever is wrong with the page is not to hide the test's own failure
        page.screenshot(path=picture)


@pytest.fixture
def new_page(pages) -> Callable[[LabServer], Page]:
    """Open empty pages for a server; they end with the test."""
    return pages.new


@pytest.fixture
def open_lab(pages) -> Callable[..., Lab]:
    """Open JupyterLab of a server, with its launcher, in pages that tests leave to one another; see `Pages.lab`."""
    return pages.lab
