"""Jupyter's own clients, each as a program of its own: the whole life of a kernel, notebooks, the conformance suite."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

LIFE = Path(__file__).with_name("kernel_life.py")
CONFORMANCE = Path(__file__).with_name("ipykernel_conformance.py")
LIVED = {
    "answer": "42\n",
    "interrupted": "busy\nKeyboardInterrupt",
    "kept": "42\n",
    "restarted": "NameError",
}
"""What `live` sees of every kernel."""


def live(
    home, kernel_name: str, encryption: str = "auto", ending: str = "shutdown", way: str = "provisioner", **env: str
) -> dict:
    """Take a kernel through its life with jupyter_client; its arguments are those of kernel_life.py."""
    return json.loads(home.run(sys.executable, LIFE, kernel_name, encryption, ending, way, env=env).stdout)


def live_in_container(home, kernel_name: str, encryption: str = "auto", way: str = "provisioner", **env: str) -> dict:
    """Do the same with a kernel whose machine is not this one."""
    seen = live(home, kernel_name, encryption, "shutdown", way, **env)
    # Each container has processes of its own numbers, so that a restarted kernel can have the old one's.
    del seen["another process"]
    return seen


def write_notebook(home, kernel_name: str, *cells: str, parameters: str = "") -> Path:
    """Write a notebook of code cells for a kernel, the first of them with parameters as papermill finds them."""
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    document.metadata["kernelspec"] = {"name": kernel_name, "display_name": "any", "language": "python"}
    if parameters:
        document.cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    file = home.work / "notebook.ipynb"
    nbformat.write(document, file)
    return file


def outputs(file: Path) -> list:
    """Return the outputs of all cells of a notebook."""
    return [output for cell in nbformat.read(file, 4).cells for output in cell.get("outputs", [])]


def printed(file: Path) -> str:
    """Return what the cells of a notebook printed."""
    return "".join(output.text for output in outputs(file) if output.output_type == "stream")


def assert_nbclient_reports(home, kernel_name: str) -> None:
    """Run a notebook with a cell that raises by nbclient; the cells after it run, too."""
    file = write_notebook(home, kernel_name, "print('before')", "1 / 0", "print('after')")
    program = f"""
import nbclient, nbformat
notebook = nbformat.read({str(file)!r}, 4)
nbclient.NotebookClient(notebook, allow_errors=True).execute()
nbformat.write(notebook, {str(file)!r})
"""
    home.python(program)
    assert printed(file) == "before\nafter\n"
    assert [output.ename for output in outputs(file) if output.output_type == "error"] == ["ZeroDivisionError"]


def assert_papermill_passes(home, kernel_name: str) -> None:
    """Run a notebook with a parameter by papermill."""
    pytest.importorskip("papermill")
    file = write_notebook(home, kernel_name, "print('the sum is', sum(range(count)))", parameters="count = 1")
    result = home.work / "result.ipynb"
    home.run(sys.executable, "-m", "papermill", file, result, "--kernel", kernel_name, "-p", "count", "11")
    assert printed(result) == "the sum is 55\n"


def assert_console_runs(home, kernel_name: str) -> None:
    """Type into `jupyter console`."""
    pytest.importorskip("jupyter_console")
    typed = "import os\nprint('run by', os.environ['KERNEL_NAME'])\nexit\n"
    ran = home.run("jupyter", "console", f"--kernel={kernel_name}", "--simple-prompt", typed=typed)
    assert re.search(rf"run by \w+/{kernel_name}\n", ran.stdout)


def assert_conforms(home, kernel_name: str) -> None:
    """Run Jupyter's conformance suite for kernels; all of it passes."""
    pytest.importorskip("jupyter_kernel_test")
    result = home.run(sys.executable, CONFORMANCE, "--verbose", env={"TESTED_KERNEL": kernel_name}, seconds=240)
    assert result.stderr.count("... ok") + 1 == int(re.search(r"^Ran (\d+) tests", result.stderr, re.MULTILINE)[1])
    assert result.stderr.endswith("OK (skipped=1)\n")  # a part of test_history that ipykernel's own test leaves out


STOCK_CLIENTS = (assert_nbclient_reports, assert_papermill_passes, assert_console_runs)
