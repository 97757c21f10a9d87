"""Clients that know no kernel provisioners, as VS Code: they run `argv` of `kernel.json` with a connection file."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import LIVED, live
from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from remote_kernel_provider.testing.waiting import until

pytestmark = pytest.mark.slow

JUPYTER = Path(sys.executable).parent / "jupyter"


@pytest.fixture(autouse=True)
def nothing_is_left(home):
    yield
    home.assert_nothing_left()


@pytest.fixture
def connection_file(tmp_path) -> str:
    return write_connection_file(str(tmp_path / "connection.json"), key=b"a key that the client made")[0]


@contextmanager
def argv_of(home, kernel_name: str, connection_file: str) -> Iterator[subprocess.Popen]:
    """Run what `kernel.json` says, as such a client does; it is ended by SIGTERM unless it has ended."""
    argv = json.loads((home.specs / kernel_name / "kernel.json").read_text())["argv"]
    command = [word.replace("{connection_file}", connection_file) for word in argv]
    process = subprocess.Popen(command, env=home.environment, cwd=home.work, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def client_of(connection_file: str) -> Iterator[BlockingKernelClient]:
    client = BlockingKernelClient(connection_file=connection_file)
    client.load_connection_file()
    client.start_channels(hb=False)  # its patience with the first heartbeat is one second
    client.wait_for_ready(timeout=60)
    try:
        yield client
    finally:
        client.stop_channels()


def run(client: BlockingKernelClient, code: str, on_output=None) -> str:
    """Run a cell; return what it printed and the name of its error."""
    printed = []

    def take(message) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
            if on_output is not None:
                on_output()

    content = client.execute_interactive(code, timeout=60, output_hook=take)["content"]
    return "".join(printed) + content.get("ename", "")


@pytest.mark.parametrize(("ending", "encryption"), [("shutdown", "auto"), ("kill", "disabled")])
def test_a_kernel_is_interrupted_restarted_and_ended(home, kernel_name, ending, encryption):
    seen = live(home, kernel_name, encryption, ending, "argv")
    assert seen == {**LIVED, "another process": True, "encrypted": encryption == "auto"}
    if ending == "kill":  # the bridge's end by force, which its kernel outlives
        home.run(JUPYTER, "remote-kernel", "sweep")


def test_the_kernel_runs_through_the_provider_and_not_as_the_command_of_its_spec(home, kernel_name, connection_file):
    with argv_of(home, kernel_name, connection_file) as bridge, client_of(connection_file) as client:
        pid, name = run(client, "import os; print(os.getpid(), os.environ['KERNEL_NAME'])").split()
        assert name == f"local/{kernel_name}"
        assert int(pid) != bridge.pid
        assert int(pid) in [process.pid for process in home.kernel_processes()]


def test_an_interrupt_by_message_ends_the_cell(home, kernel_name, connection_file):
    with argv_of(home, kernel_name, connection_file), client_of(connection_file) as client:

        def interrupt() -> None:
            client.control_channel.send(client.session.msg("interrupt_request", {}))

        run(client, "kept = 1")
        assert run(client, "import time; print('busy'); time.sleep(600)", interrupt) == "busy\nKeyboardInterrupt"
        assert run(client, "print(kept)") == "1\n"


def test_a_bridge_that_was_killed_is_started_anew_with_the_same_file_and_its_kernel_is_swept(
    home, kernel_name, connection_file
):
    with argv_of(home, kernel_name, connection_file) as bridge, client_of(connection_file) as client:
        first = run(client, "import os; print(os.getpid())")
        bridge.kill()
        bridge.wait(10)
    with argv_of(home, kernel_name, connection_file), client_of(connection_file) as client:
        second = run(client, "import os; print(os.getpid())")
        assert second != first
        running = f"{int(second)}"
        until(lambda: [str(process.pid) for process in home.kernel_processes()] == [running], 20, "the first is swept")


def test_a_sweep_ends_what_a_killed_bridge_left(home, kernel_name, connection_file):
    with argv_of(home, kernel_name, connection_file) as bridge, client_of(connection_file) as client:
        run(client, "1")
        bridge.kill()
        bridge.wait(10)
    assert home.kernel_processes()
    home.run(JUPYTER, "remote-kernel", "sweep")
    home.assert_nothing_left()


def test_a_death_ends_the_bridge_with_its_reason(home, kernel_name, connection_file):
    with argv_of(home, kernel_name, connection_file) as bridge, client_of(connection_file) as client:
        client.execute("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        _, error = bridge.communicate(timeout=30)
        assert bridge.returncode == 128 + signal.SIGKILL
        assert "died: its process was ended by signal 9 (SIGKILL)" in error
