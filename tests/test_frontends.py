"""Other front ends in a browser, one walk through each: the oldest JupyterLab 4 that works, and Notebook 7."""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from browsing import PATIENCE, Lab, NotebookPanel
from environments import environment
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

PACKAGE = Path(__file__).parents[1] / "remote_kernel_provider"
OLDEST = ("jupyterlab==4.0.0", "jupyter_server==2.6.0")
"""The first JupyterLab 4, on the first Jupyter Server on which our extension does not stand back."""


@pytest.fixture(scope="module")
def oldest_lab() -> Path:
    """An environment with the oldest JupyterLab, and what our package needs."""
    declared = [requirement.partition(";") for requirement in requires(PACKAGE.name)]
    needed = [what for what, _, where in declared if "extra" not in where or "server" in where]
    return environment("oldest-jupyterlab", *OLDEST, *needed, required_by="REQUIRE_BROWSER")


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> dict[str, str]:
    """Variables of programs that find our package, as it is here, beside their environment."""
    folder = tmp_path_factory.mktemp("ours")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", folder, PACKAGE], check=True, capture_output=True, timeout=300)
    places = {"JUPYTER_PATH": folder / "share/jupyter", "JUPYTER_CONFIG_PATH": folder / "etc/jupyter"}
    return {"PYTHONPATH": str(folder), **{name: str(place) for name, place in places.items()}}


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
    lab.expect_nothing_runs()


def test_the_oldest_jupyterlab_4(open_lab, serve, oldest_lab, ours, home, kernel_name):
    server = serve(home, oldest_lab / "bin/jupyter-lab", **ours)
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
