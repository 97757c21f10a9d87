"""Hosts and engines that go and come: routes, adoption, owners, and what is left of those that died."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from engine.daemon import Daemon
from engine.fixtures import Engine
from engine.images import DEBIAN, KERNEL, make

from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.errors import ConfigurationError, KernelGoneError, LaunchError
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.sweep import find_orphans
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow


class TestRoutes:
    def test_the_containers_address_where_it_can_be_reached(self, kernels, engine):
        manager = kernels.start("tiny")
        container = engine.client.inspect_container(manager.resource.id)
        assert manager.connection.ip == container["NetworkSettings"]["IPAddress"]
        assert not container["HostConfig"]["PortBindings"]
        assert "this host has the address" in run(kernels.lifecycle.describe())

    def test_published_ports_on_loopback(self, make_kernels, kernels):
        publishing = make_kernels("server-2", docker_route="published")
        first = publishing.start("tiny")
        assert first.connection.ip == "127.0.0.1"
        with Notebook(first.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
            run(first.kill())
            again = publishing.start("tiny", kernel_id=first.kernel_id, replaces=first)
            assert again.connection == first.connection  # so its clients stay connected
            notebook.until_ready()
        run(again.kill())
        with socket.create_server(("127.0.0.1", first.connection.ports[1])):
            elsewhere = publishing.start("tiny", kernel_id=first.kernel_id, replaces=first)
            assert set(elsewhere.connection.ports).isdisjoint(first.connection.ports)
            with Notebook(elsewhere.connection) as notebook:
                assert notebook.run("print(6 * 7)") == Outcome("42\n")

    @pytest.fixture
    def tcp_port(self, engine):
        with Forwarder(engine.host.removeprefix("unix://")) as port:
            yield port

    def test_an_engine_behind_a_tcp_address(self, image, tcp_port, make_kernels):
        """An address without a socket may be another machine's, so ports are published."""
        image(KERNEL)
        far = make_kernels("server-2", docker_host=f"tcp://127.0.0.1:{tcp_port}")
        manager = far.start("tiny")
        assert manager.connection.ip == "127.0.0.1"
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        assert "is not reached by a socket" in run(far.lifecycle.describe())

    def test_the_reported_handshake_needs_an_address(self, make_kernels, kernels):
        publishing = make_kernels("server-2", docker_route="published")
        publishing.add_spec("reported", ("python", "-c", "pass"), config={"handshake": "reported"})
        with pytest.raises(LaunchError, match="need their container's address"):
            publishing.start("reported")


class Forwarder:
    """A TCP port that leads to a socket, as an engine's far away."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._server = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        return self._server.getsockname()[1]

    def __exit__(self, *_) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._path)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class TestOwners:
    def test_an_adopted_kernel_changes_its_owner(self, kernels, make_kernels):
        manager = kernels.start("tiny")
        heir = make_kernels("server-2")
        assert run(adopt(heir.host, manager.resource)).resource.owner.instance == heir.host.instance
        for instance, count in (("server-1", 0), (heir.host.instance, 1)):
            selector = OwnerSelector(host_id=heir.host.identity.host_id, instance=instance)
            assert len(run(kernels.lifecycle.find(selector))) == count
        run(manager.kill())
        assert not list((heir.host.identity.folder / "docker").iterdir())

    def test_a_memory_of_another_container_is_refused(self, kernels, engine):
        ours, other = kernels.start("tiny"), kernels.start("tiny")
        pieces, _ = engine.client.get_archive(ours.resource.id, "/run/remote-kernel/memory")
        engine.client.put_archive(other.resource.id, "/run/remote-kernel", b"".join(pieces))
        with pytest.raises(KernelGoneError, match="was not written by this user's host"):
            run(kernels.lifecycle.recall(other.resource))
        assert run(kernels.lifecycle.recall(ours.resource)).connection.key == ours.connection.key

    def test_a_kernel_that_is_there_twice_by_name(self, kernels, engine):
        """Containers of others with labels of ours cost nobody anything."""
        stranger = engine.client.create_container(KERNEL, "true", labels={
            "app": "remote-kernel-provider", "remote-kernel-provider.lifecycle": "docker", "rkp-test": "stranger",
        })["Id"]  # fmt: skip
        try:
            assert kernels.find() == []
        finally:
            engine.client.remove_container(stranger)


class TestHostsThatDie:
    @pytest.mark.parametrize("step", ["create_container_from_config", "put_archive", "start", "inspect_container"])
    def test_killed_between_two_steps_of_a_launch(self, kernels, engine, step):
        """What it made is found by its labels, and swept."""
        code = KILLED_BEFORE.format(step=step)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        orphans = run(find_orphans(kernels.host, [kernels.lifecycle]))
        assert len(orphans) == (0 if step == "create_container_from_config" else 1)
        kernels.start("tiny")
        label = f"remote-kernel-provider.host_id={kernels.host.identity.host_id}"
        until(lambda: len(engine.containers(label)) == 1, 20, "the sweep of the dead host's kernel")

    def test_a_program_that_ends_in_order_takes_its_kernels_along(self, kernels, engine):
        done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("client-")
        assert kernels.find() == []

    def test_random_moments_of_cancellation_and_failure(self, kernels):
        """Many launches at once, of which half fail."""
        kernels.add_spec("failing", ("python", "-c", "raise SystemExit(3)", "{connection_file}"))

        async def some() -> list[object]:
            names = ["tiny", "failing"] * 6
            return await asyncio.gather(*map(kernels.launch, names), return_exceptions=True)

        results = run(some())
        assert [isinstance(result, LaunchError) for result in results] == [False, True] * 6
        assert len(kernels.find()) == 6


LAUNCH = """
import asyncio, os, signal, uuid
from remote_kernel_provider.host import current_host, system_identity
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from docker_kernel_provider.provider import DockerKernelProvider
provider = DockerKernelProvider()
request = ClientRequest(str(uuid.uuid4()), system_identity())
"""
KILLED_BEFORE = (
    LAUNCH
    + """
import docker
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
first = docker.APIClient.{step}
def step(self, *arguments, **named):
    if "look" in str(arguments) or getattr(self, "looking", False):
        return first(self, *arguments, **named)
    die()
docker.APIClient.{step} = step
PRIVATE_LOOP.run(provider.start(provider.find("tiny")[0], request))
"""
)
ENDS = (
    LAUNCH
    + """
manager = PRIVATE_LOOP.run(provider.start(provider.find("tiny")[0], request))
print(manager.resource.owner.instance)
"""
)


class TestAnEngineThatIsAway:
    def test_no_engine_at_all(self, make_kernels):
        """Nothing is found where none can be; a launch says what to do."""
        absent = make_kernels()
        assert absent.find() == []
        with pytest.raises(LaunchError, match=r"cannot be reached .*No such file.*start it, or correct DOCKER_HOST"):
            absent.start("tiny")

    def test_a_context_that_is_not_there(self, make_kernels, monkeypatch, tmp_path):
        monkeypatch.delenv("DOCKER_HOST")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
        nowhere = make_kernels()
        with pytest.raises(ConfigurationError, match="no Docker context 'nowhere'"):
            nowhere.start("tiny")
        monkeypatch.setenv("DOCKER_CONTEXT", "default")

    def test_killed_and_restarted_under_a_running_kernel(self, own_engine, make_kernels, monkeypatch):
        """Its kernels go on where it was told so; nothing that happened meanwhile is lost."""
        monkeypatch.setenv("DOCKER_HOST", own_engine.host)
        kernels = make_kernels()
        manager, other = kernels.start("tiny"), kernels.start("tiny")
        with Notebook(manager.connection) as notebook:
            notebook.run("kept = 'state'")
            pid = own_engine.client.inspect_container(other.resource.id)["State"]["Pid"]
            own_engine.daemon.kill()
            until(lambda: manager.status.reason == "EngineUnreachable", 20, "the notice that the engine is away")
            assert run(manager.is_alive())
            assert notebook.run("print(kept)") == Outcome("state\n")
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(LaunchError, match="cannot be reached"):
                kernels.start("tiny")
            own_engine.daemon.start()
            until(lambda: manager.status.reason == "", 30, "the notice that the engine is back")
            run(other.wait(), 30)
            assert notebook.run("print(kept)") == Outcome("state\n")
        assert other.status.phase.ended
        own_engine.client.kill(manager.resource.id, "KILL")
        run(manager.wait(), 30)
        assert manager.status.reason == "SIGKILL"

    def test_a_kernel_that_could_not_be_deleted_is_deleted_later(self, own_engine, make_kernels, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", own_engine.host)
        kernels = make_kernels()
        manager = kernels.start("tiny")
        own_engine.daemon.kill()
        until(lambda: manager.status.reason == "EngineUnreachable", 20, "the notice that the engine is away")
        with pytest.raises(Exception, match="cannot be reached"):
            run(manager.kill())
        own_engine.daemon.start()
        until(lambda: not kernels.find(), 30, "the deletion")


@pytest.fixture(scope="module")
def own_engine(shared_engine, image, tmp_path_factory):
    """Give an engine of these tests' own, which they may kill."""
    if shared_engine.daemon is None:
        pytest.skip("an engine that TEST_DOCKER_HOST names is not killed")
    import docker

    image(DEBIAN)  # made, if it has to be, where others make it
    daemon = Daemon(tmp_path_factory.mktemp("engine"), "--live-restore")
    daemon.start()
    try:
        client = docker.APIClient(base_url=daemon.host, version="auto", timeout=60)
        make(client, KERNEL)
        yield Engine(daemon.host, client, daemon)
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True)
        client.close()
    finally:
        daemon.remove()
