"""JupyterLab in a browser: what its user does with a kernel, from the launcher's card to the kernel's end.

Also when its server is killed and started again, under a page that nobody touches.
"""

import os
import signal

import pytest
from browsing import PATIENCE, SECONDS
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def ui(open_lab, lab, home):
    """JupyterLab with its launcher open; every kernel of the test has been shut down when the next test begins."""
    yield open_lab(lab)
    for kernel in lab.get("api/kernels"):
        lab.request("DELETE", f"api/kernels/{kernel['id']}")
    home.assert_nothing_left()


@pytest.fixture(scope="module")
def display_name(lab, kernel_name) -> str:
    return lab.get("api/kernelspecs")["kernelspecs"][kernel_name]["spec"]["display_name"]


def test_the_launcher_shows_the_kernel_with_its_logo(ui, display_name):
    logo = ui.card(display_name).locator("img")
    expect(logo).to_be_visible()
    expect(logo).to_have_js_property("complete", True)
    assert logo.evaluate("image => image.naturalWidth") > 0


def test_a_card_opens_a_notebook_that_runs_cells_and_shows_a_plot(ui, display_name, home):
    notebook = ui.new_notebook(display_name)
    expect(notebook.run("print('printed by', 6 * 7)")).to_have_text("printed by 42\n")
    assert notebook.value_of("import os; os.environ['KERNEL_ID']") == repr(ui.server.get("api/kernels")[0]["id"])
    plot = notebook.run("import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.show()").locator("img")
    expect(plot).to_be_visible(timeout=60 * SECONDS)
    assert plot.evaluate("image => image.naturalWidth") > 100
    assert len(home.kernel_processes()) == 1


def test_interrupt_ends_a_busy_cell_and_keeps_the_kernel(ui, display_name):
    notebook = ui.new_notebook(display_name)
    kept = notebook.pid()
    busy = notebook.run("import time\nprint('busy')\ntime.sleep(600)")
    expect(busy).to_contain_text("busy")
    notebook.expect_status("Busy")
    ui.menu("Kernel", "Interrupt Kernel")
    expect(busy.last).to_contain_text("KeyboardInterrupt")
    notebook.expect_status("Idle")
    assert notebook.pid() == kept


def test_restart_forgets_everything_and_runs_on(ui, display_name, home):
    notebook = ui.new_notebook(display_name)
    before = notebook.pid()
    notebook.run("kept = 1")
    ui.restart()
    expect(notebook.run("kept").last).to_contain_text("NameError", timeout=PATIENCE)
    assert notebook.pid() != before
    assert [process.pid for process in home.kernel_processes()] == [notebook.pid()]


def test_a_killed_kernel_comes_back_and_the_log_says_why_it_died(ui, display_name, home):
    notebook = ui.new_notebook(display_name)
    kernel_id = ui.server.get("api/kernels")[0]["id"]
    before = notebook.pid()
    os.kill(before, signal.SIGKILL)
    ui.acknowledge_death()
    notebook.expect_status("Starting", "Idle")  # Lab goes on from "Starting" with the next cell, for any kernel
    after = notebook.pid()
    assert after != before
    assert [process.pid for process in home.kernel_processes()] == [after]
    (line,) = ui.server.log_lines(f"{kernel_id} (local/")
    assert line.endswith("died: its process was ended by signal 9 (SIGKILL)")


def test_a_kernel_that_is_shut_down_leaves_nothing(ui, display_name, home):
    notebook = ui.new_notebook(display_name)
    assert notebook.value_of("6 * 7") == "42"
    assert home.leftovers()
    ui.menu("Kernel", "Shut Down Kernel")
    expect(notebook.kernel_name).to_have_text("No Kernel")
    home.assert_nothing_left()
    ui.expect_nothing_runs()


def test_a_launch_that_fails_is_one_sentence_in_a_dialog(ui, home):
    home.add_spec("broken", ["no-such-program", "-f", "{connection_file}"], display_name="Broken")
    ui.start_over()
    ui.card("Broken").click()
    dialog = ui.dialog("Error Starting Kernel")
    file = home.specs / "broken/local_kernel.json"
    expect(dialog.locator("pre")).to_have_text(
        "kernel 'local/broken': its command 'no-such-program' cannot be run: No such file or directory; "
        f"install it or mend argv in {file}"
    )
    text = dialog.locator("pre").inner_text()
    assert all(len(line) <= 100 or str(file) in line for line in text.splitlines()), "the dialog cuts long lines off"
    ui.answer(dialog, "Ok")
    assert ui.server.get("api/kernels") == []
    home.assert_nothing_left()


def test_a_page_that_nobody_touches_finds_its_idle_kernel_again_when_its_server_was_killed(ui, display_name):
    notebook = ui.new_notebook(display_name)
    pid = notebook.pid()
    assert notebook.value_of("kept = 6 * 7; print('kept')") == "kept"
    expect(notebook.prompt(1)).to_have_text("[2]:")
    notebook.expect_status("Idle")
    ui.crash_server()
    notebook.expect_status("Idle")
    assert notebook.value_of("print(kept)") == "42"
    assert notebook.pid() == pid


def test_a_cell_that_runs_while_the_server_is_killed_goes_on_and_ends_under_the_page(ui, display_name, home):
    notebook = ui.new_notebook(display_name)
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
