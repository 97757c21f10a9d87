"""JupyterLab in a browser, with kernels whose launches are slow and fail, and that die."""

import os
import signal

import nbformat
import pytest
from browsing import PATIENCE
from playwright.sync_api import expect

from remote_kernel_provider.testing.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOR_EVER = {"phase": "pulling", "message": "1 of 5 layers"}
REFUSED = {"reason": "QuotaExceeded", "message": "the quota has no room for it; end another kernel"}
KILLED = "The kernel died: its process was ended by signal 9 (SIGKILL)."


def pulling(seconds: float) -> dict[str, object]:
    return {"phase": "pulling", "message": "2 of 5 layers", "seconds": seconds}


@pytest.fixture(scope="module")
def staged(make_staged):
    return make_staged("jupyter-lab", dead_seconds=60)


@pytest.fixture
def open_launcher(open_lab, staged):
    """Open JupyterLab with the kernels that are there by then; whatever a test leaves ends with it."""
    yield lambda: open_lab(staged.server)
    for kernel_id in staged.listed():
        staged.delete(kernel_id)
    staged.home.assert_nothing_left()


def reason_in_dialog(lab, title: str) -> str:
    """Return what a dialog of JupyterLab says is wrong, after a look whether it shows all of it; close it."""
    dialog = lab.dialog(title)
    shown = dialog.locator("pre")
    assert shown.evaluate("pre => pre.scrollWidth <= pre.clientWidth"), "the dialog cuts its lines off"
    text = " ".join(shown.inner_text().split())
    lab.answer(dialog, "Ok")
    return text


def test_a_cell_waits_for_a_slow_launch_and_runs_when_the_kernel_is_there(open_launcher, staged):
    name = staged.add(pulling(6))
    notebook = open_launcher().new_notebook(name, ready=False)
    notebook.expect_status("Connecting")  # until then, for two seconds, JupyterLab drops cells, of any kernel
    output = notebook.run("print(6 * 7)")
    assert [staged.kernel(kernel_id)["execution_state"] for kernel_id in staged.listed()] == ["starting"]
    expect(output).to_have_text("42\n", timeout=PATIENCE)
    notebook.expect_status("Idle")


@pytest.mark.parametrize("when", ["Initializing", "Connecting"])
def test_shut_down_cancels_a_launch_and_leaves_nothing(open_launcher, staged, when):
    name = staged.add(FOR_EVER)
    lab = open_launcher()
    notebook = lab.new_notebook(name, ready=False)
    notebook.expect_status(when)
    until(staged.home.kernel_processes, 10, "the launch has begun")
    lab.menu("Kernel", "Shut Down Kernel")
    expect(notebook.kernel_name).to_have_text("No Kernel")
    staged.home.assert_nothing_left()
    lab.expect_nothing_runs()


def test_closing_and_shutting_down_a_notebook_cancels_its_launch_and_leaves_nothing(open_launcher, staged):
    name = staged.add(FOR_EVER)
    lab = open_launcher()
    notebook = lab.new_notebook(name, ready=False)
    notebook.expect_status("Connecting")
    lab.menu("File", "Close and Shut Down Notebook…")
    lab.answer(lab.dialog("Shut down the notebook?"), "Ok")
    expect(notebook.panel).to_have_count(0)
    staged.home.assert_nothing_left()
    lab.expect_nothing_runs()


@pytest.mark.parametrize("seconds", [0, 4])
def test_a_launch_that_fails_says_why_and_what_to_do(open_launcher, staged, seconds):
    name = staged.add(pulling(seconds), failure=REFUSED)
    lab = open_launcher()
    notebook = lab.new_notebook(name, ready=False)
    text = reason_in_dialog(lab, "Error Starting Kernel")
    assert text.startswith(f"kernel 'local/{name}'")
    assert REFUSED["message"] in text
    assert not staged.home.kernel_processes()
    # The user does what it said, and tries again.
    staged.script(name)
    if seconds:
        notebook.kernel_name.click()
    lab.select_kernel(name)
    notebook.expect_status("Idle")
    expect(notebook.run("print(6 * 7)")).to_have_text("42\n", timeout=PATIENCE)


def test_a_restart_that_fails_says_why_and_the_kernel_can_be_chosen_again(open_launcher, staged):
    name = staged.add()
    lab = open_launcher()
    notebook = lab.new_notebook(name)
    notebook.run("kept = 1")
    staged.script(name, failure=REFUSED)
    lab.restart()
    assert REFUSED["message"] in reason_in_dialog(lab, "Error Starting Kernel")
    notebook.expect_status("Disconnected")
    staged.script(name)
    notebook.kernel_name.click()
    lab.select_kernel(name)
    notebook.expect_status("Idle")
    expect(notebook.run("print('kept' in globals())")).to_have_text("False\n", timeout=PATIENCE)


def test_a_death_under_a_busy_cell_stands_in_the_cell_and_is_saved(open_launcher, staged):
    name = staged.add()
    lab = open_launcher()
    notebook = lab.new_notebook(name)
    pid = notebook.pid()
    output = notebook.run("import time\nprint('busy')\ntime.sleep(600)")
    expect(output).to_have_text("busy\n")
    os.kill(pid, signal.SIGKILL)
    lab.acknowledge_death()
    expect(output.last).to_have_text(f"{KILLED}\n")
    expect(notebook.run("print(6 * 7)")).to_have_text("42\n", timeout=PATIENCE)
    saved = staged.home.work / lab.save_new_notebook()
    until(lambda: KILLED in saved.read_text(), 10, "the notebook is saved")
    texts = [[output.text for output in cell.outputs] for cell in nbformat.read(saved, 4).cells]
    assert texts[1] == ["busy\n", f"{KILLED}\n"]


def test_a_kernel_that_is_not_restarted_says_why(open_launcher, staged):
    name = staged.add()
    lab = open_launcher()
    notebook = lab.new_notebook(name)
    pid = notebook.pid()
    staged.script(name, failure=REFUSED)
    os.kill(pid, signal.SIGKILL)
    lab.acknowledge_death()
    assert REFUSED["message"] in reason_in_dialog(lab, "Error Starting Kernel")
    notebook.expect_status("Disconnected")


def test_a_kernel_that_dies_too_often_says_why_in_the_cell_and_in_a_dialog(open_launcher, staged):
    name = staged.add()
    lab = open_launcher()
    notebook = lab.new_notebook(name)
    for _ in range(staged.restart_limit):
        os.kill(notebook.pid(), signal.SIGKILL)
        lab.acknowledge_death()
    output = notebook.run("import os\nos.kill(os.getpid(), 9)")
    assert reason_in_dialog(lab, "Error Starting Kernel") == KILLED
    expect(output).to_have_text(f"{KILLED}\n")
