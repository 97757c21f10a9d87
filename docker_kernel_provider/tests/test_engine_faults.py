"""Engines that are killed, under kernels that run and kernels that start, and with a Swarm."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from docker import APIClient
from docker.context import Context
from docker.errors import APIError
from docker.tls import TLSConfig
from engine import registry as registries
from engine.daemon import Daemon
from engine.images import KERNEL
from engine.ports import free_port
from engine.registry import Registry, SlowWay, random_bytes
from engine.spare import make_certificates, spare_engine
from engine.swarm import have_swarm
from engine.swarm_provider import SwarmProvider

from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.errors import KernelGoneError, LaunchError, LaunchTimeoutError, RemoteKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.sweep import delete_orphan, find_orphans
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

UNREACHABLE = "EngineUnreachable"
PYTHON = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
TINY = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")


@pytest.fixture(scope="class")
def spare(request, shared_engine, image, tmp_path_factory):
    """Give the spare engine with the options that the class names."""
    if shared_engine.daemon is None:
        pytest.skip("an engine that TEST_DOCKER_HOST names is not killed")
    image(KERNEL)
    with spare_engine(shared_engine.client, tmp_path_factory.mktemp("tls"), *request.cls.options) as spare:
        yield spare


@pytest.fixture
def kernels(spare, make_kernels, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", spare.host)
    spare.daemon.start()
    yield make_kernels()
    spare.daemon.start()


def kill(spare, *followed) -> None:
    """Kill the engine, and wait until these kernels' managers know."""
    spare.daemon.kill()
    for manager in followed:
        until(lambda manager=manager: manager.status.reason == UNREACHABLE, 20, "the notice that the engine is away")


def until_known(manager) -> None:
    until(lambda: manager.status.reason != UNREACHABLE, 30, "the notice that the engine is back")


def ended_with_its_engine(spare, kernels) -> RemoteKernelManager:
    """Kill an engine under a kernel, which goes on until the engine starts again; return the kernel's manager."""
    manager = kernels.start("tiny")
    kill(spare, manager)
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(6 * 7)") == Outcome("42\n")
    spare.daemon.start()
    run(manager.wait(), 30)
    assert manager.status.reason == "EngineRestarted"
    return manager


def assert_launch_fails(spare, kernels, seconds: float) -> None:
    """Kill the engine so many seconds after a launch began, of a kernel that would never answer."""
    silent = ("sh", "-c", "exec sleep 600", "{connection_file}")
    kernels.add_spec("silent", silent, config={"launch_timeout": seconds + 2, "wait_timeout": seconds + 2})

    async def launch() -> None:
        launching = asyncio.ensure_future(kernels.launch("silent"))
        await asyncio.sleep(seconds)
        await asyncio.to_thread(spare.daemon.kill)
        await launching

    with pytest.raises(LaunchError, match="cannot be reached") as failure:
        run(launch())
    assert failure.value.status.reason == UNREACHABLE


class TestContainersThatGoOn:
    """An engine that leaves its containers running, as operators set it up who want that."""

    options = ("--live-restore",)

    def test_killed_and_restarted_under_running_kernels(self, spare, kernels):
        """Nothing that happened meanwhile is lost."""
        manager, other = kernels.start("tiny"), kernels.start("tiny")
        with Notebook(manager.connection) as notebook:
            notebook.run("kept = 'state'")
            pid = spare.client.inspect_container(other.resource.id)["State"]["Pid"]
            kill(spare, manager, other)
            assert run(manager.is_alive())
            assert notebook.run("print(kept)") == Outcome("state\n")
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(LaunchError, match="cannot be reached"):
                kernels.start("tiny")
            spare.daemon.start()
            until_known(manager)
            run(other.wait(), 30)
            assert notebook.run("print(kept)") == Outcome("state\n")
        assert other.status.phase.ended
        spare.client.kill(manager.resource.id, "KILL")
        run(manager.wait(), 30)
        assert manager.status.reason == "SIGKILL"

    def test_a_kernel_that_could_not_be_deleted_is_deleted_later(self, spare, kernels):
        manager = kernels.start("tiny")
        kill(spare, manager)
        with pytest.raises(Exception, match="cannot be reached"):
            run(manager.kill())
        spare.daemon.start()
        until(lambda: not kernels.find(), 30, "the deletion")

    def test_adopted_and_swept_after_both_died(self, spare, kernels, make_kernels):
        """The engine and the host are killed; what is left goes to who comes back, the rest is swept."""
        manager, orphan = kernels.start("tiny"), kernels.start("tiny")
        with Notebook(manager.connection) as notebook:
            notebook.run("kept = 'state'")
        kill(spare, manager)
        run(kernels.host.close())
        spare.daemon.start()
        heir = make_kernels("server-2")
        heir.start("tiny")
        adopted = run(adopt(heir.host, manager.resource))
        with Notebook(adopted.connection) as notebook:
            assert notebook.run("print(kept)") == Outcome("state\n")
        (left,) = run(find_orphans(heir.host, [heir.lifecycle]))
        assert left.resource == orphan.resource
        run(delete_orphan(heir.host, left))
        assert orphan.resource not in heir.find()
        assert adopted.resource in heir.find()


class TestAnEngineBehindTLS:
    """The same, by TCP, with certificates: for this host it could be on another machine."""

    options = ()

    @pytest.fixture
    def folder(self, spare, monkeypatch, tmp_path):
        """Give the Docker command line's folder; nothing but that says where the engine is."""
        monkeypatch.delenv("DOCKER_HOST")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
        (tmp_path / "docker").mkdir()
        return tmp_path / "docker"

    def test_by_the_environment(self, spare, folder, make_kernels, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", spare.tls_host)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(spare.certificates))
        self.assert_works(make_kernels(), f"{spare.tls_host} (DOCKER_HOST)")

    def test_by_a_context(self, spare, folder, make_kernels):
        # First, because the SDK looks beside it for contexts.
        (folder / "config.json").write_text(json.dumps({"currentContext": "far"}))
        certificates = spare.certificates
        tls = TLSConfig((certificates / "cert.pem", certificates / "key.pem"), certificates / "ca.pem", verify=True)
        context = Context("far", host=spare.tls_host, tls=True)
        context.set_endpoint("docker", spare.tls_host, tls)
        context.save()
        self.assert_works(make_kernels(), f"{spare.tls_host.replace('tcp', 'https')} (the Docker context 'far')")

    @staticmethod
    def assert_works(kernels, where: str) -> None:
        manager = kernels.start("tiny")
        assert manager.connection.ip == "127.0.0.1"
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        said = run(kernels.lifecycle.describe())
        assert f"at {where}; kernels are reached at ports published on 127.0.0.1" in said
        assert "not reached by a socket" in said
        run(manager.kill())
        assert kernels.find() == []

    @pytest.mark.parametrize(
        ("certificates", "words"), [("none", "set DOCKER_TLS_VERIFY=1"), ("others", "certificate verify failed")]
    )
    def test_without_its_certificates(self, spare, folder, own_folders, monkeypatch, tmp_path, certificates, words):
        monkeypatch.setenv("DOCKER_HOST", spare.tls_host)
        if certificates == "others":
            make_certificates(tmp_path / "others")
            monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
            monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "others"))
        host = Host(load_settings(), "server-1")
        kernels = Kernels(DockerKernelProvider(host), own_folders, "", {"image_name": KERNEL})
        with pytest.raises(LaunchError, match=f"cannot be reached.*{words}"):
            kernels.start(kernels.add_spec("tiny", TINY))
        run(host.close())


class TestContainersThatEnd:
    """An engine as it is by default: when it starts again, what ran on it ends."""

    options = ()

    def test_killed_and_restarted_under_a_running_kernel(self, spare, kernels):
        manager = ended_with_its_engine(spare, kernels)
        with pytest.raises(KernelGoneError):
            run(adopt(kernels.host, manager.resource))
        # The host goes on.
        again = kernels.start("tiny", kernel_id=manager.kernel_id, replaces=manager)
        with Notebook(again.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        for each in (manager, again):
            run(each.kill())
        assert kernels.find() == []

    def test_stopped_in_order_and_started_again(self, spare, kernels):
        manager = kernels.start("tiny")
        spare.daemon.stop()
        spare.daemon.start()
        run(manager.wait(), 30)
        # Whether the last events are told before the stream of them ends is the engine's affair.
        assert manager.status.reason in ("Stopped", "EngineRestarted")

    @pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3, 1.5])
    def test_killed_during_a_launch(self, spare, kernels, seconds):
        """Whoever waits hears of it, and nothing is left when the engine is back."""
        kernels.start("tiny")
        assert_launch_fails(spare, kernels, seconds)
        spare.daemon.start()
        until(lambda: len(kernels.find()) == 1, 30, "the removal of what the launch left")

    def test_killed_during_a_pull(self, spare, kernels, tmp_path):
        if why := registries.obstacle():
            pytest.skip(why)
        with Registry(tmp_path / "registry") as registry:
            name = registry.push(spare.client, "cut:1", {"part": random_bytes(3)})
            with SlowWay(registry.port, rate=500_000) as way:
                name = name.replace(f":{registry.port}/", f":{way.port}/")
                kernels.add_spec("pulled", TINY, config={"image_name": name})

                async def launch() -> None:
                    pulling = asyncio.Event()
                    steps = []

                    def on_news(step) -> None:
                        steps.append(step)
                        if "layers" in step.status.message:
                            pulling.set()

                    launching = asyncio.ensure_future(kernels.launch("pulled", progress=on_news))
                    await asyncio.wait_for(pulling.wait(), 30)
                    await asyncio.to_thread(spare.daemon.kill)
                    await launching

                with pytest.raises(LaunchError, match="cannot be reached") as failure:
                    run(launch(), 30)
                assert failure.value.status.reason == UNREACHABLE
        spare.daemon.start()
        assert kernels.find() == []


class TestASwarm:
    """A Swarm of one node."""

    options = ()

    @pytest.fixture
    def kernels(self, spare, make_kernels, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", spare.host)
        spare.daemon.start()
        have_swarm(spare.client)
        yield make_kernels(provider=SwarmProvider)
        spare.daemon.start()

    @staticmethod
    def left(spare) -> list:
        return [*spare.client.services(), *spare.client.secrets(), *spare.client.containers(all=True)]

    def test_killed_and_restarted_under_a_running_kernel(self, spare, kernels):
        manager = ended_with_its_engine(spare, kernels)
        again = kernels.start("tiny")
        for each in (manager, again):
            run(each.kill())
        assert self.left(spare) == []

    @pytest.mark.parametrize("seconds", [0.05, 0.2, 2.5])
    def test_killed_during_a_launch(self, spare, kernels, seconds):
        assert_launch_fails(spare, kernels, seconds)
        spare.daemon.start()
        until(lambda: not self.left(spare), 30, "the removal of what the launch left")

    def test_its_node_is_drained(self, spare, kernels):
        manager = kernels.start("tiny")
        set_availability(spare.client, "drain")
        try:
            run(manager.wait(), 30)
            assert manager.status.reason == "Stopped"
            assert "drains its node" in manager.status.message
            kernels.add_spec("hasty", TINY, config={"wait_timeout": 2})
            with pytest.raises(LaunchTimeoutError, match="no suitable node") as failure:
                kernels.start("hasty")
            assert failure.value.status.reason == "Unschedulable"
        finally:
            set_availability(spare.client, "active")
        again = kernels.start("tiny")
        for each in (manager, again):
            run(each.kill())
        assert self.left(spare) == []


class TestTwoNodes:
    """A Swarm whose other node is the spare engine."""

    options = ()

    @pytest.fixture
    def manager(self, spare, tmp_path):
        """Give the manager's host."""
        manager = Daemon(tmp_path / "manager")
        manager.start()
        client = APIClient(base_url=manager.host, version="auto", timeout=120)
        try:
            have_swarm(client)
            spare.client.join_swarm(
                remote_addrs=[client.info()["Swarm"]["RemoteManagers"][0]["Addr"]],
                join_token=client.inspect_swarm()["JoinTokens"]["Worker"],
                listen_addr=f"127.0.0.1:{free_port()}",
                advertise_addr="127.0.0.1",
            )
            yield manager.host
            spare.clear()
        finally:
            with suppress(APIError):  # it never joined
                spare.client.leave_swarm(force=True)
            client.close()
            manager.remove(signal.SIGKILL)

    @pytest.fixture
    def kernels(self, manager, make_kernels, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", manager)
        return make_kernels(provider=SwarmProvider)

    def test_a_kernel_on_another_node(self, spare, kernels):
        """It is launched, interrupted, adopted and missed there, by the word of the manager alone."""
        there = {"constraints": ["node.role==worker"]}
        kernels.add_spec("there", PYTHON, config={**there, "connection_file": "copied"})
        kernels.add_spec("missing", ("no-such-command", "{connection_file}"), config=there)
        assert "2 nodes" in run(kernels.lifecycle.describe())
        with ipv6_ports_taken(5):
            manager = kernels.start("there")
        with Notebook(manager.connection) as notebook:
            assert notebook.interrupted(lambda: run(manager.interrupt())).error == "KeyboardInterrupt"
        with pytest.raises(RemoteKernelError, match="interrupt_mode"):
            run(kernels.lifecycle.signal(manager.resource, signal.SIGINT))
        adopted = run(adopt(kernels.host, manager.resource))
        (container,) = spare.client.containers()
        spare.client.kill(container["Id"], "KILL")
        run(adopted.wait(), 20)
        assert adopted.status.reason == "SIGKILL"
        run(adopted.kill())
        until(lambda: spare.client.containers(all=True) == [], 20, "the removal of the container by its node")
        with pytest.raises(LaunchError) as failure:
            kernels.start("missing")
        assert failure.value.status.exit_code == 127
        assert "no-such-command" in failure.value.log_tail
        assert kernels.find() == []


@contextmanager
def ipv6_ports_taken(count: int) -> Iterator[None]:
    """Take the first ports that engines publish, by IPv6 alone: there they publish at other numbers than by IPv4."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with ExitStack() as taken:
        for port in range(first, first + count):
            with suppress(OSError):  # somebody else has taken it, or this machine has no IPv6
                listener = taken.enter_context(socket.socket(socket.AF_INET6))
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(("::", port))
                listener.listen()
        yield


def set_availability(client, word: str) -> None:
    (node,) = client.nodes()
    client.update_node(node["ID"], node["Version"]["Index"], {**node["Spec"], "Availability": word})
