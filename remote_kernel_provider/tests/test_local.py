"""What is particular to kernels that are processes of this machine."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import zmq

from remote_kernel_provider.adoption import adopt, relaunch
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.errors import (
    KernelDiedError,
    KernelGoneError,
    LaunchError,
    LaunchTimeoutError,
    RefusedError,
    UnauthorizedError,
)
from remote_kernel_provider.exits import explain_exit
from remote_kernel_provider.host import Host
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.local.ports import PortPool
from remote_kernel_provider.local.process import machine, start_time
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.local.records import KernelFolder, LocalRecord
from remote_kernel_provider.sweep import sweep_dead
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until

TINY = ("python", "-m", "remote_kernel_provider.testing.tiny_kernel", "-f", "{connection_file}")


@pytest.fixture
def host():
    host = Host(load_settings(), "server-1")
    yield host
    run(host.close())


@pytest.fixture
def kernels(host, jupyter_folders):
    kernels = Kernels(LocalKernelProvider(host), jupyter_folders, "", {})
    kernels.add_spec("tiny", TINY)
    yield kernels
    kernels.close()


@pytest.fixture
def folders(tmp_path):
    """The names of the kernels' folders that there are."""
    return lambda: sorted(path.name for path in (tmp_path / "runtime" / "remote-kernels").glob("*"))


def folder_of(manager) -> Path:
    return Path(os.environ["JUPYTER_RUNTIME_DIR"]) / "remote-kernels" / manager.resource.id


def unlikely_seconds() -> str:
    """Return an argument of `sleep` that tells this test's processes from all others."""
    return f"60{uuid.uuid4().int % 10**6}"


def running(marker: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if marker in " ".join(process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.mark.slow
class TestCommands:
    """What is said of a command that cannot be run."""

    def fails(self, kernels, argv, **values) -> LaunchError:
        kernels.add_spec("wrong", argv)
        with pytest.raises(LaunchError) as failure:
            kernels.start("wrong", **values)
        assert failure.value.status.phase is Phase.FAILED
        return failure.value

    def test_not_found(self, kernels, folders):
        error = self.fails(kernels, ["no-such-command", "{connection_file}"])
        assert error.status.reason == "CommandNotFound"
        assert str(error).startswith("kernel 'local/wrong': its command 'no-such-command' cannot be run: No such file")
        assert "mend argv in " in str(error)
        assert folders() == []

    def test_not_executable(self, kernels, folders, tmp_path):
        file = tmp_path / "plain"
        file.write_text("x")
        error = self.fails(kernels, [str(file), "{connection_file}"])
        assert error.status.reason == "PermissionDenied"
        assert str(file) in str(error)
        assert folders() == []

    def test_no_program(self, kernels, folders, tmp_path):
        file = tmp_path / "rubbish"
        file.write_bytes(b"\0\1\2")
        file.chmod(0o700)
        assert "Exec format error" in str(self.fails(kernels, [str(file), "{connection_file}"]))
        assert folders() == []

    @pytest.mark.parametrize("folder", ["missing", "a file"])
    def test_a_working_directory_that_is_none(self, kernels, folders, tmp_path, folder):
        (tmp_path / "a file").touch()
        error = self.fails(kernels, TINY, working_dir=str(tmp_path / folder))
        assert error.status.reason == "WorkingDirectory"
        assert f"its working directory {tmp_path / folder} cannot be entered" in str(error)
        assert folders() == []

    @pytest.mark.parametrize("value", ["a\0b", "\ud800"])
    def test_what_no_process_can_be_given(self, kernels, folders, value):
        error = self.fails(kernels, TINY, colour=value)
        assert "kernel 'local/wrong'" in str(error)
        assert folders() == []

    def test_an_empty_command(self, kernels, folders):
        kernels.add_spec("empty", [], config={"handshake": "assigned"})
        with pytest.raises(LaunchError, match="'argv' is empty; a local kernel needs a command"):
            kernels.start("empty")
        assert folders() == []

    def test_a_runtime_folder_that_cannot_be_written(self, kernels, tmp_path):
        (tmp_path / "runtime").touch()
        with pytest.raises(LaunchError, match=r"kernel 'local/tiny'.*cannot be written: .*; make room there"):
            kernels.start("tiny")

    def test_another_user(self, kernels, folders):
        kernels.add_spec("other", TINY, config={"uid": os.getuid() + 1})
        with pytest.raises(RefusedError, match="local kernels run as the host's own uid"):
            kernels.start("other")
        assert folders() == []


class TestExits:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("script", "reason", "code", "said"),
        [
            ("exit 5", "Error", 5, "its process ended with exit code 5"),
            ("exit 127", "Error", 127, "exit code 127: the command was not found"),
            ("exit 126", "Error", 126, "exit code 126: the command cannot be executed"),
            ("kill -TERM $$", "SIGTERM", -15, "its process was ended by signal 15 (SIGTERM)"),
            ("kill -KILL $$", "SIGKILL", -9, "its process was ended by signal 9 (SIGKILL)"),
            ("ulimit -c 0; kill -SEGV $$", "SIGSEGV", -11, "(SIGSEGV)"),
            ("exit 0", "Completed", 0, "its process ended by itself"),
        ],
    )
    def test_reasons(self, kernels, folders, script, reason, code, said):
        kernels.add_spec("ending", ["sh", "-c", f"echo out; echo err >&2; {script}", "{connection_file}"])
        with pytest.raises(KernelDiedError) as failure:
            kernels.start("ending")
        assert (failure.value.status.reason, failure.value.status.exit_code) == (reason, code)
        assert said in str(failure.value)
        assert failure.value.log_tail == "out\nerr"
        assert folders() == []

    def test_signals_without_a_name(self):
        assert explain_exit(-42, False).reason == "signal 42"

    def test_only_a_kill_is_taken_for_the_out_of_memory_killers(self):
        assert explain_exit(-9, True).reason == "OOMKilled"
        assert explain_exit(-15, True).reason == "SIGTERM"

    @pytest.mark.slow
    def test_out_of_memory(self, memory_group, kernels, jupyter_folders):
        eat = "x = bytearray(1)\nwhile True: x += bytes(10_000_000)"
        kernels.add_spec("greedy", ["python", "-c", eat, "{connection_file}"])
        script = """
            import sys, uuid
            open(sys.argv[1], "w").write("0")
            from remote_kernel_provider.local.provider import LocalKernelProvider
            from remote_kernel_provider.errors import KernelDiedError
            from remote_kernel_provider.private_loop import PRIVATE_LOOP
            try:
                PRIVATE_LOOP.run(LocalKernelProvider().launch("greedy"))
            except KernelDiedError as error:
                print(error.status.reason, error, sep="\\n")
        """
        command = [sys.executable, "-c", textwrap.dedent(script), str(memory_group / "cgroup.procs")]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert told.splitlines()[0] == "OOMKilled"
        assert "it ran out of memory" in told


@pytest.fixture
def memory_group():
    """A control group with room for a host and not for a greedy kernel."""
    version1 = Path("/sys/fs/cgroup/memory")
    root = version1 if version1.exists() else Path("/sys/fs/cgroup")
    group = root / f"remote-kernel-test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    try:
        limit = group / ("memory.limit_in_bytes" if version1.exists() else "memory.max")
        try:
            limit.write_text(str(300 * 2**20))
            if not version1.exists():
                (group / "memory.swap.max").write_text("0")
        except OSError as error:
            pytest.skip(f"no memory limit can be set here: {error}")
        yield group
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), 10, "the end of all in the control group")
        group.rmdir()


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


class TestPorts:
    def test_none_is_given_twice(self):
        pool = PortPool()
        taken = [port for _ in range(20) for port in pool.take(5, (0, 0))]
        assert len(set(taken)) == 100

    def test_a_range_is_kept_and_its_end_is_said(self):
        pool = PortPool()
        lower = 23000
        taken = pool.take(5, (lower, lower + 9)) + pool.take(5, (lower, lower + 9))
        assert sorted(taken) == list(range(lower, lower + 10))
        with pytest.raises(
            LaunchError, match=rf"only 0 of 5 ports are free in port_range {lower}..{lower + 9}; widen it"
        ):
            pool.take(5, (lower, lower + 9))
        pool.give_back(taken[:5])
        assert sorted(pool.take(5, (lower, lower + 9))) == sorted(taken[:5])

    def test_too_few_are_not_kept(self):
        pool = PortPool()
        for _ in range(3):
            with pytest.raises(LaunchError, match="only 2 of 5"):
                pool.take(5, (23100, 23101))
        assert sorted(pool.take(2, (23100, 23101))) == [23100, 23101]

    def test_preferred_ones_if_all_are_free(self):
        pool = PortPool()
        first = pool.take(5, (0, 0))
        assert set(pool.take(5, (0, 0), first)).isdisjoint(first)
        pool.give_back(first)
        assert pool.take(5, (0, 0), first) == first

    @pytest.mark.slow
    def test_every_end_gives_them_back(self, kernels):
        """Twelve ports are enough for any number of kernels, one after another, however each ends."""
        config = {"port_range": "23200..23211"}
        kernels.add_spec("few", TINY, config=config)
        kernels.add_spec("missing", ["no-such-command", "{connection_file}"], config=config)
        kernels.add_spec("failing", ["sh", "-c", "exit 3", "{connection_file}"], config=config)
        kernels.add_spec("silent", ["sh", "-c", "sleep 60", "{connection_file}"], config=config)
        other = kernels.start("few")
        for end in ("kill", "shutdown", "cleanup"):
            run(getattr(kernels.start("few"), end)())
            for spec, error in (("missing", LaunchError), ("failing", KernelDiedError), ("silent", LaunchTimeoutError)):
                with pytest.raises(error):
                    kernels.start(spec, launch_timeout=0.1)
        assert run(other.is_alive())

    @pytest.mark.slow
    def test_a_restart_keeps_them(self, kernels):
        old = kernels.start("tiny")
        run(old.kill())
        new = kernels.start("tiny", kernel_id=old.kernel_id, replaces=old)
        assert new.connection == old.connection


@pytest.mark.slow
class TestMemory:
    """What is kept of a kernel is believed only if this user's host wrote it."""

    @pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff\xfe\n{}", b"0" * 64 + b"\n{}"], ids=repr)
    def test_rubbish(self, kernels, content):
        manager = kernels.start("tiny")
        (folder_of(manager) / "memory.json").write_bytes(content)
        with pytest.raises(KernelGoneError, match="was not written by this user's host"):
            run(adopt(kernels.host, manager.resource))

    def test_anothers_memory(self, kernels):
        one, two = kernels.start("tiny"), kernels.start("tiny")
        shutil.copy(folder_of(one) / "memory.json", folder_of(two) / "memory.json")
        with pytest.raises(KernelGoneError, match=two.kernel_id):
            run(adopt(kernels.host, two.resource))

    def test_none(self, kernels):
        manager = kernels.start("tiny")
        (folder_of(manager) / "memory.json").unlink()
        with pytest.raises(KernelGoneError, match="nothing is kept of kernel"):
            run(adopt(kernels.host, manager.resource))

    def test_a_record_that_cannot_be_read_hides_no_other(self, kernels):
        bad, good = kernels.start("tiny"), kernels.start("tiny")
        record = folder_of(bad) / "record.json"
        kept = record.read_bytes()
        for content in (b"", b"[]", b'{"resource": 5}', b"{}", b"[" * 100_000):
            record.write_bytes(content)
            assert kernels.find() == [good.resource]
        record.write_bytes(kept)


@pytest.mark.slow
def test_a_host_that_is_killed_in_the_middle_of_a_launch(kernels, host, folders):
    """Whatever it had started by then is found and swept by the next host."""
    marker = unlikely_seconds()
    kernels.add_spec("silent", ["sh", "-c", f"sleep {marker}", "{connection_file}"])
    with OtherHost("local", "silent") as other:
        until(lambda: running(marker), 20, "the kernel's process")
        other.kill()
    assert running(marker)
    own = kernels.start("tiny")
    until(lambda: folders() == [own.resource.id], 10, "the sweep of the folder")
    until(lambda: not running(marker), 5, "the end of the kernel's process")


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


class TestHeldPorts:
    def test_nobody_else_can_take_a_port_before_its_kernel_has_it(self):
        pool = PortPool()
        ports = pool.take(5, (0, 0))
        for port in ports:
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
        context = zmq.Context()
        for port in ports:
            with context.socket(zmq.ROUTER) as kernel:
                kernel.bind(f"tcp://127.0.0.1:{port}")
        context.term()
        pool.give_back(ports)

    def test_two_hosts_never_choose_one_port_of_a_range(self):
        pools = [PortPool() for _ in range(4)]
        chosen = [port for pool in pools for port in pool.take(5, (23300, 23400))]
        assert len(set(chosen)) == 20
        for pool in pools:
            pool.give_back(chosen)

    def test_what_is_given_back_is_free_for_everybody(self):
        pool = PortPool()
        ports = pool.take(2, (0, 0))
        pool.give_back(ports)
        with socket.socket() as other:
            other.bind(("127.0.0.1", ports[0]))


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
class TestHostsKilledOnTheWay:
    """What is on the disk when a host is killed at a step of `create`; the sweep of another must see to it."""

    def orphan(self, kernels, folders, command=None):
        """Make what a killed host leaves: a record without a process, and the process when it came that far."""
        manager = kernels.start("tiny")
        resource = replace(manager.resource, owner=replace(manager.resource.owner, instance="client-dead"))
        run(manager.kill())
        folder = KernelFolder(folders.parent.parent / "runtime" / "remote-kernels" / resource.id)
        folder.make()
        folder.write_record(LocalRecord(resource, 0, None, machine()))
        if command:
            return folder, subprocess.Popen(
                command, stdout=folder.output.open("wb"), stderr=subprocess.STDOUT, start_new_session=True
            )
        return folder, None

    def test_before_its_process_there_is_nothing_to_end(self, kernels, jupyter_folders):
        folder, _ = self.orphan(kernels, jupyter_folders)
        run(sweep_dead(kernels.host))
        assert not folder.path.exists()

    def test_after_its_process_it_is_found_by_its_output(self, kernels, jupyter_folders):
        script = "import os, time; os.dup2(1, 41); os.dup2(os.open(os.devnull, os.O_WRONLY), 1); time.sleep(600)"
        folder, process = self.orphan(kernels, jupyter_folders, [sys.executable, "-c", script])
        until(lambda: os.path.exists(f"/proc/{process.pid}/fd/41"), 5, "the kernel to move its output")
        run(sweep_dead(kernels.host))
        assert process.wait(timeout=5) == -signal.SIGKILL
        assert not folder.path.exists()

    def test_one_that_cannot_be_swept_stands_in_nobodys_way(self, kernels, jupyter_folders, monkeypatch, caplog):
        folders = [self.orphan(kernels, jupyter_folders)[0] for _ in range(2)]
        stubborn = sorted(folder.path.name for folder in folders)[0]
        delete = LocalLifecycleManager.delete

        async def refuse(self, resource, grace):
            if resource.id == stubborn:
                raise OSError("its disk is gone")
            await delete(self, resource, grace)

        with monkeypatch.context() as broken:
            broken.setattr(LocalLifecycleManager, "delete", refuse)
            run(sweep_dead(kernels.host))
        assert [folder.path.name for folder in folders if folder.path.exists()] == [stubborn]
        assert "could not be swept: its disk is gone" in caplog.text


@pytest.mark.slow
def test_an_adopted_kernel_is_no_orphan(kernels):
    with OtherHost("local", "tiny") as other:
        resource = other.resource()
        other.kill()
    manager = run(adopt(kernels.host, resource))
    assert manager.resource.owner.instance == kernels.host.instance
    run(sweep_dead(kernels.host))
    assert run(manager.is_alive())
    with OtherHost("local", "tiny") as third:  # its first launch sweeps, too
        third.resource()
        assert run(manager.is_alive())
    assert run(kernels.lifecycle.status(manager.resource)).phase is Phase.RUNNING
    run(manager.kill())


@pytest.mark.slow
def test_a_restart_that_policy_refuses_keeps_the_kernel(kernels, monkeypatch):
    manager = kernels.start("tiny")
    kernels.host.settings.unauthorized_users = [manager.resource.owner.user]
    with pytest.raises(UnauthorizedError):
        run(relaunch(kernels.host, manager.resource))
    assert run(manager.is_alive())
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
