"""Local kernels and their hosts' deaths: what is kept, found, adopted, swept."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from processes import folder_of, running, unlikely_seconds

from remote_kernel_provider.adoption import adopt, relaunch
from remote_kernel_provider.errors import KernelGoneError, UnauthorizedError
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.local.process import machine
from remote_kernel_provider.local.records import KernelFolder, LocalRecord
from remote_kernel_provider.sweep import sweep_dead
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until


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
