"""`start`, `ps`, `logs`, `interrupt`, `restart`, `stop` and `sweep` on real kernels."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client import BlockingKernelClient

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

PROGRAM = """
import asyncio, sys
from remote_kernel_provider.kernel_mgmt import KernelFinder
_, manager = asyncio.run(KernelFinder.from_entrypoints().launch("local/python3"))
print(manager.kernel_id, flush=True)
sys.stdin.read()
"""


@contextmanager
def client_of(file: str) -> Iterator[BlockingKernelClient]:
    """Talk to a kernel as any Jupyter client does that is given a connection file."""
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=30)
        yield client
    finally:
        client.stop_channels()


def evaluated(client: BlockingKernelClient, expression: str) -> str:
    content = client.execute_interactive("", user_expressions={"x": expression}, timeout=30)["content"]
    value = content["user_expressions"]["x"]
    return value["data"]["text/plain"] if value["status"] == "ok" else value["ename"]


@pytest.fixture
def start(command):
    """Start a kernel; every one is stopped after the test."""

    def run(*arguments: str) -> dict:
        started = command("start", "local/python3", "--json", *arguments)
        assert started.returncode == 0, started
        return json.loads(started.stdout)

    yield run
    command("stop", "--all")


@pytest.fixture
def program():
    """Another program that launched a kernel and goes on; its process, and the kernel's id."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], text=True, **pipes) as running:
        yield running, running.stdout.readline().strip()
        running.kill()


def test_life_of_a_kernel(command, start, tmp_path: Path):
    started = start("--param", "color=red", "--env", "MINE=1", "--cwd", str(tmp_path))
    file = Path(started["connection_file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with client_of(str(file)) as client:
        known = {"environ['KERNEL_COLOR']": "red", "environ['MINE']": "1", "getcwd()": str(tmp_path)}
        for expression, value in known.items():
            assert evaluated(client, f"__import__('os').{expression}") == repr(value)
        client.execute("x = 1")
        assert evaluated(client, "x") == "1"
        key = client.session.key

    listed = json.loads(command("ps", "--json").stdout)
    assert [(kernel["id"], kernel["phase"], kernel["host"]) for kernel in listed] == [
        (started["id"], "running", "detached")
    ]
    assert [line.split()[0] for line in command("ps").stdout.splitlines()] == ["ID", started["id"][:8]]
    assert "--existing" in command("logs", started["id"][:8]).stdout
    assert len(command("logs", started["id"], "--tail", "1").stdout.splitlines()) == 1

    again = json.loads(command("restart", started["id"][:6], "--json").stdout)
    assert again == started
    with client_of(str(file)) as client:
        assert client.session.key == key
        assert evaluated(client, "x") == "NameError"
        assert evaluated(client, "__import__('os').environ['KERNEL_COLOR']") == "'red'"

    stopped = command("stop", started["id"][:6])
    assert (stopped.returncode, stopped.stdout) == (0, f"{started['id']}\n")
    assert not file.exists()
    assert command("ps").stderr == "No kernels.\n"


def test_interrupt(command, start):
    with client_of(start()["connection_file"]) as client:
        client.execute("import time; time.sleep(60)")
        time.sleep(0.5)  # until it sleeps
        [kernel] = json.loads(command("ps", "--json").stdout)
        assert command("interrupt", kernel["id"]).returncode == 0
        reply = client.get_shell_msg(timeout=10)
        assert reply["content"]["ename"] == "KeyboardInterrupt"


def test_ids_that_are_ambiguous(command, start):
    start("--param", "id=same-1")
    start("--param", "id=same-2")
    taken = command("start", "local/python3", "--param", "id=same-2")
    assert taken.returncode == 2
    assert "there is a kernel with the id 'same-2' already" in taken.stderr
    for arguments in (["logs", "same"], ["stop", "same"], ["restart", "same-"], ["interrupt", "s"]):
        said = command(*arguments)
        assert said.returncode == 2
        assert "is ambiguous: same-1 (local/python3), same-2 (local/python3); give more of it\n" in said.stderr
    assert command("stop", "same-1", "same-1").stdout == "same-1\n"
    stopped = command("stop", "--all")
    assert (stopped.returncode, stopped.stdout) == (0, "same-2\n")


def test_kernel_of_a_living_program(command, program):
    process, kernel_id = program
    [kernel] = json.loads(command("ps", "--json").stdout)
    assert (kernel["id"], kernel["host"]) == (kernel_id, "alive")
    said = command("restart", kernel_id)
    assert said.returncode == 2
    assert "belongs to a program that is running" in said.stderr
    assert command("interrupt", kernel_id).returncode == 0
    assert command("sweep").stderr == "Nothing to sweep.\n"
    assert command("ps", "--json").stdout.count('"running"') == 1
    process.stdin.close()
    process.wait(timeout=30)
    assert command("ps").stderr == "No kernels.\n"


def test_sweep(command, program):
    process, kernel_id = program
    process.send_signal(signal.SIGKILL)
    process.wait()
    [kernel] = json.loads(command("ps", "--json").stdout)
    assert (kernel["id"], kernel["host"], kernel["phase"]) == (kernel_id, "dead", "running")
    assert "1 kernel(s) of dead programs" in command("doctor").stdout
    found = json.loads(command("sweep", "--dry-run", "--json").stdout)
    assert [(candidate["id"], candidate["remove"]) for candidate in found["kernels"]] == [(kernel_id, True)]
    assert [(each["kind"], each["kernel"], each["removed"]) for each in found["objects"]] == [
        ("process", kernel_id, False), ("folder", kernel_id, False),
    ]  # fmt: skip
    assert json.loads(command("ps", "--json").stdout) == [kernel]
    swept = command("sweep")
    assert swept.returncode == 0
    assert kernel_id in swept.stdout
    assert swept.stdout.endswith("Removed 1 kernel(s).\n")
    assert command("ps").stderr == "No kernels.\n"


def test_restart_of_a_dead_programs_kernel(command, program, start):
    process, kernel_id = program
    process.send_signal(signal.SIGKILL)
    process.wait()
    restarted = command("restart", kernel_id, "--json")
    assert restarted.returncode == 0, restarted
    with client_of(json.loads(restarted.stdout)["connection_file"]) as client:
        assert evaluated(client, "6 * 7") == "42"
    [kernel] = json.loads(command("ps", "--json").stdout)
    assert (kernel["id"], kernel["host"]) == (kernel_id, "detached")


def test_kernels_of_other_owners(command, start, tmp_path: Path):
    kernel_id = start()["id"]
    elsewhere = {"RKP_DATA_FOLDER": str(tmp_path / "other")}
    assert command("ps", **elsewhere).stderr == "No kernels.\n"
    [kernel] = json.loads(command("ps", "--all-owners", "--json", **elsewhere).stdout)
    assert kernel["id"] == kernel_id
    assert command("stop", kernel_id, **elsewhere).returncode == 2
    assert command("stop", kernel_id, "--all-owners", **elsewhere).stdout == f"{kernel_id}\n"


def test_kernel_that_has_ended(command, start):
    started = start()
    with client_of(started["connection_file"]) as client:
        client.execute(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
    deadline = time.monotonic() + 30
    while json.loads(command("ps", "--json").stdout)[0]["phase"] == "running":
        assert time.monotonic() < deadline
    said = command("interrupt", started["id"])
    assert said.returncode == 3
    assert "its process has ended" in said.stderr
    assert "--existing" in command("logs", started["id"]).stdout
    assert os.path.exists(started["connection_file"])
