"""Other front ends in a browser, one walk through each: the oldest JupyterLab 4 that works, and Notebook 7."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from browsing import PATIENCE, Lab, NotebookPanel
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

PACKAGE = Path(__file__).parents[1] / "remote_kernel_provider"
OLDEST = ("jupyterlab==4.0.0", "jupyter_server==2.6.0")
"""The first JupyterLab 4, on the first Jupyter Server on which our extension does not stand back."""


@pytest.fixture(scope="session")
def oldest_lab(request) -> Path:
    """An environment with the oldest JupyterLab and our package as it is here, kept in pytest's cache between runs."""
    folder = request.config.cache.mkdir("oldest-jupyterlab-{}.{}".format(*sys.version_info))
    wanted = "\n".join((*OLDEST, (PACKAGE / "pyproject.toml").read_text()))
    complete = folder / "complete"
    if not complete.exists() or complete.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        install = [folder / "bin/python", "-m", "pip", "install", "--quiet"]
        command = [*install, *OLDEST, "--editable", f"{PACKAGE}[server]"]
        installed = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if installed.returncode:
            message = f"{OLDEST[0]} cannot be installed: {installed.stderr.strip().splitlines()[-1]}"
            if os.environ.get("REQUIRE_BROWSER") == "1":
                pytest.fail(message)
            pytest.skip(message)
        complete.write_text(wanted)
    return folder


@pytest.fixture(autouse=True)
def nothing_is_left(home):
    yield
    home.assert_nothing_left()


def display_name(server, kernel_name: str) -> str:
    return server.get("api/kernelspecs")["kernelspecs"][kernel_name]["spec"]["display_name"]


def walk_through(lab: Lab, notebook: NotebookPanel, home) -> None:
    """Run cells, restart the kernel and shut it down."""
    pid = notebook.pid()
    assert [process.pid for process in home.kernel_processes()] == [pid]
    assert len(lab.server.log_lines("kernels of its providers are offered")) == 1
    notebook.run("kept = 1")
    lab.restart()
    expect(notebook.run("kept").last).to_contain_text("NameError", timeout=PATIENCE)
    assert notebook.pid() != pid
    lab.menu("Kernel", "Shut Down Kernel")
    home.assert_nothing_left()
    assert lab.server.get("api/kernels") == []


def test_the_oldest_jupyterlab_4(open_lab, serve, oldest_lab, home, kernel_name):
    server = serve(home, oldest_lab / "bin/jupyter-lab")
    lab = open_lab(server)
    walk_through(lab, lab.new_notebook(display_name(server, kernel_name)), home)


def test_notebook_7(new_page, serve, home, kernel_name):
    server = serve(home, "jupyter-notebook")
    tree = new_page(server)
    tree.goto(f"{server.url}/tree?token={server.token}")
    tree.get_by_role("menuitem", name="New", exact=True).click()
    with tree.expect_popup() as opened:
        tree.get_by_role("menuitem", name=display_name(server, kernel_name)).click()
    lab = Lab(opened.value, server)
    notebook = NotebookPanel(opened.value)
    expect(notebook.kernel_name).to_have_text(display_name(server, kernel_name), timeout=PATIENCE)
    walk_through(lab, notebook, home)
