"""JupyterLab in a browser, whose server is killed and started again under a page that nobody touches."""

import pytest
from browsing import PATIENCE, SECONDS
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def ui(open_lab, lab, home):
    """JupyterLab with its launcher open."""
    yield open_lab(lab)
    for kernel in lab.get("api/kernels"):
        lab.request("DELETE", f"api/kernels/{kernel['id']}")
    home.assert_nothing_left()


@pytest.fixture
def notebook(ui, lab, kernel_name):
    """A notebook with an idle kernel."""
    return ui.new_notebook(lab.get("api/kernelspecs")["kernelspecs"][kernel_name]["spec"]["display_name"])


def test_a_page_finds_its_idle_kernel_again_with_its_variables(ui, notebook):
    pid = notebook.pid()
    assert notebook.value_of("kept = 6 * 7; print('kept')") == "kept"
    expect(notebook.prompt(1)).to_have_text("[2]:")
    notebook.expect_status("Idle")
    ui.crash_server()
    notebook.expect_status("Idle")
    assert notebook.value_of("print(kept)") == "42"
    assert notebook.pid() == pid


def test_a_cell_that_runs_meanwhile_goes_on_and_ends_under_the_page(ui, notebook, home):
    go_on = home.work / "go-on"
    output = notebook.run(
        "import pathlib, time\n"
        "print('before')\n"
        f"while not pathlib.Path({str(go_on)!r}).exists():\n    time.sleep(0.1)\n"
        "print('after')\n"
        "kept = 6 * 7"
    )
    expect(output).to_have_text("before\n")
    ui.crash_server()
    notebook.expect_status("Busy")
    go_on.touch()
    expect(output.last).to_have_text("after\n", timeout=PATIENCE)
    said = " ".join(output.all_inner_texts())
    assert said.count("before") == said.count("may be missing here") == 1
    expect(notebook.prompt(0)).to_have_text("[1]:", timeout=10 * SECONDS)
    notebook.expect_status("Idle")
    assert notebook.value_of("print(kept)") == "42"
