"""`LifecycleContract`: what every backend must do, as a test class that its author subclasses.

::

    class TestMine(LifecycleContract):
        provider_class = MyKernelProvider
        config = {"image_name": "quay.io/acme/python:1"}

The tests run kernels of that provider on the real backend. What a backend cannot do is said by the attributes, never
by leaving out a test. The tests are blocking code and need no plugin of pytest.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from remote_kernel_provider.adoption import adopt, relaunch
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.errors import KernelDiedError, KernelGoneError, LaunchError, LaunchTimeoutError
from remote_kernel_provider.host import Host
from remote_kernel_provider.launch import LaunchProgress
from remote_kernel_provider.lifecycle import KernelResource, Phase
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.provider import RemoteKernelProvider
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.isolation import own_folders
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until

INSTANCE = "server-1"
"""The owner instance of hosts that come back."""

IDENTITY = "import os\nprint(os.getpid(), 'kept' in globals())"


class LifecycleContract:
    """The suite; see the module."""

    provider_class: ClassVar[type[RemoteKernelProvider]]
    """The provider under test; its lifecycle manager is the one named by `default_lifecycle`."""
    lifecycle_class: ClassVar[str] = ""
    """What specs name in `metadata.lifecycle_manager.class_name`; by default the provider's `default_lifecycle`."""
    config: ClassVar[Mapping[str, Any]] = {}
    """What the backend needs in each spec's `config`, an image for example."""

    python: ClassVar[Sequence[str]] = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
    """Command of ipykernel."""
    light: ClassVar[Sequence[str]] = python
    """Command of the kernel of the tests to which it does not matter which kernel it is; one of them launches two
    hundred. A `tiny_kernel` saves time."""
    missing: ClassVar[Sequence[str]] = ("no-such-command-anywhere", "{connection_file}")
    """A command that does not exist."""
    failing: ClassVar[Sequence[str]] = (
        "python",
        "-c",
        "import sys; print('its last words', flush=True); sys.exit(3)",
        "{connection_file}",
    )
    """A command that ends at once with exit code 3 and says 'its last words'."""
    silent: ClassVar[Sequence[str]] = ("python", "-c", "import time; time.sleep(600)", "{connection_file}")
    """A command that never answers."""
    talking: ClassVar[Sequence[str]] = (
        "python",
        "-c",
        "from ipykernel.kernelapp import launch_new_instance; print('first\\nsecond\\nthird', flush=True); "
        "launch_new_instance(['-f', '{connection_file}'])",
    )
    """Command of ipykernel that writes three lines before."""
    reported: ClassVar[Sequence[str] | None] = None
    """Command of a launcher with the reported handshake; None where the backend cannot have one."""

    message_interrupt_spares_children: ClassVar[bool] = False
    """Whether a child of the kernel survives an interrupt by message. ipykernel signals its whole process group where
    it leads it."""
    end_is_noticed_within: ClassVar[float] = 1.0
    """Seconds from a kernel's end to its notice."""
    failure_is_noticed_within: ClassVar[float] = 5.0
    """Seconds from a launch to the notice that its command failed."""
    cancelled_after: ClassVar[Sequence[float]] = tuple(step * 0.03 for step in range(20))
    """Seconds into a launch at which it is cancelled, to hit each of its steps."""
    crowd_size: ClassVar[int] = 200
    parallel: ClassVar[int] = 8
    """How many of the crowd are launched at a time."""

    def leftovers(self, kernels: Kernels) -> list[str]:
        """Name all that is there of this test's kernels: processes, files, containers, secrets.

        By default what the lifecycle manager finds itself; a backend's test should look for itself.
        """
        return [resource.id for resource in kernels.find()]

    def kill(self, manager: RemoteKernelManager) -> None:
        """End a kernel as by `kill -9`, behind its manager's back."""
        run(manager.signal(signal.SIGKILL))

    @pytest.fixture(autouse=True)
    def jupyter_folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Give the test Jupyter folders of its own; the `kernels` folder in them."""
        return own_folders(tmp_path, monkeypatch)

    @pytest.fixture
    def host(self, jupyter_folders: Path) -> Iterator[Host]:
        """Be a host that comes back."""
        host = Host(load_settings(), INSTANCE)
        yield host
        run(host.close())

    @pytest.fixture
    def kernels(self, host: Host, jupyter_folders: Path) -> Iterator[Kernels]:
        """Give the specs of the contract, and remove the kernels that a test leaves."""
        kernels = Kernels(self.provider_class(host), jupyter_folders, self.lifecycle_class, self.config)
        for name in ("python", "light", "missing", "failing", "silent"):
            kernels.add_spec(name, getattr(self, name))
        kernels.add_spec("python-by-signal", self.python, interrupt_mode="signal")
        yield kernels
        kernels.close()

    def _assert_nothing_left(self, kernels: Kernels) -> None:
        assert self.leftovers(kernels) == []

    # Launching

    def test_a_launched_kernel_prints(self, kernels: Kernels) -> None:
        """Launch, and run a cell."""
        manager = kernels.start("python")
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        assert run(manager.is_alive())
        assert manager.status.phase is Phase.RUNNING

    def test_progress_is_told_in_order(self, kernels: Kernels) -> None:
        """Report each step, the last of them the running process."""
        steps: list[LaunchProgress] = []
        manager = kernels.start("light", progress=steps.append)
        assert [step.kernel_id for step in steps] == [manager.kernel_id] * len(steps)
        assert steps[-1].status.phase is Phase.RUNNING
        assert [step.elapsed for step in steps] == sorted(step.elapsed for step in steps)

    def test_the_keys_are_private(self, kernels: Kernels) -> None:
        """Nobody else reads the connection file, and the key is neither in the command nor in the environment."""
        manager = kernels.start("python")
        look = (
            "import os, sys, ipykernel.connect\n"
            "file = ipykernel.connect.get_connection_file()\n"
            "print(os.stat(file).st_mode & 0o077, os.stat(os.path.dirname(file)).st_mode & 0o002)\n"
            "words = open('/proc/self/cmdline').read() if os.path.exists('/proc') else ' '.join(sys.argv)\n"
            f"print([key for key in {_keys(manager)} if key in words + str(dict(os.environ))])"
        )
        with Notebook(manager.connection) as notebook:
            assert notebook.run(look) == Outcome("0 0\n[]\n")
        assert not any(key in repr(manager.connection) + repr(manager.resource) for key in _keys(manager))

    def test_parameters_reach_the_kernel(self, kernels: Kernels) -> None:
        """Give the kernel its identity and what the client asked for."""
        manager = kernels.start("light", shape="round")
        names = ["KERNEL_ID", "KERNEL_NAME", "KERNEL_SHAPE"]
        with Notebook(manager.connection) as notebook:
            told = notebook.run(f"import os\nprint(*[os.environ[name] for name in {names}])").text.split()
        assert told == [manager.kernel_id, f"{self.provider_class.id}/light", "round"]

    def test_the_reported_handshake(self, kernels: Kernels) -> None:
        """Launch a kernel that chooses its ports and keys, and adopt what it reported."""
        if self.reported is None:
            pytest.skip("this backend has no launcher of the reported handshake")
        kernels.add_spec("reported", self.reported, config={"handshake": "reported"})
        manager = kernels.start("reported")
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        assert run(kernels.lifecycle.recall(manager.resource)).connection.key == manager.connection.key
        run(manager.shutdown())
        self._assert_nothing_left(kernels)

    def test_a_launch_of_the_reported_handshake_that_fails(self, kernels: Kernels) -> None:
        """Leave nothing of a launcher that never reports, nor of one that ends."""
        if self.reported is None:
            pytest.skip("this backend has no launcher of the reported handshake")
        kernels.add_spec("mute", self.silent, config={"handshake": "reported"})
        kernels.add_spec("ending", self.failing, config={"handshake": "reported"})
        with pytest.raises(LaunchTimeoutError):
            kernels.start("mute", launch_timeout=1)
        with pytest.raises(KernelDiedError):
            kernels.start("ending")
        self._assert_nothing_left(kernels)

    # Interrupting

    @pytest.mark.parametrize("spec", ["python", "python-by-signal"])
    def test_an_interrupt_stops_a_busy_cell(self, kernels: Kernels, spec: str) -> None:
        """Interrupt by message and by signal; the kernel goes on and keeps its state."""
        manager = kernels.start(spec)
        with Notebook(manager.connection) as notebook:
            notebook.run("kept = 'state'")
            assert notebook.interrupted(lambda: run(manager.interrupt())).error == "KeyboardInterrupt"
            assert notebook.run("print(kept)") == Outcome("state\n")

    @pytest.mark.parametrize("spec", ["python", "python-by-signal"])
    def test_an_interrupt_and_the_kernels_children(self, kernels: Kernels, spec: str) -> None:
        """Interrupt a kernel that has a child of its own."""
        manager = kernels.start(spec)
        with Notebook(manager.connection) as notebook:
            notebook.run("import subprocess, sys")
            notebook.run("child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])")
            assert notebook.interrupted(lambda: run(manager.interrupt())).error == "KeyboardInterrupt"
            # What a signal does to another process takes its time; a child that survives is looked at a second time.
            code = "try:\n    print(child.wait(2))\nexcept subprocess.TimeoutExpired:\n    print('survives')"
            survives = notebook.run(code).text == "survives\n"
        assert survives == (spec == "python-by-signal" or self.message_interrupt_spares_children)

    def test_an_interrupt_of_an_idle_kernel_changes_nothing(self, kernels: Kernels) -> None:
        """Interrupt a kernel that runs nothing."""
        manager = kernels.start("python")
        with Notebook(manager.connection) as notebook:
            run(manager.interrupt())
            assert notebook.run("print('there')") == Outcome("there\n")

    # Restarting

    def test_a_restart_keeps_no_state(self, kernels: Kernels) -> None:
        """Launch anew under the same id and keys, with a new generation and nothing of the old kernel."""
        old = kernels.start("light")
        with Notebook(old.connection) as notebook:
            notebook.run("kept = 1")
            run(old.kill())
            new = kernels.start("light", kernel_id=old.kernel_id, replaces=old)
            assert new.kernel_id == old.kernel_id
            assert new.resource.generation != old.resource.generation
            assert new.resource.id != old.resource.id
            assert new.connection.key == old.connection.key
            if new.connection == old.connection:
                notebook.until_ready()
                assert notebook.run("print('kept' in globals())") == Outcome("False\n")
        with Notebook(new.connection) as notebook:
            assert notebook.run("print('kept' in globals())") == Outcome("False\n")
        assert not run(old.is_alive())
        assert run(new.is_alive())

    def test_a_new_generation_never_takes_the_old_ones_address(self, kernels: Kernels) -> None:
        """Launch a kernel's next generation while the one before it still runs and answers."""
        for spec in ["light"] + (["reported"] if self.reported else []):
            if spec == "reported":
                kernels.add_spec("reported", self.reported or (), config={"handshake": "reported"})
            old = kernels.start(spec)
            new = kernels.start(spec, kernel_id=old.kernel_id)
            with Notebook(old.connection) as before, Notebook(new.connection) as after:
                before.run("kept = 1")
                assert before.run(IDENTITY).text.split()[1] == "True"
                assert after.run(IDENTITY).text.split()[1] == "False"
            run(old.kill())
            with Notebook(new.connection) as after:
                assert after.run(IDENTITY).text.split()[1] == "False"
            run(new.kill())
        self._assert_nothing_left(kernels)

    # Ending

    def test_a_killed_kernel_is_noticed_at_once(self, kernels: Kernels, caplog: pytest.LogCaptureFixture) -> None:
        """Notice `kill -9`, say why in the status and in one line of the log."""
        manager = kernels.start("light")
        with caplog.at_level(logging.INFO, "remote_kernel_provider"):
            began = time.monotonic()
            self.kill(manager)
            run(manager.wait(), 30)
            took = time.monotonic() - began
        assert took < self.end_is_noticed_within
        assert not run(manager.is_alive())
        assert manager.status.phase is Phase.FAILED
        assert "SIGKILL" in manager.status.reason + manager.status.message
        kernel_id = manager.resource.kernel_id
        lines = [record.getMessage() for record in caplog.records if kernel_id in record.getMessage()]
        assert len(lines) == 1
        assert "SIGKILL" in lines[0]

    @pytest.mark.parametrize("way", ["shutdown", "kill", "cleanup"])
    def test_a_wanted_end_leaves_nothing_and_is_no_news(
        self, kernels: Kernels, way: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """End a kernel in each way, twice."""
        manager = kernels.start("light")
        with caplog.at_level(logging.WARNING, "remote_kernel_provider"):
            for _ in range(2):
                run(getattr(manager, way)(), 30)
                self._assert_nothing_left(kernels)
                assert not run(manager.is_alive())
                run(manager.wait(), 5)
        assert [record.getMessage() for record in caplog.records] == []

    def test_a_kernel_that_ends_by_itself_has_succeeded(
        self, kernels: Kernels, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Take the end of a kernel that a client asked to end for a success, and not for news."""
        manager = kernels.start("light")
        with caplog.at_level(logging.WARNING, "remote_kernel_provider"):
            run(KernelChannels(manager.connection).shutdown(), 10)
            run(manager.wait(), 30)
        assert manager.status.phase is Phase.SUCCEEDED
        assert manager.status.exit_code == 0
        assert [record.getMessage() for record in caplog.records] == []
        run(manager.cleanup())
        self._assert_nothing_left(kernels)

    def test_the_output_of_a_dead_kernel_is_kept_until_it_is_deleted(self, kernels: Kernels) -> None:
        """Read what a kernel wrote, after its end."""
        kernels.add_spec("talking", self.talking)
        manager = kernels.start("talking")
        self.kill(manager)
        run(manager.wait(), 30)
        assert "first\nsecond\nthird" in run(manager.logs())
        assert len(run(manager.logs(2)).splitlines()) == 2
        run(manager.cleanup())
        self._assert_nothing_left(kernels)

    def test_a_dead_kernel_takes_no_signals(self, kernels: Kernels) -> None:
        """Raise KernelGoneError from the backend, before and after the deletion; the manager tolerates it."""
        manager = kernels.start("light")
        self.kill(manager)
        run(manager.wait(), 30)
        for _ in range(2):
            with pytest.raises(KernelGoneError, match=manager.kernel_id):
                run(kernels.lifecycle.signal(manager.resource, signal.SIGINT))
            run(manager.signal(signal.SIGINT))
            run(manager.interrupt())
            run(manager.terminate())
            run(manager.kill())

    def test_delete_is_idempotent(self, kernels: Kernels) -> None:
        """Delete twice, and what never was; the status of all of them is `gone`."""
        manager = kernels.start("light")
        never = replace(manager.resource, id=f"{manager.resource.id}-never")
        for resource in (manager.resource, manager.resource, never):
            run(kernels.lifecycle.delete(resource, 0))
            assert run(kernels.lifecycle.status(resource)).phase is Phase.GONE
        self._assert_nothing_left(kernels)

    # Failing

    def test_a_command_that_does_not_exist(self, kernels: Kernels) -> None:
        """Say which command of which kernel it was."""
        with pytest.raises(LaunchError) as failure:
            kernels.start("missing")
        assert f"{self.provider_class.id}/missing" in str(failure.value)
        assert failure.value.status is not None
        assert failure.value.status.phase is Phase.FAILED
        assert failure.value.status.reason
        assert "no-such-command-anywhere" in str(failure.value) + failure.value.status.message
        self._assert_nothing_left(kernels)

    def test_a_command_that_ends_at_once(self, kernels: Kernels) -> None:
        """Notice it long before the deadline; keep its exit code and its last words."""
        began = time.monotonic()
        with pytest.raises(KernelDiedError) as failure:
            kernels.start("failing")
        assert time.monotonic() - began < self.failure_is_noticed_within
        assert failure.value.status is not None
        assert failure.value.status.exit_code == 3
        assert "its last words" in failure.value.log_tail
        assert "its last words" not in str(failure.value)
        assert "exit code 3" in str(failure.value)
        self._assert_nothing_left(kernels)

    def test_a_deadline_that_passes(self, kernels: Kernels) -> None:
        """Give up on a kernel that does not answer; name the setting."""
        began = time.monotonic()
        with pytest.raises(LaunchTimeoutError, match=r"within 1 s \(launch_timeout\)"):
            kernels.start("silent", launch_timeout=1)
        assert time.monotonic() - began < 1 + self.failure_is_noticed_within
        self._assert_nothing_left(kernels)

    @pytest.mark.parametrize("spec", ["light", "failing", "silent"])
    def test_a_cancelled_launch_leaves_nothing(self, kernels: Kernels, spec: str) -> None:
        """Cancel at many moments of a launch, from a loop that is not the private one."""

        async def cancel_after(seconds: float) -> None:
            launching = asyncio.ensure_future(kernels.launch(spec))
            await asyncio.wait({launching}, timeout=seconds)
            launching.cancel()
            await asyncio.wait({launching}, timeout=30)
            assert launching.done()
            if not launching.cancelled() and launching.exception() is None:
                await launching.result().kill()

        for seconds in self.cancelled_after:
            asyncio.run(cancel_after(seconds))
            self._assert_nothing_left(kernels)

    def test_a_launch_that_is_cancelled_at_its_first_news(self, kernels: Kernels) -> None:
        """Cancel at the moment at which the backend reports something."""

        async def cancel() -> None:
            def on_news(_: LaunchProgress) -> None:
                launching.cancel()

            launching = asyncio.ensure_future(kernels.launch("silent", progress=on_news))
            await asyncio.wait({launching}, timeout=30)
            assert launching.cancelled()

        run(cancel())
        self._assert_nothing_left(kernels)

    # Finding again

    def test_kernels_are_found_by_their_owner(self, kernels: Kernels) -> None:
        """Find a kernel by each part of its owner, and not by another's."""
        manager = kernels.start("light")
        owner = manager.resource.owner
        right: list[dict[str, str]] = [
            {"user": owner.user},
            {"instance": owner.instance},
            {"user": owner.user, "instance": owner.instance},
        ]
        for parts in [{}, *right]:
            selector = OwnerSelector(host_id=owner.host_id, **parts)
            assert run(kernels.lifecycle.find(selector)) == [manager.resource]
        wrong = [{"user": "somebody else"}, {"instance": "server-2"}, {"user": owner.user, "instance": "detached"}]
        for parts in wrong:
            assert run(kernels.lifecycle.find(OwnerSelector(host_id=owner.host_id, **parts))) == []
        assert run(kernels.lifecycle.find(OwnerSelector(host_id="0" * 16))) == []

    def test_a_handle_survives_being_written_down(self, kernels: Kernels) -> None:
        """Find the kernel by what `to_json` wrote."""
        manager = kernels.start("light")
        again = KernelResource.from_json(manager.resource.to_json())
        assert again == manager.resource
        assert run(kernels.lifecycle.status(again)).phase is Phase.RUNNING

    def test_adoption_after_the_hosts_death(
        self, kernels: Kernels, host: Host, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Take over the kernel of a host that was killed: its state is there, and it is followed again."""
        with OtherHost(self.provider_class.id, "light", INSTANCE, "kept = 'state'") as other:
            resource = other.resource()
            other.kill()
        own = OwnerSelector(host_id=host.identity.host_id, instance=host.instance)
        assert run(kernels.lifecycle.find(own)) == [resource]
        manager = run(adopt(host, resource))
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(kept)") == Outcome("state\n")
            assert notebook.interrupted(lambda: run(manager.interrupt())).error == "KeyboardInterrupt"
        began = time.monotonic()
        self.kill(manager)
        run(manager.wait(), 30)
        assert time.monotonic() - began < self.end_is_noticed_within
        kernel_id = resource.kernel_id
        assert [record.levelname for record in caplog.records if kernel_id in record.getMessage()] == ["ERROR"]
        with pytest.raises(KernelGoneError, match=manager.kernel_id):
            run(adopt(host, resource))
        run(manager.cleanup())
        self._assert_nothing_left(kernels)

    def test_an_adopted_kernel_is_launched_anew(self, kernels: Kernels, host: Host) -> None:
        """Restart a kernel whose launch only its memory knows."""
        with OtherHost(self.provider_class.id, "light", INSTANCE, "kept = 'state'") as other:
            resource = other.resource()
            other.kill()
        manager = run(relaunch(host, resource))
        assert manager.kernel_id == resource.kernel_id
        assert manager.resource.generation != resource.generation
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print('kept' in globals())") == Outcome("False\n")
        run(manager.shutdown())
        self._assert_nothing_left(kernels)

    def test_the_first_launch_sweeps_what_dead_clients_left(self, kernels: Kernels) -> None:
        """Remove the kernels of a client that was killed; keep those of a living one, and of a server."""
        ids = self.provider_class.id, "light"
        with OtherHost(*ids) as dead, OtherHost(*ids, "server-2") as server, OtherHost(*ids) as living:
            orphan, waiting, alive = dead.resource(), server.resource(), living.resource()
            dead.kill()
            server.kill()
            assert {resource.id for resource in kernels.find()} == {orphan.id, waiting.id, alive.id}
            own = kernels.start("light").resource
            until(lambda: orphan not in kernels.find(), 10, "the sweep of a dead client's kernel")
            assert {resource.id for resource in kernels.find()} == {waiting.id, alive.id, own.id}

    # Many

    def test_a_crowd_leaves_nothing_behind(self, kernels: Kernels) -> None:
        """Launch and end many: no process, file, descriptor, task or thread is left."""

        async def one(number: int) -> None:
            manager = await kernels.launch("light", kernel_id=str(uuid.uuid4()))
            await (manager.shutdown() if number % 2 else manager.kill())

        async def batch(numbers: Sequence[int]) -> None:
            await asyncio.gather(*(one(number) for number in numbers))

        run(batch(range(self.parallel)))  # what is kept for good, such as a pool of threads, is there now
        before = _census()
        for start in range(0, self.crowd_size, self.parallel):
            run(batch(range(start, min(start + self.parallel, self.crowd_size))))
        self._assert_nothing_left(kernels)
        until(lambda: _fits(_census(), before), 10, f"as few descriptors, tasks and threads as before: {before}")


def _keys(manager: RemoteKernelManager) -> list[str]:
    info = manager.connection
    return [key for key in (info.key, info.curve_secretkey) if key]


def _census() -> dict[str, int]:
    """Count what this process holds."""
    gc.collect()
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    # The loop's pool of threads grows to its bound whenever its threads happen to be busy at once.
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return {"descriptors": len(list(folder.iterdir())), "tasks": run(tasks()), "threads": len(threads)}


def _fits(now: Mapping[str, int], before: Mapping[str, int]) -> bool:
    return all(now[name] <= number for name, number in before.items())
