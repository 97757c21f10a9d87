"""What is particular to kernels that are processes of this machine."""

import asyncio
import os
import shlex
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from processes import TINY, folder_of, running, unlikely_seconds

from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.host import Host
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.local.process import machine, start_time
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.waiting import run, until


@pytest.mark.slow
class TestProcesses:
    def test_a_kernel_has_a_session_and_a_private_folder(self, kernels):
        manager = kernels.start("tiny")
        folder = folder_of(manager)
        with Notebook(manager.connection) as notebook:
            ids = notebook.run("import os\nprint(os.getpid(), os.getsid(0), os.getpgid(0))").text.split()
        assert len(set(ids)) == 1
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}

    def test_a_polite_end_runs_exit_handlers(self, kernels, tmp_path):
        kernels.add_spec("python", ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"))
        manager = kernels.start("python")
        file = tmp_path / "said at the end"
        with Notebook(manager.connection) as notebook:
            notebook.run(f"import atexit, pathlib\natexit.register(pathlib.Path({str(file)!r}).touch)")
        run(manager.shutdown())
        assert file.exists()

    def test_one_that_will_not_end_has_the_operators_grace(self, kernels):
        kernels.host.settings.delete_grace = 0.2
        command = shlex.join([sys.executable, *TINY[1:]])
        kernels.add_spec("stubborn", ["sh", "-c", f"trap '' TERM; {command}; sleep 600"])
        manager = kernels.start("stubborn")
        began = time.monotonic()
        run(manager.cleanup())
        assert 0.2 <= time.monotonic() - began < 4  # by default it has five seconds
        assert not run(manager.is_alive())

    def test_what_a_kernel_left_running_ends_with_it(self, kernels):
        """Its group, also when the kernel itself has died before, and nobody saw it."""
        for watched in (True, False):
            manager = kernels.start("tiny")
            with Notebook(manager.connection) as notebook:
                child = int(notebook.run("import subprocess\nprint(subprocess.Popen(['sleep', '600']).pid)").text)
                pid = int(notebook.run("import os\nprint(os.getpid())").text)
            if not watched:
                run(kernels.lifecycle.close())
            os.kill(pid, signal.SIGKILL)
            if watched:
                run(manager.wait(), 10)
            else:
                until(lambda: start_time(pid) is None, 5, "the kernel's end")  # noqa: B023
            assert start_time(child) is not None
            run(kernels.lifecycle.delete(manager.resource, 0))
            until(lambda: start_time(child) is None, 5, "the end of the kernel's child")  # noqa: B023
            run(manager.leave())
            if not watched:
                os.waitpid(pid, 0)

    def test_a_process_with_the_same_id_is_not_taken_for_the_kernel(self, kernels, host):
        manager = kernels.start("tiny")
        record = kernels.lifecycle._folder(manager.resource).record()
        run(manager.kill())
        with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
            try:
                folder = kernels.lifecycle._folder(manager.resource)
                folder.make()
                folder.write_record(replace(record, pid=stranger.pid))
                assert run(kernels.lifecycle.status(manager.resource)).phase is Phase.FAILED
                with pytest.raises(KernelGoneError):
                    run(kernels.lifecycle.signal(manager.resource, signal.SIGTERM))
                run(kernels.lifecycle.delete(manager.resource, 1))
                assert stranger.poll() is None
            finally:
                stranger.kill()

    def test_a_kernel_of_a_boot_before(self, kernels, host):
        manager = kernels.start("tiny")
        folder = kernels.lifecycle._folder(manager.resource)
        record = folder.record()
        run(manager.kill())
        folder.make()
        folder.write_record(replace(record, machine={**machine(), "boot": "before"}))
        status = run(kernels.lifecycle.status(manager.resource))
        assert (status.phase, status.reason) == (Phase.FAILED, "Restarted")
        run(kernels.lifecycle.delete(manager.resource, 0))

    def test_the_reason_of_a_death_is_kept_for_other_processes(self, kernels, tmp_path):
        manager = kernels.start("tiny")
        run(manager.signal(signal.SIGKILL))
        run(manager.wait(), 10)
        other = Host(load_settings(), "server-2")
        try:
            status = run(other.lifecycle("local").status(manager.resource))
            assert (status.reason, status.exit_code) == ("SIGKILL", -9)
        finally:
            run(other.close())

    @pytest.mark.parametrize("kernel_id", ["x" * 300, "../../etc", "a/b c", "..", ".hidden", "ü" * 90])
    def test_whatever_a_client_calls_its_kernel(self, kernels, folders, kernel_id):
        manager = kernels.start("tiny", kernel_id=kernel_id)
        assert [manager.resource.id] == folders()
        assert kernels.find() == [manager.resource]
        run(manager.shutdown())
        assert folders() == []

    def test_environment(self, kernels, monkeypatch):
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret")
        monkeypatch.setenv("FROM_THE_HOST", "1")
        kernels.add_spec("spec", TINY, env={"FROM_THE_SPEC": "$FROM_THE_HOST-2", "KERNEL_COLOUR": "spec's"})
        manager = kernels.start("spec", colour="client's")
        names = ["FROM_THE_HOST", "FROM_THE_SPEC", "JUPYTERHUB_API_TOKEN", "KERNEL_COLOUR"]
        with Notebook(manager.connection) as notebook:
            told = notebook.run(f"import os\nprint([os.environ.get(name) for name in {names}])").text
        assert told == "['1', '1-2', None, \"client's\"]\n"

    def test_python_is_the_hosts_own(self, kernels):
        manager = kernels.start("tiny")
        with Notebook(manager.connection) as notebook:
            assert notebook.run("import sys\nprint(sys.executable)").text.strip() == sys.executable

    def test_a_cancelled_spawn_leaves_no_child(self, kernels, folders):
        """A wrapper script that has started something when the launch is cancelled."""
        marker = unlikely_seconds()
        kernels.add_spec("wrapper", ["sh", "-c", f"sleep {marker} & sleep {marker}", "{connection_file}"])

        async def cancel(seconds):
            launching = asyncio.ensure_future(kernels.launch("wrapper"))
            await asyncio.wait({launching}, timeout=seconds)
            launching.cancel()
            await asyncio.wait({launching}, timeout=10)

        for step in range(10):
            run(cancel(step * 0.002))
            assert folders() == []

        until(lambda: not running(marker), 3, "the end of what the wrapper started")

    def test_curve(self, kernels):
        manager = kernels.start("tiny")
        assert manager.connection.encrypted
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(1)").text == "1\n"
        plain = replace(manager.connection, curve_publickey=None, curve_secretkey=None)
        with pytest.raises(asyncio.TimeoutError):
            run(asyncio.wait_for(KernelChannels(plain).kernel_info(), 0.5))


@pytest.mark.slow
class TestSlowDeletion:
    """A backend whose deletion takes its time."""

    @pytest.fixture
    def slow(self, kernels, host):
        class Slow(LocalLifecycleManager):
            deleting = asyncio.Event()
            release = asyncio.Event()

            async def delete(self, resource, grace):
                self.deleting.set()
                await self.release.wait()
                await super().delete(resource, grace)

        async def make():
            return Slow(host.settings, host.identity)

        slow = host._lifecycles["local"] = run(make())
        yield slow

        async def release():
            slow.release.set()

        run(release())

    def test_a_cancellation_during_the_clean_up_waits_for_it(self, slow, kernels, folders):
        kernels.add_spec("failing", ["sh", "-c", "exit 3", "{connection_file}"])

        async def cancel():
            launching = asyncio.ensure_future(kernels.launch("failing"))
            await asyncio.wait_for(slow.deleting.wait(), 10)
            for _ in range(3):
                launching.cancel()
                await asyncio.wait({launching}, timeout=0.05)
            assert not launching.done()
            slow.release.set()
            await asyncio.wait({launching}, timeout=10)
            assert launching.cancelled()
            assert folders() == []

        run(cancel())


@pytest.mark.slow
def test_a_manager_that_left_knows_the_end_that_it_made(kernels):
    manager = kernels.start("tiny")
    run(manager.leave())
    assert run(manager.is_alive())
    run(manager.kill())
    assert not run(manager.is_alive())
    run(manager.wait(), 5)


@pytest.mark.slow
def test_a_kernel_that_comes_after_its_client_was_cancelled_is_taken_back(host, kernels, folders):
    started = threading.Event()

    class Late(LocalKernelProvider):
        async def _start(self, *arguments):
            manager = await super()._start(*arguments)
            started.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return manager

    async def cancel():
        launching = asyncio.ensure_future(Late(host).launch("tiny"))
        assert await asyncio.to_thread(started.wait, 20)
        assert len(folders()) == 1
        launching.cancel()
        await asyncio.wait({launching}, timeout=10)
        assert launching.cancelled()

    asyncio.run(cancel())
    assert folders() == []


def test_a_watch_that_fails_is_said_and_its_kernel_counts_as_alive(kernels, caplog, monkeypatch):
    async def failing(self, resource):
        yield await self.status(resource)
        raise RuntimeError("the backend's own fault")

    manager = kernels.start("tiny")
    monkeypatch.setattr(LocalLifecycleManager, "watch", failing)
    heir = run(adopt(kernels.provider.host, manager.resource))
    until(lambda: "its end will not be noticed" in caplog.text, 5, "the log line")
    assert run(heir.is_alive())
    run(manager.kill())


@pytest.mark.slow
def test_a_program_may_end_its_kernel_as_it_exits(tmp_path):
    script = """
        import atexit
        from jupyter_client.manager import KernelManager
        from remote_kernel_provider.manager import RemoteKernelManager
        from remote_kernel_provider.private_loop import PRIVATE_LOOP
        ended = []
        atexit.register(lambda: (PRIVATE_LOOP.run(ended[0].kill()), print("done", flush=True)))
        from remote_kernel_provider.host import system_identity
        from remote_kernel_provider.local.provider import LocalKernelProvider
        from remote_kernel_provider.parameters.launch_parameters import ClientRequest
        provider = LocalKernelProvider()
        spec, _ = provider.find("python3")
        ended.append(PRIVATE_LOOP.run(provider.start(spec, ClientRequest("one", system_identity()))))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
