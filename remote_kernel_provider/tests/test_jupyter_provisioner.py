"""The provisioner, driven as jupyter_client drives it; whole programs on it are tested from the repository's root."""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from jupyter_client.manager import AsyncKernelManager
from tcp_timers import kept_alive

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.jupyter.observing import LAUNCH_OBSERVER
from remote_kernel_provider.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager

pytestmark = pytest.mark.slow

PYTHON = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    (tmp_path / "runtime").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def install(home):
    def install(name: str, argv: list[str], **metadata) -> None:
        folder = home / "data" / "kernels" / name
        folder.mkdir(parents=True)
        fields = {"display_name": name, "language": "python"}
        (folder / "local_kernel.json").write_text(json.dumps({**fields, "argv": argv, "metadata": metadata}))
        stanza = {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": f"local/{name}"}}
        stock = {**fields, "argv": [sys.executable, "-c", "raise SystemExit('the bridge, not this')"]}
        (folder / "kernel.json").write_text(json.dumps({**stock, "metadata": {"kernel_provisioner": stanza}}))

    return install


@pytest.fixture
async def started(home, install):
    managers = []

    async def start(**kwargs) -> AsyncKernelManager:
        if not managers:
            install("py", PYTHON, supported_encryption=["curve"])
        manager = AsyncKernelManager(kernel_name="py")
        await manager.start_kernel(**kwargs)
        managers.append(manager)
        return manager

    yield start
    for manager in managers:
        await manager.shutdown_kernel(now=True)
    assert list_kernels(home) == []


async def test_the_managers_connections_are_kept_alive(started):
    manager = await started()
    with manager.connect_shell() as socket:
        manager.session.send(socket, "kernel_info_request")
        await asyncio.wait_for(socket.poll(), 20)
        assert True in kept_alive(manager.shell_port, at_the_server=False)


def list_kernels(home: Path) -> list[Path]:
    return list((home / "runtime" / "remote-kernels").glob("*"))


def pid_of(home: Path) -> int:
    (record,) = (home / "runtime" / "remote-kernels").glob("*/record.json")
    return json.loads(record.read_text())["pid"]


async def run(manager: AsyncKernelManager, code: str) -> str:
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=30)
        out = []

        def hook(message):
            if message["msg_type"] == "stream":
                out.append(message["content"]["text"])

        await client.execute_interactive(code, timeout=30, output_hook=hook)
        return "".join(out)
    finally:
        client.stop_channels()


async def test_what_the_caller_passes_reaches_the_kernel(started, home):
    manager = await started(env={**os.environ, "COLOUR": "blue", "KERNEL_DATASET": "spring"}, cwd=str(home))
    seen = await run(manager, "import os; e = os.environ; print(e['COLOUR'], e['KERNEL_DATASET'], os.getcwd())")
    assert seen.split() == ["blue", "spring", str(home)]
    assert isinstance(manager.provisioner, RemoteKernelProvisioner)


async def test_the_hosts_secrets_do_not_reach_the_kernel(started, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret")
    monkeypatch.setenv("JUPYTER_TOKEN", "secret")
    manager = await started()
    assert await run(manager, "import os; print([n for n, v in os.environ.items() if v == 'secret'])") == "[]\n"


async def test_channels_are_encrypted_although_jupyter_client_does_not_ask(started):
    manager = await started()
    assert manager.transport_encryption == "disabled"
    assert manager.get_connection_info()["curve_publickey"]
    assert await run(manager, "print('sealed')") == "sealed\n"


async def test_a_restart_keeps_keys_and_ports_for_clients_and_no_state(started):
    manager = await started()
    before = manager.get_connection_info()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=30)
    await client.execute_interactive("x = 1", timeout=30)
    await manager.restart_kernel()
    assert manager.get_connection_info() == before
    # The same client goes on, as with any Jupyter kernel.
    await client.wait_for_ready(timeout=30)
    reply = await client.execute_interactive("x", timeout=30, output_hook=lambda _: None)
    assert reply["content"]["ename"] == "NameError"
    client.stop_channels()


async def test_a_death_is_one_line_with_its_reason(started, home, caplog):
    manager = await started()
    provisioner = manager.provisioner
    provisioner.log = logging.getLogger("a server's")
    provisioner._manager._log = provisioner.log
    os.kill(pid_of(home), signal.SIGKILL)
    await asyncio.wait_for(provisioner.wait(), 5)
    assert await provisioner.poll() == -signal.SIGKILL
    assert not await manager.is_alive()
    assert [r.getMessage() for r in caplog.records if "died" in r.getMessage()] == [
        f"Kernel {manager.kernel_id} (local/py) died: its process was ended by signal 9 (SIGKILL)"
    ]
    # A dead kernel tolerates whatever a client still tries.
    for act in (provisioner.send_signal(signal.SIGINT), provisioner.terminate(), provisioner.kill()):
        await act
    assert await provisioner.poll() == -signal.SIGKILL


async def test_a_failed_launch_is_one_sentence_and_leaves_nothing(home, install):
    install("broken", [sys.executable, "-c", "print('the cause'); raise SystemExit(3)", "{connection_file}"])
    manager = AsyncKernelManager(kernel_name="broken")
    with pytest.raises(Exception, match="ended with exit code 3") as raised:
        await manager.start_kernel()
    assert (raised.value.status_code, raised.value.log_tail) == (500, "the cause")
    assert "\n" not in str(raised.value)
    assert list_kernels(home) == []


@pytest.mark.parametrize(
    ("environment", "status", "sentence"),
    [
        ({"KERNEL_USERNAME": "root"}, 403, "user 'root' may not launch"),
        ({"KERNEL_IMAGE": "evil"}, 403, "is not yours to set"),
        ({"KERNEL_LAUNCH_TIMEOUT": "soon"}, 400, "expected a number of seconds"),
        ({"KERNEL_MEMORY": "1Gi"}, 400, "has no effect"),
    ],
)
async def test_a_refused_launch_is_one_sentence(home, install, environment, status, sentence):
    install("py", PYTHON)
    manager = AsyncKernelManager(kernel_name="py")
    with pytest.raises(Exception, match=sentence) as raised:
        await manager.start_kernel(env={**os.environ, **environment})
    assert raised.value.status_code == status
    assert list_kernels(home) == []


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.05, 0.2])
async def test_a_cancelled_launch_leaves_nothing(home, install, moment):
    install("py", PYTHON)
    manager = AsyncKernelManager(kernel_name="py")
    launching = asyncio.ensure_future(manager.start_kernel())
    await asyncio.sleep(moment)
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    assert list_kernels(home) == []


async def test_another_process_can_take_the_kernel_over(started, home):
    manager = await started()
    await run(manager, "x = 42")
    document = json.loads(json.dumps(await manager.provisioner.get_provisioner_info()))
    second = AsyncKernelManager(kernel_name="py")
    heir = RemoteKernelProvisioner(kernel_id=manager.kernel_id, kernel_spec=manager.kernel_spec, parent=second)
    await heir.load_provisioner_info(document)
    assert await heir.poll() is None
    assert heir.connection_info == manager.provisioner.connection_info
    os.kill(pid_of(home), signal.SIGKILL)
    assert await asyncio.wait_for(heir.wait(), 5) is not None


async def test_progress_reaches_whoever_observes(started):
    seen = []
    token = LAUNCH_OBSERVER.set(seen.append)
    try:
        manager = await started()
    finally:
        LAUNCH_OBSERVER.reset(token)
    assert [(step.kernel_id, step.kernel_name) for step in seen] == [(manager.kernel_id, "local/py")] * len(seen)
    assert seen


async def test_paths_resolve_where_kernel_and_host_share_their_files(started, home):
    (home / "code.py").touch()
    manager = await started(cwd=str(home))
    assert manager.resolve_path("code.py") == str(home / "code.py")
    assert manager.resolve_path("nothing.py") is None


async def test_extra_arguments_reach_the_command(started):
    manager = await started(extra_arguments=["--IPKernelApp.exec_lines=y=7"])
    assert await run(manager, "print(y)") == "7\n"


async def test_a_spec_that_was_removed_is_one_sentence(home, install):
    install("py", PYTHON)
    manager = AsyncKernelManager(kernel_name="py")
    assert manager.kernel_spec is not None
    shutil.rmtree(home / "data" / "kernels" / "py")
    with pytest.raises(Exception, match="there is no kernel 'local/py'") as raised:
        await manager.start_kernel()
    assert raised.value.status_code == 404


async def test_a_kernel_that_cannot_be_asked_to_end_is_ended_by_force(started, home, monkeypatch):
    async def refuse(*_: object) -> None:
        raise RemoteKernelError("no signal reaches it")

    manager = await started()
    monkeypatch.setattr(LocalLifecycleManager, "signal", refuse)
    manager.shutdown_wait_time = 0.0  # no time to end by itself
    await manager.shutdown_kernel()
    assert list_kernels(home) == []


async def test_an_observer_that_fails_does_not_fail_the_launch(started, caplog):
    def fail(progress):
        raise RuntimeError("nobody watches the watcher")

    token = LAUNCH_OBSERVER.set(fail)
    try:
        manager = await started()
    finally:
        LAUNCH_OBSERVER.reset(token)
    assert await run(manager, "print(1)") == "1\n"
    assert "An observer of the launch" in caplog.text
