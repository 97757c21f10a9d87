"""JupyterLab in a browser, whose server is killed and started again under a page that nobody touches."""

import pytest
from browsing import PATIENCE, SECONDS
from playwright.sync_api import expect

from remote_kernel_provider.testing.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RECONNECTION = 45
"""Seconds in which the page has found its kernel again, once the server answers."""


@pytest.fixture
def notebook(open_lab, lab, home, kernel_name):
    """Open a notebook with an idle kernel."""
    display_name = lab.get("api/kernelspecs")["kernelspecs"][kernel_name]["spec"]["display_name"]
    yield open_lab(lab).new_notebook(display_name)
    for kernel in lab.get("api/kernels"):
        lab.request("DELETE", f"api/kernels/{kernel['id']}")
    home.assert_nothing_left()


def crash(server, page) -> None:
    """Kill the server, start it again, and wait until the page is connected to its kernel."""
    # It may come at any time, and says no more than that it tries to connect again.
    page.add_locator_handler(
        page.locator(".jp-Dialog").filter(has_text="Server Connection Error"),
        lambda dialog: dialog.get_by_role("button", name="Close").click(),
    )
    server.crash()
    (kernel,) = server.get("api/kernels")
    until(lambda: server.get(f"api/kernels/{kernel['id']}")["connections"], RECONNECTION, "the page is connected again")


def test_a_page_finds_its_idle_kernel_again_with_its_variables(notebook, lab):
    pid = notebook.pid()
    assert notebook.value_of("kept = 6 * 7; print('kept')") == "kept"
    expect(notebook.prompt(1)).to_have_text("[2]:")
    notebook.expect_status("Idle")
    crash(lab, notebook.page)
    notebook.expect_status("Idle")
    assert notebook.value_of("print(kept)") == "42"
    assert notebook.pid() == pid


def test_a_cell_that_runs_meanwhile_goes_on_and_ends_under_the_page(notebook, lab, home):
    go_on = home.work / "go-on"
    output = notebook.run(
        "import pathlib, time\n"
        "print('before')\n"
        f"while not pathlib.Path({str(go_on)!r}).exists():\n    time.sleep(0.1)\n"
        "print('after')\n"
        "kept = 6 * 7"
    )
    expect(output).to_have_text("before\n")
    crash(lab, notebook.page)
    notebook.expect_status("Busy")
    go_on.touch()
    expect(output.last).to_have_text("after\n", timeout=PATIENCE)
    said = " ".join(output.all_inner_texts())
    assert said.count("before") == said.count("may be missing here") == 1
    expect(notebook.prompt(0)).to_have_text("[1]:", timeout=10 * SECONDS)
    notebook.expect_status("Idle")
    assert notebook.value_of("print(kept)") == "42"
