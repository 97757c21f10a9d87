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
    from playwright.sync_api import BrowserContext, Page
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


@pytest.fixture
def new_page(request, browser, quiet_network) -> Iterator[Callable[[LabServer], Page]]:
    """Open empty pages for a server, with nothing remembered; of a failing test they leave what was on them."""
    contexts: list[tuple[BrowserContext, LabServer]] = []

    def open_page(server: LabServer) -> Page:
        if quiet_network is not None:
            quiet_network.offer(server.port)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(30_000)
        contexts.append((context, server))
        return context.new_page()

    yield open_page
    for number, (context, server) in enumerate(contexts):
        if has_failed(request.node):
            leave_screenshot(context, f"{request.node.name}{f'-{number}' if number else ''}", server)
        context.close()


def leave_screenshot(context: BrowserContext, name: str, server: LabServer) -> None:
    """Write down what a failed test's page shows, and the end of its server's log."""
    ARTIFACTS.mkdir(exist_ok=True)
    picture, log = (ARTIFACTS / f"{name}{suffix}" for suffix in (".png", ".log"))
    log.write_text(server.log_tail())
    print(f"the page: {picture}\nthe server's log: {log}")
    with suppress(Exception):  # whatever is wrong with the page is not to hide the test's own failure
        context.pages[0].screenshot(path=picture)


@pytest.fixture
def open_lab(new_page) -> Callable[[LabServer], Lab]:
    """Open JupyterLab of a server in a page of its own, with its launcher."""
    from browsing import Lab

    def open_page(server: LabServer) -> Lab:
        lab = Lab(new_page(server), server)
        lab.open()
        return lab

    return open_page
