"""The clients of jupyter_kernel_mgmt itself, over `local`: blocking ones and asynchronous ones."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading

import pytest

import remote_kernel_provider.kernel_mgmt  # noqa: F401  # makes the library import on this Python

# isort: split
from jupyter_kernel_mgmt.hl import run_kernel_async, run_kernel_blocking, start_kernel_blocking

from remote_kernel_provider import host as host_module
from remote_kernel_provider.errors import UnauthorizedError
from remote_kernel_provider.host import current_host
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.testing.waiting import run

pytestmark = [pytest.mark.slow, pytest.mark.pythons]


@pytest.fixture(autouse=True)
def python3(write_spec, monkeypatch):
    """An ordinary kernel, and a host of the test's own."""
    monkeypatch.setattr(host_module, "_hosts", {})
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    for name, mode in (("python3", "signal"), ("python3-by-message", "message")):
        document = {"argv": argv, "display_name": "Python 3", "language": "python", "interrupt_mode": mode}
        write_spec(document, name, "kernel.json")
    yield
    run(current_host().end())


@pytest.fixture
def current_loop():
    """Be a program that has not run a loop yet: the library's blocking clients take the thread's current one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


class Printed:
    """What the cells of a client print."""

    def __init__(self, client):
        self.text = ""
        self.changed = threading.Event()
        client.add_handler(self._take, "iopub")

    def _take(self, message, channel):
        if message.header["msg_type"] == "stream":
            self.text += message.content["text"]
            self.changed.set()


def nothing_left(tmp_path) -> bool:
    return list((tmp_path / "runtime" / "remote-kernels").glob("*")) == []


def test_blocking(current_loop, tmp_path):
    with run_kernel_blocking("local/python3") as client:
        printed = Printed(client.loop_client)
        reply = client.execute("print(6 * 7)", timeout=20, idle_timeout=10)
        assert reply.content["status"] == "ok"
        assert printed.text == "42\n"
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("name", ["local/python3", "local/python3-by-message"])
def test_blocking_interrupt(current_loop, name, tmp_path):
    with run_kernel_blocking(name) as client:
        code = "import time\ntime.sleep(60)"
        reply = client.execute(code, timeout=30, interrupt_timeout=0.5)
        assert reply.content["ename"] == "KeyboardInterrupt"
        assert client.execute("1", timeout=20).content["status"] == "ok"
    assert nothing_left(tmp_path)


def test_blocking_launch_parameters(current_loop, tmp_path):
    params = {"env": {"PLAIN": "1", "KERNEL_COLOUR": "red"}, "shape": "round"}
    with run_kernel_blocking("local/python3", cwd=str(tmp_path), launch_params=params) as client:
        printed = Printed(client.loop_client)
        code = "import os\nprint(os.getcwd(), *[os.environ[n] for n in ('PLAIN', 'KERNEL_COLOUR', 'KERNEL_SHAPE')])"
        client.execute(code, timeout=20, idle_timeout=10)
        assert printed.text == f"{tmp_path} 1 red round\n"


def test_blocking_refusal(current_loop, tmp_path):
    with pytest.raises(UnauthorizedError):
        start_kernel_blocking("local/python3", launch_params={"KERNEL_USERNAME": "root"})
    assert nothing_left(tmp_path)


def test_a_killed_kernel_and_a_restart(current_loop):
    manager, client = start_kernel_blocking("local/python3")
    client.close()
    run(manager.signal(9))
    run(manager.wait(), 10)
    assert not run(manager.is_alive())
    assert manager.status.phase is Phase.FAILED
    for request in (manager.interrupt, manager.kill, manager.cleanup):
        run(request())  # a dead kernel is no error
    again, client = start_kernel_blocking("local/python3", launch_params={"kernel_id": manager.kernel_id})
    assert again.kernel_id == manager.kernel_id
    assert client.execute("1", timeout=20).content["status"] == "ok"
    client.shutdown_or_terminate()
    client.close()


@pytest.mark.parametrize("name", ["local/python3", "local/python3-by-message"])
async def test_asynchronous(name, tmp_path):
    async with run_kernel_async(name) as client:
        printed = Printed(client)
        reply = await asyncio.wait_for(client.execute("print(6 * 7)", idle_timeout=10), 20)
        assert reply.content["status"] == "ok"
        assert printed.text == "42\n"
        printed.changed.clear()
        busy = asyncio.ensure_future(client.execute("print('busy', flush=True)\nimport time\ntime.sleep(60)"))
        await asyncio.to_thread(printed.changed.wait, 20)
        await client.interrupt()
        assert (await asyncio.wait_for(busy, 10)).content["ename"] == "KeyboardInterrupt"
    assert nothing_left(tmp_path)


def test_kernels_of_a_program_end_with_it(tmp_path):
    """Also of one that forgets to shut them down."""
    script = """
        import remote_kernel_provider.kernel_mgmt
        from jupyter_kernel_mgmt.hl import start_kernel_blocking
        manager, client = start_kernel_blocking("local/python3")
        import json
        print(json.dumps(client.execute("import os", timeout=20).content["status"]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(told.stdout) == "ok"
    assert "Traceback" not in told.stderr
    assert nothing_left(tmp_path)
    assert list((tmp_path / "data" / "remote-kernels" / "hosts").iterdir()) == []
