"""What a user does in a page of JupyterLab; the fixtures `open_lab` and `new_page` of `browsers.py` make such pages."""

import os
import re
import uuid

import pytest

if os.environ.get("REQUIRE_BROWSER") != "1":
    pytest.importorskip("playwright", reason="Playwright is not installed")

from playwright.sync_api import Locator, Page, expect

from remote_kernel_provider.testing.waiting import until

SECONDS = 1000
"""Playwright counts milliseconds."""

PATIENCE = 60 * SECONDS
"""For what a busy machine may take its time for."""

RECONNECTION = 45
"""Seconds in which a page has found its kernel again, once the server answers."""

START_OVER = """async () => {
  const { commands, serviceManager, shell } = window.jupyterapp;
  for (const widget of [...shell.widgets("main")]) {
    widget.dispose(); // to close it would ask whether to save it
  }
  shell.activateById("filebrowser");
  const launcher = await commands.execute("launcher:create");
  const { kernels, kernelspecs, sessions } = serviceManager;
  const news = Promise.all([kernels.refreshRunning(), kernelspecs.refreshSpecs(), sessions.refreshRunning()]);
  await Promise.race([news, new Promise((_, reject) => setTimeout(reject, 5000, "the server does not answer"))]);
  await commands.execute("apputils:dismiss-notification", {}); // all of them
  shell.activateById(launcher.id);
}"""
"""Brings a page of JupyterLab back to its launcher, by JupyterLab's own means."""

LEAST_CONTRAST = """element => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const parts = color => // a mixed color's parts are shares
    color.startsWith("color(") ? numbers(color).map((part, i) => (i < 3 ? 255 * part : part)) : numbers(color);
  const blend = ([red, green, blue, alpha = 1], under) =>
    [red, green, blue].map((part, i) => alpha * part + (1 - alpha) * under[i]);
  const ground = place =>
    place ? blend(parts(getComputedStyle(place).backgroundColor), ground(place.parentElement)) : [255, 255, 255];
  const luminance = color => {
    const [red, green, blue] = color.map(part => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = place => {
    const under = ground(place);
    const [dark, light] = [luminance(under), luminance(blend(parts(getComputedStyle(place).color), under))].sort();
    return (light + 0.05) / (dark + 0.05);
  };
  const says = place => [...place.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...element.querySelectorAll("*")]
    .filter(place => says(place) && place.checkVisibility())
    .map(place => [contrast(place), place.textContent])
    .sort((one, other) => one[0] - other[0]);
}"""
"""The texts that an element shows, the least legible first: contrast ratios as WCAG 2 defines them, and words."""


class Lab:
    """The page of one workspace of JupyterLab.

    Parameters
    ----------
    page
        An empty page.
    server
        The `LabServer` whose page it becomes.
    """

    def __init__(self, page: Page, server) -> None:
        self.page = page
        self.server = server
        self._process = server.process

    def open(self) -> None:
        """Open a new workspace, with a launcher."""
        workspace = f"lab/workspaces/{uuid.uuid4().hex}"
        self.page.goto(f"{self.server.url}/{workspace}?token={self.server.token}")
        expect(self.page.locator(".jp-Launcher").first).to_be_visible(timeout=60 * SECONDS)

    def start_over(self) -> None:
        """Close all that is open, unsaved, and show a launcher, with the kernels that there are by now."""
        assert self._process is self.server.process, "the server was started again under the page"
        self.page.mouse.move(0, 0)  # a notification under it would stay
        dialogs = self.page.locator(".jp-Dialog")
        for _ in range(9):  # JupyterLab shows one after the other
            if dialogs.count():
                self.page.keyboard.press("Escape")
        self.page.evaluate(START_OVER)
        for gone in (dialogs, self.page.locator(".Toastify__toast")):
            expect(gone).to_have_count(0)
        expect(self.page.locator(".jp-Launcher")).to_be_visible()

    def card(self, display_name: str) -> Locator:
        """Return a kernel's card in the launcher."""
        return self.page.locator(f'.jp-LauncherCard[data-category="Notebook"][title="{display_name}"]')

    def menu(self, menu: str, entry: str) -> None:
        """Choose an entry of the menu bar."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.locator(".lm-Menu-item").filter(has=self.page.get_by_text(entry, exact=True)).click()

    def dialog(self, text: str, seconds: float = 20) -> Locator:
        """Wait for the dialog that says something, and return it."""
        dialog = self.page.locator(".jp-Dialog").filter(has_text=text)
        expect(dialog).to_be_visible(timeout=seconds * SECONDS)
        return dialog

    def answer(self, dialog: Locator, button: str) -> None:
        """Press a button of a dialog."""
        dialog.locator(".jp-Dialog-button").get_by_text(button, exact=True).click()
        expect(dialog).to_have_count(0)

    def illegible(self, place: Locator) -> list[tuple[float, str]]:
        """List the texts of a place whose contrast is less than 4.5, which WCAG 2 asks for at its level AA."""
        texts = place.evaluate(LEAST_CONTRAST)
        assert texts
        return [(ratio, words) for ratio, words in texts if ratio < 4.5]

    def notification(self, text: str) -> Locator:
        """Return the notification that says what a regular expression matches."""
        return self.page.locator(".Toastify__toast").filter(has_text=re.compile(text))

    def acknowledge_death(self) -> None:
        """Wait until JupyterLab says that the kernel died and is restarted, and agree."""
        self.answer(self.dialog("appears to have died. It will restart automatically."), "Ok")

    def crash_server(self) -> None:
        """Kill the server, start it again, and wait until the page is connected to its one kernel."""
        # It may come at any time, and says no more than that it tries to connect again.
        self.page.add_locator_handler(
            self.page.locator(".jp-Dialog").filter(has_text="Server Connection Error"),
            lambda dialog: dialog.get_by_role("button", name="Close").click(),
        )
        self.server.crash()
        (kernel,) = self.server.get("api/kernels")
        path = f"api/kernels/{kernel['id']}"
        until(lambda: self.server.get(path)["connections"], RECONNECTION, "the page is connected again")

    def expect_nothing_runs(self) -> None:
        """Wait until the server has neither a kernel nor a session."""
        listed = ("api/kernels", "api/sessions")
        until(lambda: not any(map(self.server.get, listed)), 10, "the server has no kernel and no session")

    def restart(self) -> None:
        """Restart the kernel of the open notebook."""
        self.menu("Kernel", "Restart Kernel…")
        self.answer(self.dialog("Restart Kernel?"), "Restart")

    def select_kernel(self, display_name: str) -> None:
        """Choose a kernel in the dialog for that, which JupyterLab opens by itself or behind the kernel's name."""
        dialog = self.dialog("Select Kernel")
        dialog.locator("select").select_option(label=display_name)
        dialog.locator(".jp-mod-accept").click()
        expect(dialog).to_have_count(0)

    def save_new_notebook(self) -> str:
        """Save the open notebook for the first time, under the name that it has; return the name."""
        self.menu("File", "Save Notebook")
        dialog = self.dialog("Rename file")
        name = dialog.locator("input[type=text]").input_value()
        self.answer(dialog, "Rename and Save")
        return name

    def new_notebook(self, display_name: str, *, ready: bool = True) -> "NotebookPanel":
        """Click on a kernel's card, and wait until the kernel is idle unless `ready` is false."""
        self.card(display_name).click()
        notebook = self.notebook()
        if ready:
            notebook.expect_status("Idle")
        return notebook

    def notebook(self) -> "NotebookPanel":
        """Wait until a notebook is open, and return it."""
        notebook = NotebookPanel(self.page)
        expect(notebook.panel).to_be_visible()
        return notebook


class NotebookPanel:
    """The one notebook that is open in a page of JupyterLab, or of Notebook 7."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator(".jp-NotebookPanel")
        self.cells = self.panel.locator(".jp-CodeCell")
        self.kernel_name = self.panel.locator(".jp-Toolbar-kernelName")

    def expect_status(self, *statuses: str, seconds: float = 30) -> None:
        """Wait until JupyterLab's status bar shows the kernel in one of these states."""
        bar = self.page.locator("#jp-main-statusbar")
        expect(bar).to_contain_text(re.compile(rf"\| ({'|'.join(statuses)})"), timeout=seconds * SECONDS)

    def run(self, code: str) -> Locator:
        """Run code in the last cell; return its outputs."""
        cell = self.cells.nth(self.cells.count() - 1)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        return cell.locator(".jp-OutputArea-output")

    def prompt(self, number: int) -> Locator:
        """Return the prompt of a code cell, such as `[1]:`."""
        return self.cells.nth(number).locator(".jp-InputPrompt")

    def value_of(self, code: str) -> str:
        """Run code that shows one value; return it."""
        output = self.run(code)
        expect(output).to_have_count(1, timeout=PATIENCE)
        return output.inner_text().strip()

    def pid(self) -> int:
        """Return the number of the kernel's process."""
        return int(self.value_of("import os; print(os.getpid())"))
