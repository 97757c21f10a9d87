"""The clients that Jupyter's users have, unchanged, on the installed kernel; each runs as a program of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from clients import assert_conforms, assert_console_runs, assert_papermill_passes, outputs, printed, write_notebook

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
JUPYTER = Path(sys.executable).parent / "jupyter"
KILLED = "died: its process was ended by signal 9 (SIGKILL)"


@pytest.fixture(autouse=True)
def nothing_is_left(home):
    yield
    home.assert_nothing_left()


@pytest.fixture
def notebook(home, kernel_name):
    """Make a notebook of code cells for the installed kernel."""

    return partial(write_notebook, home, kernel_name)


@pytest.fixture
def broken(home):
    yield home.add_spec("broken", ["no-such-program", "-f", "{connection_file}"])
    for file in (home.specs / "broken").iterdir():
        file.unlink()
    (home.specs / "broken").rmdir()


@contextmanager
def jupyter_kernel(home, kernel_name: str, **env: str) -> Iterator[str]:
    """Run `jupyter kernel`, which starts a kernel and prints its connection file."""
    server = subprocess.Popen(
        [JUPYTER, "kernel", f"--kernel={kernel_name}"],
        env={**home.environment, **env},
        cwd=home.work,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield next(line for line in server.stderr if "Connection file:" in line).rpartition(": ")[2].strip()
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)


def sentence(home) -> str:
    return (
        "kernel 'local/broken': its command 'no-such-program' cannot be run: No such file or directory; "
        f"install it or mend argv in {home.specs / 'broken/local_kernel.json'}"
    )


def test_jupyter_kernelspec_lists_it_once(home, kernel_name):
    listed = json.loads(home.run(JUPYTER, "kernelspec", "list", "--json").stdout)["kernelspecs"]
    assert Path(listed[kernel_name]["resource_dir"]) == home.specs / kernel_name
    display_name = listed[kernel_name]["spec"]["display_name"]
    assert [spec["spec"]["display_name"] for spec in listed.values()].count(display_name) == 1


def test_jupyter_execute_runs_a_real_notebook_with_a_plot(home, kernel_name):
    result = home.work / "sine.ipynb"
    home.run(JUPYTER, "execute", ROOT / "examples/sine.ipynb", f"--kernel_name={kernel_name}", f"--output={result}")
    assert f"kernel local/{kernel_name} of " in printed(result)
    assert any("image/png" in output.get("data", {}) for output in outputs(result))


def test_nbclient_runs_every_kind_of_output(home, notebook):
    file = notebook(
        "import sys, os; print('out'); print('err', file=sys.stderr)",
        "from IPython.display import HTML; HTML('<b>rich</b>')",
        "os.getcwd()",
    )
    program = """
import nbclient, nbformat, sys
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(notebook, sys.argv[1])
"""
    folder = home.root / "elsewhere"
    folder.mkdir(exist_ok=True)
    home.run(sys.executable, "-c", program, file, folder)
    found = outputs(file)
    assert {(output.name, output.text) for output in found if output.output_type == "stream"} == {
        ("stdout", "out\n"),
        ("stderr", "err\n"),
    }
    rich, cwd = (output.data for output in found if output.output_type == "execute_result")
    assert rich["text/html"] == "<b>rich</b>"
    assert cwd["text/plain"] == repr(str(folder))


def test_nbclient_reports_the_cell_that_raises(home, notebook):
    file = notebook("print('before')", "1 / 0", "print('after')")
    result = home.work / "result.ipynb"
    assert "died" not in home.run(JUPYTER, "execute", file, "--allow-errors", f"--output={result}").stderr
    assert printed(result) == "before\nafter\n"
    assert [output.ename for output in outputs(result) if output.output_type == "error"] == ["ZeroDivisionError"]
    stopped = home.run(JUPYTER, "execute", file, check=False)
    assert stopped.returncode != 0
    assert "ZeroDivisionError" in stopped.stderr


def test_papermill_passes_parameters(home, kernel_name):
    assert_papermill_passes(home, kernel_name)


def test_jupyter_run_runs_a_script(home, kernel_name):
    script = home.work / "script.py"
    script.write_text("import os; print('run by', os.environ['KERNEL_NAME'])")
    assert home.run(JUPYTER, "run", f"--kernel={kernel_name}", script).stdout == f"run by local/{kernel_name}\n"


def test_jupyter_console_runs_what_is_typed(home, kernel_name):
    assert_console_runs(home, kernel_name)


def test_the_client_on_which_qtconsole_stands_starts_interrupts_and_restarts(home, kernel_name):
    program = """
import queue, sys
from jupyter_client.manager import KernelManager
from jupyter_client.threaded import ThreadedKernelClient, ThreadedZMQSocketChannel

class Channel(ThreadedZMQSocketChannel):
    said = queue.Queue()
    def call_handlers(self, message):
        self.said.put(message)

class Client(ThreadedKernelClient):
    shell_channel_class = iopub_channel_class = stdin_channel_class = control_channel_class = Channel

def until(client, kind, code):
    msg_id = client.execute(code)
    while True:
        message = Channel.said.get(timeout=60)
        if message["msg_type"] == "stream" and "busy" in message["content"]["text"]:
            manager.interrupt_kernel()
        if (message["msg_type"], message["parent_header"].get("msg_id")) == (kind, msg_id):
            return message["content"]

manager = KernelManager(kernel_name=sys.argv[1], client_factory=Client)
manager.start_kernel()
client = manager.client()
client.start_channels()
print(until(client, "stream", "kept = 6 * 7; print(kept)")["text"], end="")
print(until(client, "error", "import time; print('busy'); time.sleep(600)")["ename"])
manager.restart_kernel()
print(until(client, "execute_reply", "kept")["ename"])
client.stop_channels()
manager.shutdown_kernel()
"""
    result = home.run(sys.executable, "-c", program, kernel_name)
    assert result.stdout.splitlines() == ["42", "KeyboardInterrupt", "NameError"]


def test_other_clients_attach_by_the_connection_file(home, kernel_name):
    with jupyter_kernel(home, kernel_name) as file:
        program = """
import sys
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=30)
client.execute_interactive("print('attached')", timeout=30)
client.stop_channels()
"""
        assert home.run(sys.executable, "-c", program, file).stdout == "attached\n"


def test_jupyter_run_attaches_to_a_kernel_in_the_clear(home, kernel_name):
    # jupyter_client 8.10 reads no CURVE keys for the option --existing of any of its programs.
    script = home.work / "script.py"
    script.write_text("print('attached')")
    with jupyter_kernel(home, kernel_name, RKP_TRANSPORT_ENCRYPTION="disabled") as file:
        assert home.run(JUPYTER, "run", f"--existing={file}", script).stdout == "attached\n"


def test_values_of_start_kernel_reach_the_kernel(home, kernel_name):
    program = """
import os, sys
from jupyter_client.manager import start_new_kernel
os.environ["OF_THE_HOST"] = "inherited"
manager, client = start_new_kernel(
    kernel_name=sys.argv[1],
    cwd=sys.argv[2],
    env={**os.environ, "PLAIN": "passed", "KERNEL_LAUNCH_TIMEOUT": "45", "KERNEL_USERNAME": "alice"},
)
names = ["PLAIN", "KERNEL_LAUNCH_TIMEOUT", "KERNEL_USERNAME", "OF_THE_HOST", "JUPYTERHUB_API_TOKEN"]
client.execute_interactive(f"import os; print([os.environ.get(name) for name in {names}], os.getcwd())", timeout=30)
client.stop_channels()
manager.shutdown_kernel()
"""
    folder = home.root / "given"
    folder.mkdir(exist_ok=True)
    secret = {"JUPYTERHUB_API_TOKEN": "a secret of the host"}
    result = home.run(sys.executable, "-c", program, kernel_name, folder, env=secret)
    assert result.stdout == f"['passed', '45', 'alice', 'inherited', None] {folder}\n"


def test_the_channels_are_encrypted_without_being_asked_for(home, kernel_name):
    program = """
import json, sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1])
print(len(json.load(open(manager.connection_file)).get("curve_publickey", "")))
client.stop_channels()
manager.shutdown_kernel()
"""
    assert home.run(sys.executable, "-c", program, kernel_name).stdout == "40\n"


def test_a_death_is_one_log_line_with_its_reason_before_the_error(home, notebook):
    file = notebook("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    result = home.run(JUPYTER, "execute", file, check=False)
    assert result.returncode != 0
    assert result.stderr.count(KILLED) == 1
    assert "DeadKernelError" in result.stderr[result.stderr.index(KILLED) :]


def test_a_blocking_manager_interrupts_restarts_and_notices_a_death(home, kernel_name):
    program = """
import logging, os, signal, sys, time
from jupyter_client.manager import start_new_kernel
logging.basicConfig()
manager, client = start_new_kernel(kernel_name=sys.argv[1])

def run(code):
    def show(message):
        if message["msg_type"] == "stream":
            print(message["content"]["text"], end="", flush=True)
            if "busy" in message["content"]["text"]:
                manager.interrupt_kernel()
    return client.execute_interactive(code, timeout=30, output_hook=show)["content"]

print(run("kept = 1; import time; print('busy'); time.sleep(60)")["ename"])
print(run("kept")["status"])
ports = manager.ports
manager.restart_kernel()
client.wait_for_ready(timeout=30)
print(run("kept")["ename"], manager.ports == ports, manager.is_alive())
run("import os, signal; print('killed'); pid = os.getpid()")
client.execute("os.kill(pid, signal.SIGKILL)")
deadline = time.monotonic() + 2
while manager.is_alive() and time.monotonic() < deadline:
    time.sleep(0.01)
print(manager.is_alive())
manager.restart_kernel()
client.wait_for_ready(timeout=30)
print(run("1")["status"])
client.stop_channels()
manager.shutdown_kernel()
"""
    result = home.run(sys.executable, "-c", program, kernel_name)
    assert result.stdout.splitlines() == [
        "busy",
        "KeyboardInterrupt",
        "ok",
        "NameError True True",
        "killed",
        "False",
        "ok",
    ]
    assert result.stderr.count(KILLED) == 1


@pytest.mark.usefixtures("broken")
def test_a_launch_that_fails_is_one_sentence_for_every_client(home, notebook):
    program = """
import sys
from jupyter_client.manager import start_new_kernel
try:
    start_new_kernel(kernel_name="broken")
except Exception as error:
    print(error)
"""
    assert home.run(sys.executable, "-c", program).stdout == sentence(home) + "\n"
    stopped = home.run(JUPYTER, "execute", notebook("1"), "--kernel_name=broken", check=False)
    assert stopped.returncode != 0
    assert stopped.stderr.rstrip().splitlines()[-1].endswith(sentence(home))


def test_the_conformance_suite_of_jupyter_passes(home, kernel_name):
    assert_conforms(home, kernel_name)
