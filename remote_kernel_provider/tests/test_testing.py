"""What `remote_kernel_provider.testing` offers is tested itself: a contract that cannot fail proves nothing."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from remote_kernel_provider.connection.assigned import with_curve_keys
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.local.ports import PortPool
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow


@pytest.fixture(params=[False, True], ids=["clear", "curve"])
def connection(request):
    shell, iopub, stdin, control, heartbeat = PortPool().take(5, (0, 0))
    info = ConnectionInfo("127.0.0.1", (shell, iopub, stdin, control, heartbeat), "the key")
    return with_curve_keys(info) if request.param else info


@pytest.fixture
def process(connection, tmp_path):
    file = tmp_path / "connection.json"
    file.write_text(json.dumps(connection.to_json()))
    command = [sys.executable, "-m", "remote_kernel_provider.testing.tiny_kernel", "-f", str(file)]
    with subprocess.Popen(command) as process:
        yield process
        process.kill()


@pytest.fixture
def notebook(process, connection):
    with Notebook(connection) as notebook:
        yield notebook


def test_the_tiny_kernel_runs_cells(notebook):
    assert notebook.run("x = 6 * 7") == Outcome("")
    assert notebook.run("print(x)\nprint(x)") == Outcome("42\n42\n")
    assert notebook.run("print('before')\n1/0") == Outcome("before\n", "ZeroDivisionError")
    assert notebook.run("raise SystemExit") == Outcome("", "SystemExit")
    assert notebook.run("syntax error") == Outcome("", "SyntaxError")
    assert notebook.run("print(x)") == Outcome("42\n")


@pytest.mark.parametrize("way", ["signal", "message"])
def test_the_tiny_kernel_is_interrupted(notebook, process, connection, way):
    cell = notebook.begin("import time\nprint('busy')\ntime.sleep(60)")
    cell.until_printed("busy")
    with pytest.raises(TimeoutError, match="did not go on"):
        cell.finish(0.1)
    if way == "signal":
        process.send_signal(signal.SIGINT)
    else:
        run(KernelChannels(connection).interrupt(), 5)
    assert cell.finish(5) == Outcome("busy\n", "KeyboardInterrupt")
    process.send_signal(signal.SIGINT)  # idle: nothing to interrupt
    assert notebook.run("print('there')") == Outcome("there\n")


def test_the_tiny_kernel_ends_when_it_is_asked(notebook, process, connection):
    run(KernelChannels(connection).shutdown(), 5)
    assert process.wait(5) == 0


def test_the_tiny_kernel_ends_politely_in_a_cell_too(notebook, process, connection):
    notebook.begin(
        "import time\nprint('busy')\nwhile True:\n  try: time.sleep(60)\n  except Exception: pass"
    ).until_printed("busy")
    run(KernelChannels(connection).shutdown(), 5)
    assert process.wait(5) == 0


def test_the_tiny_kernel_answers_nobody_with_another_key(notebook, connection):
    stranger = KernelChannels(replace(connection, key="another"))
    with pytest.raises(TimeoutError):
        run(_within(stranger.kernel_info(), 0.3))
    assert notebook.run("print('there')") == Outcome("there\n")


def test_a_cell_that_ends_without_its_text_is_an_error(notebook):
    with pytest.raises(TimeoutError, match="ended without printing 'more'"):
        notebook.begin("print('some')").until_printed("more", 5)


def test_waiting_is_bounded():
    with pytest.raises(TimeoutError, match=r"not within 0\.1 s: the impossible"):
        until(lambda: False, 0.1, "the impossible")


async def _within(awaitable, seconds):
    import asyncio

    try:
        return await asyncio.wait_for(awaitable, seconds)
    except asyncio.TimeoutError:
        raise TimeoutError from None
