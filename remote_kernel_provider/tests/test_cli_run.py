"""`jupyter remote-kernel run` on real kernels: streams, exit status, notebooks, signals."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

RUN = [sys.executable, "-m", "remote_kernel_provider.cli", "run"]
PYTHON = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]


def spec_file(*argv: str, language: str = "python", **config) -> dict:
    stanza = {"class_name": "remote_kernel_provider.LocalLifecycleManager", "config": config}
    return {"argv": list(argv), "display_name": "x", "language": language, "metadata": {"lifecycle_manager": stanza}}


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook whose third cell raises, with outputs of an earlier run."""
    old = [new_output("stream", name="stdout", text="old")]
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell("import os\nprint('in', os.getcwd())", outputs=old),
        new_code_cell("from IPython.display import Image\nImage(data=b'\\x89PNG' + b'0' * 3000, format='png')"),
        new_code_cell("1 / 0"),
        new_code_cell("print('after')", outputs=old),
    ]
    kernelspec = {"name": "python3", "display_name": "Python", "language": "python"}
    file = tmp_path / "work" / "a.ipynb"
    file.parent.mkdir()
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), file)
    return file


def outputs(file: Path) -> list[list[str]]:
    document = json.loads(file.read_text())
    return [[output["output_type"] for output in cell.get("outputs", [])] for cell in document["cells"]]


def test_streams_and_result(command):
    code = "import sys\nprint('to out')\nprint('to err', file=sys.stderr)\nprint('no newline', end='')\n6 * 7"
    said = command("run", "-c", code)
    assert (said.returncode, said.stdout, said.stderr) == (0, "to out\nno newline\n42\n", "to err\n")


def test_notebook_that_raises(command, notebook: Path, tmp_path: Path):
    executed = tmp_path / "b.ipynb"
    said = command("run", str(notebook), "--output", str(executed))
    assert said.returncode == 1
    assert said.stdout == f"in {notebook.parent}\n[image/png, 3.0 kB]\n"
    assert "ZeroDivisionError" in said.stderr
    assert "\x1b" not in said.stderr
    assert said.stderr.endswith(f"Error: {notebook}: cell 4 raised ZeroDivisionError: division by zero\n")
    assert outputs(executed) == [[], ["stream"], ["execute_result"], ["error"], []]
    assert json.loads(executed.read_text())["metadata"]["language_info"]["name"] == "python"
    assert outputs(notebook) == [[], ["stream"], [], [], ["stream"]]


def test_errors_that_are_allowed(command, notebook: Path, tmp_path: Path):
    executed = tmp_path / "b.ipynb"
    said = command("run", str(notebook), "--output", str(executed), "--allow-errors", "--cwd", str(tmp_path))
    assert said.returncode == 0
    assert f"in {tmp_path}\n" in said.stdout
    assert said.stdout.endswith("after\n")
    assert outputs(executed)[3:] == [["error"], ["stream"]]


def test_script_and_its_notebook(command, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("print('ü')\nraise SystemExit('enough')\n", encoding="utf-8")
    executed = tmp_path / "b.ipynb"
    said = command("run", str(script), "-o", str(executed))
    assert said.returncode == 1
    assert said.stdout == "ü\n"
    assert "enough" in said.stderr
    assert nbformat.read(executed, as_version=4).metadata.kernelspec.name == "python3"


def test_notebook_whose_kernel_is_not_there(command, write_spec, notebook: Path):
    write_spec("{", name="broken")
    notebook.write_text(notebook.read_text().replace('"python3"', '"my-env"'))
    said = command("run", str(notebook), "--allow-errors")
    assert said.returncode == 0
    bad_spec, missing, *_ = said.stderr.splitlines()
    assert "broken/local_kernel.json: is not JSON" in bad_spec
    assert missing == f"Warning: there is no kernel 'my-env', which {notebook} names; it runs on local/python3"
    assert said.stderr.count("broken/local_kernel.json") == 1


def test_standard_input(command, notebook: Path):
    assert command("run", "-", stdin="print('code')").stdout == "code\n"
    said = command("run", stdin=notebook.read_text())
    assert said.returncode == 1
    assert said.stdout.endswith("[image/png, 3.0 kB]\n")


def test_kernel_by_language(command, write_spec, tmp_path: Path):
    script = tmp_path / "script.R"
    script.write_text("print('ran')\n")
    said = command("run", str(script))
    assert said.returncode == 2
    assert "there is no kernel for R (the kernels are: local/python3)" in said.stderr
    write_spec(spec_file(*PYTHON, language="R"), name="ir")
    assert command("run", str(script)).stdout == "ran\n"


def test_parameters_and_environment(command, tmp_path: Path):
    names = ("KERNEL_COLOR", "KERNEL_SHAPE", "HOME", "MINE")
    code = f"import os\nprint(*(os.environ[name] for name in {names}), os.getcwd())"
    arguments = [
        "--param",
        "color=red",
        "--env",
        "MINE=a=b",
        "--env",
        f"HOME={os.environ['HOME']}",
        "--cwd",
        str(tmp_path),
    ]
    said = command("run", "-c", code, *arguments, KERNEL_COLOR="blue", KERNEL_SHAPE="round")
    assert said.stdout == f"red round {os.environ['HOME']} a=b {tmp_path}\n"


def test_output_arrives_while_the_cell_runs():
    code = "import time\nprint('first', flush=True)\ntime.sleep(3)\nprint('last')"
    with subprocess.Popen([*RUN, "-c", code], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "first\n"
        began = time.monotonic()
        assert running.stdout.readline() == "last\n"
        assert time.monotonic() - began > 1


def test_cell_that_takes_too_long(command):
    said = command("run", "-c", "import time; time.sleep(60)", "--timeout", "1")
    assert said.returncode == 1
    assert said.stderr.endswith("Error: the code: cell 1 did not end within 1 s (--timeout)\n")


def test_kernel_that_dies(command, tmp_path: Path):
    executed = tmp_path / "b.ipynb"
    code = "import os, time\nprint('before', flush=True)\ntime.sleep(0.5)\nos.kill(os.getpid(), 9)"
    said = command("run", "-c", code, "-o", str(executed))
    assert said.returncode == 3
    assert "Error: kernel 'local/python3' died while cell 1 ran: its process was ended by signal 9" in said.stderr
    assert "Traceback" not in said.stderr
    assert outputs(executed) == [["stream"]]


def test_launch_that_fails(command, write_spec, tmp_path: Path):
    program = "print('the last words'); raise SystemExit(4)"
    write_spec(spec_file(sys.executable, "-c", program, "{connection_file}"), name="sick")
    executed = tmp_path / "b.ipynb"
    said = command("run", "-c", "1", "--kernel", "sick", "--output", str(executed))
    assert said.returncode == 3
    assert said.stderr.startswith("Error: kernel 'local/sick' ended ")
    assert said.stderr.endswith("The kernel's last output:\nthe last words\n")
    assert said.stderr.count("Error: ") == 1
    assert "Traceback" not in said.stderr
    assert not executed.exists()


def test_launch_that_is_late(command, write_spec):
    write_spec(spec_file(sys.executable, "-c", "import time; time.sleep(60)", "{connection_file}"), name="slow")
    said = command("run", "-c", "1", "--kernel", "slow", "--param", "launch_timeout=0.5")
    assert said.returncode == 3
    assert "did not answer within 0.5 s (launch_timeout)" in said.stderr


@pytest.mark.parametrize(
    ("signum", "status", "code", "output"),
    [
        (signal.SIGINT, 130, "time.sleep(60)", ["stream", "error"]),
        (signal.SIGTERM, 143, "time.sleep(60)", ["stream"]),
        (signal.SIGINT, 130, "signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)", ["stream"]),
    ],
)
def test_signals(tmp_path: Path, signum: int, status: int, code: str, output: list[str]):
    executed = tmp_path / "b.ipynb"
    code = f"import signal, time\nprint('up', flush=True)\n{code}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*RUN, "-c", code, "-o", str(executed)], text=True, **pipes) as running:
        assert running.stdout.readline() == "up\n"
        time.sleep(0.5)  # the cell goes on to what the signal is for
        began = time.monotonic()
        running.send_signal(signum)
        _, errors = running.communicate(timeout=60)
        assert running.returncode == status
        assert time.monotonic() - began < 30
        assert "Error" not in errors
        assert outputs(executed) == [output]


@pytest.mark.parametrize("arguments", [("run", "-c", "1", "-k", "local/slow"), ("start", "slow")])
def test_interrupt_while_the_kernel_starts(write_spec, tmp_path: Path, arguments: tuple[str, ...]):
    started = tmp_path / "started"
    program = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(60)"
    write_spec(spec_file(sys.executable, "-c", program, "{connection_file}"), name="slow")
    with subprocess.Popen([*RUN[:-1], *arguments], stderr=subprocess.PIPE, text=True) as running:
        while not started.exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
        assert (running.returncode, errors) == (130, "")


def test_output_that_nobody_reads():
    with subprocess.Popen(
        [*RUN, "-c", "while True: print('again')"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "again\n"
        running.stdout.close()
        assert running.wait(timeout=30) == 141
        assert running.stderr is not None
        assert running.stderr.read() == ""


def test_progress_on_a_terminal():
    ours, theirs = pty.openpty()
    with subprocess.Popen([*RUN, "-c", "print('done')"], stdout=subprocess.PIPE, stderr=theirs, text=True) as running:
        os.close(theirs)
        assert running.communicate(timeout=60)[0] == "done\n"
    shown = ""
    with suppress(OSError):  # the other end is closed, once all is read
        while chunk := os.read(ours, 65536):
            shown += chunk.decode()
    os.close(ours)
    assert "\r\x1b[Klocal/python3: " in shown
    assert shown.endswith("\r\x1b[K")


@pytest.mark.slow
def test_verbose_says_how_long_the_launch_took_and_where_the_notebook_is(command, tmp_path):
    output = tmp_path / "done.ipynb"
    result = command("run", "-v", "-c", "print(1)", "--output", str(output))
    assert (result.returncode, result.stdout) == (0, "1\n")
    first, last = result.stderr.strip().splitlines()
    assert re.fullmatch(r"Kernel local/python3 is ready after \d+\.\d\d s\.", first)
    assert last == f"The executed notebook is {output}."
