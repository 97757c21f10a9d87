"""The bridge: a client that knows no provisioners runs `argv` with a connection file, as an ordinary kernel's."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    return tmp_path


class Bridged:
    def __init__(self, home: Path, kernel: str = "local/python3", **environment: str) -> None:
        self.file, _ = write_connection_file(str(home / "connection.json"), key=b"a key that the client made")
        self.runtime = home / "runtime" / "remote-kernels"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "remote_kernel_provider.jupyter.bridge", "--kernel", kernel, "-f", self.file],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def client(self) -> BlockingKernelClient:
        # The blocking client gives any kernel one second for its first heartbeat: not enough to start Python here while
        # other tests run.
        wait_for_port(json.loads(Path(self.file).read_text())["shell_port"])
        client = BlockingKernelClient(connection_file=self.file)
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=30)
        return client

    def kernel_pid(self) -> int:
        (record,) = self.runtime.glob("*/record.json")
        return json.loads(record.read_text())["pid"]

    def is_clean(self) -> bool:
        return not self.runtime.exists() or not list(self.runtime.iterdir())


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


def reply_to(client: BlockingKernelClient, message_id: str) -> dict:
    while True:
        reply = client.get_shell_msg(timeout=10)
        if reply["parent_header"].get("msg_id") == message_id:
            return reply["content"]


@pytest.fixture
def bridged(home):
    started = []

    def start(*args, **kwargs) -> Bridged:
        started.append(Bridged(home, *args, **kwargs))
        return started[-1]

    yield start
    for bridge in started:
        if bridge.process.poll() is None:
            bridge.process.terminate()  # ends its kernel with it
        bridge.process.communicate(timeout=20)
    assert all(bridge.is_clean() for bridge in started)


def run(client: BlockingKernelClient, code: str) -> tuple[str, str]:
    out = []

    def hook(message):
        if message["msg_type"] == "stream":
            out.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=30, output_hook=hook)
    return reply["content"]["status"], "".join(out)


def test_a_client_reaches_the_kernel_behind_the_ports_of_its_file(bridged):
    bridge = bridged(KERNEL_DATASET="spring")
    client = bridge.client()
    status, out = run(client, "import os; print(os.getpid(), os.environ['KERNEL_DATASET'])")
    assert (status, out.split()) == ("ok", [str(bridge.kernel_pid()), "spring"])
    assert bridge.kernel_pid() != bridge.process.pid
    client.shutdown()
    assert bridge.process.wait(timeout=20) == 0
    client.stop_channels()
    assert bridge.is_clean()


def test_a_second_client_shares_the_kernel(bridged):
    bridge = bridged()
    first, second = bridge.client(), bridge.client()
    run(first, "shared = 6 * 7")
    assert run(second, "print(shared)") == ("ok", "42\n")
    first.stop_channels()
    second.stop_channels()


def test_sigint_interrupts_the_cell_and_not_the_bridge(bridged):
    bridge = bridged()
    client = bridge.client()
    # Not stop_on_error: what is sent right after the error would be aborted with it.
    message_id = client.execute("import time; print('busy', flush=True); time.sleep(60)", stop_on_error=False)
    while client.get_iopub_msg(timeout=10)["msg_type"] != "stream":
        pass
    bridge.process.send_signal(signal.SIGINT)
    assert reply_to(client, message_id)["ename"] == "KeyboardInterrupt"
    assert run(client, "print(1)") == ("ok", "1\n")
    client.stop_channels()


def test_sigterm_ends_the_kernel(bridged):
    bridge = bridged()
    client = bridge.client()
    pid = bridge.kernel_pid()
    client.stop_channels()
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(timeout=20) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{pid}").exists()
    assert bridge.is_clean()


def test_sigterm_during_the_launch_leaves_nothing(bridged):
    bridge = bridged()
    deadline = time.monotonic() + 20
    while bridge.is_clean() and time.monotonic() < deadline:
        time.sleep(0.005)
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(timeout=20) == 128 + signal.SIGTERM
    assert bridge.is_clean()


def test_the_kernels_death_ends_the_bridge_with_its_reason(bridged):
    bridge = bridged()
    client = bridge.client()
    os.kill(bridge.kernel_pid(), signal.SIGKILL)
    assert bridge.process.wait(timeout=20) == 128 + signal.SIGKILL
    assert "ended by signal 9 (SIGKILL)" in bridge.process.stderr.read()
    client.stop_channels()
    assert bridge.is_clean()


def test_the_end_of_a_client_that_names_itself_ends_the_bridge(bridged):
    client = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    bridge = bridged(JPY_PARENT_PID=str(client.pid))
    bridge.client().stop_channels()
    client.kill()
    client.wait()
    client.stdin.close()
    assert bridge.process.wait(timeout=20) == 128 + signal.SIGTERM
    assert bridge.is_clean()


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        ("local/nothing", "there is no kernel 'local/nothing'"),
        ("nobody/python3", "the kernel provider 'nobody' is not installed"),
    ],
)
def test_an_unknown_kernel_is_one_sentence(bridged, kernel, sentence):
    bridge = bridged(kernel)
    _, error = bridge.process.communicate(timeout=30)
    assert bridge.process.returncode == 1
    assert sentence in error
    assert "Traceback" not in error


def test_a_kernel_that_chooses_its_own_key_is_refused(bridged, home):
    folder = home / "data" / "kernels" / "reporting"
    folder.mkdir(parents=True)
    spec = {"argv": ["launch", "--response-address", "{response_address}"], "display_name": "Reporting"}
    (folder / "local_kernel.json").write_text(json.dumps(spec))
    bridge = bridged("local/reporting")
    _, error = bridge.process.communicate(timeout=30)
    assert bridge.process.returncode == 1
    assert "chooses its own key" in error


def test_a_taken_port_is_one_sentence(bridged):
    first = bridged()
    first.client().stop_channels()
    second = subprocess.run(first.process.args, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert "cannot be listened on" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_file_that_is_no_connection_file_is_one_sentence(home):
    file = home / "rubbish.json"
    file.write_text('{"key": 1}')
    command = [sys.executable, "-m", "remote_kernel_provider.jupyter.bridge", "--kernel", "local/python3", "-f", file]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert "is no connection file of a kernel" in result.stderr
    assert "Traceback" not in result.stderr
