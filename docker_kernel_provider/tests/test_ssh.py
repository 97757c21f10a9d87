"""Engines that only ssh leads to: their kernels, connections that are cut, hosts that die."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from engine import sshd as servers
from engine.dying import launching
from engine.images import KERNEL
from engine.sshd import NAME, Sshd
from engine.swarm_provider import SwarmProvider

from docker_kernel_provider.provider import DockerKernelProvider
from docker_kernel_provider.ssh import ENGINE_SOCKET, split_url
from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.errors import ConfigurationError, LaunchError
from remote_kernel_provider.host import Host
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until

TINY = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")
PYTHON = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
UNREACHABLE = "EngineUnreachable"


class TestURLs:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("ssh://lab", ("ssh://lab", ENGINE_SOCKET)),
            ("ssh://Ada@Lab:2222/", ("ssh://Ada@Lab:2222", ENGINE_SOCKET)),
            ("ssh://lab/run/user/1000/docker.sock", ("ssh://lab", "/run/user/1000/docker.sock")),
            ("ssh://ada@[::1]:22", ("ssh://ada@[::1]:22", ENGINE_SOCKET)),
        ],
    )
    def test_what_ssh_is_told(self, url, expected):
        assert split_url(url) == expected

    @pytest.mark.parametrize(
        "url", ["ssh://", "ssh:///run/docker.sock", "ssh://lab/a:b", "ssh://lab/%h", "ssh://-x", "ssh://a b"]
    )
    def test_what_is_no_engine(self, url):
        with pytest.raises(ConfigurationError, match="say ssh://user@machine"):
            split_url(url)

    def test_a_password_is_refused_and_not_told(self):
        with pytest.raises(ConfigurationError, match="use a key") as failure:
            split_url("ssh://ada:secret@lab")
        assert "secret" not in str(failure.value)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    if why := servers.obstacle():
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"REQUIRE_DOCKER=1, and there is no ssh server to test with: {why}")
        pytest.skip(f"no ssh server to test with: {why}")
    with Sshd(tmp_path_factory.mktemp("ssh")) as sshd:
        yield sshd


@pytest.fixture
def far(engine, image, sshd, monkeypatch):
    """Give the engine's address by ssh, and name it in the test's environment."""
    image(KERNEL)
    monkeypatch.setenv("PATH", str(sshd.programs), prepend=os.pathsep)
    address = f"ssh://{NAME}{engine.host.removeprefix('unix://')}"
    monkeypatch.setenv("DOCKER_HOST", address)
    return address


@pytest.fixture
def kernels(far, make_kernels):
    return make_kernels()


def sockets_of(manager) -> list[Path]:
    prefix = Path(manager.connection.ip)
    return list(prefix.parent.glob(f"{prefix.name}-*"))


@pytest.mark.slow
class TestKernels:
    def test_a_kernels_day(self, kernels, engine, far, sshd):
        """Launched, run, interrupted both ways, restarted, ended from outside and in order; then nothing is left."""
        kernels.add_spec("python", PYTHON)
        first = kernels.start("python")
        published = engine.client.inspect_container(first.resource.id)["HostConfig"]["PortBindings"]
        assert {binding["HostIp"] for (binding,) in published.values()} == {"127.0.0.1"}
        assert first.connection.transport == "ipc"
        assert Path(first.connection.ip).parent.stat().st_mode & 0o777 == 0o700
        with Notebook(first.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
            for interrupt in (first.interrupt(), kernels.lifecycle.signal(first.resource, signal.SIGINT)):
                busy = notebook.begin("print('busy', flush=True)\nimport time; time.sleep(60)")
                busy.until_printed("busy")
                run(interrupt)
                assert busy.finish(10).error == "KeyboardInterrupt"
        run(first.kill())
        assert sockets_of(first) == []
        again = kernels.start("python", kernel_id=first.kernel_id, replaces=first)
        with Notebook(again.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        engine.client.kill(again.resource.id, "KILL")
        run(again.wait(), 20)
        assert again.status.reason == "SIGKILL"
        said = run(kernels.lifecycle.describe())
        assert f"at {far} (DOCKER_HOST); kernels are reached at ports published on 127.0.0.1, because ssh leads" in said
        run(again.kill())
        assert kernels.find() == []
        until(lambda: len(sshd.connections()) == 1, 10, "one ssh for all")

    def test_by_a_context_and_by_containers_addresses(self, far, make_kernels, monkeypatch, tmp_path, engine):
        """With the operator's word for it nothing is published: the engine's machine reaches its containers."""
        monkeypatch.delenv("DOCKER_HOST")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
        folder = tmp_path / "contexts/meta" / hashlib.sha256(b"far").hexdigest()  # as the Docker command line has it
        folder.mkdir(parents=True)
        meta = {"Name": "far", "Metadata": {}, "Endpoints": {"docker": {"Host": far, "SkipTLSVerify": False}}}
        (folder / "meta.json").write_text(json.dumps(meta))
        kernels = make_kernels(docker_route="address")
        manager = kernels.start("tiny")
        assert not engine.client.inspect_container(manager.resource.id)["HostConfig"]["PortBindings"]
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        said = run(kernels.lifecycle.describe())
        assert "(the Docker context 'far'); kernels are reached at their containers' addresses" in said

    def test_in_a_swarm(self, swarm, far, make_kernels):
        kernels = make_kernels(provider=SwarmProvider)
        manager = kernels.start("tiny")
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(6 * 7)") == Outcome("42\n")
        run(manager.kill())
        assert sockets_of(manager) == []
        assert kernels.find() == []


@pytest.mark.slow
class TestConnections:
    def test_cut_and_back(self, kernels, engine, sshd):
        """The kernel's clients stay as they are; what happened meanwhile is told."""
        manager, other = kernels.start("tiny"), kernels.start("tiny")
        with Notebook(manager.connection) as notebook:
            notebook.run("kept = 'state'")
            sshd.stop()
            until(lambda: manager.status.reason == UNREACHABLE, 20, "the notice that the engine is away")
            assert run(manager.is_alive())
            with pytest.raises(LaunchError, match=r"ssh does not reach.*refused.*") as failure:
                kernels.start("tiny")
            assert failure.value.status.reason == UNREACHABLE
            engine.client.kill(other.resource.id, "KILL")
            sshd.start()
            run(other.wait(), 30)
            assert other.status.reason == "SIGKILL"
            until(lambda: manager.status.reason != UNREACHABLE, 30, "the notice that it is back")
            notebook.until_ready()
            assert notebook.run("print(kept)") == Outcome("state\n")
            sshd.cut()
            notebook.until_ready()
            assert notebook.run("print(kept)") == Outcome("state\n")
        run(kernels.start("tiny").kill())

    def test_a_program_that_ends_takes_its_kernels_and_its_ssh_along(self, far, make_kernels, sshd):
        code = f"""{launching("docker_kernel_provider.provider:DockerKernelProvider")}
print(PRIVATE_LOOP.run(launch()).connection.ip)
"""
        kernels = make_kernels()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert not Path(done.stdout.strip()).parent.exists()
        until(lambda: sshd.connections() == [], 10, "the end of ssh")
        assert kernels.find() == []

    def test_a_host_that_is_killed_leaves_no_ssh_and_its_kernel_is_adopted(self, far, make_kernels, sshd):
        kernels = make_kernels("server-2")
        with OtherHost("docker", "tiny", "server-1", "kept = 'state'") as other:
            resource = other.resource()
            until(lambda: len(sshd.connections()) == 1, 10, "the other host's ssh, alone")
            other.kill()
        until(lambda: sshd.connections() == [], 20, "the end of the dead host's ssh")
        adopted = run(adopt(kernels.host, resource))
        with Notebook(adopted.connection) as notebook:
            assert notebook.run("print(kept)") == Outcome("state\n")
        run(adopted.kill())
        assert kernels.find() == []

    @pytest.mark.parametrize(
        ("file", "words"), [("authorized_keys", "Permission denied"), ("known_hosts", "Host key verification failed")]
    )
    def test_a_machine_that_refuses_or_is_another(self, kernels, sshd, file, words):
        path = sshd.programs.parent / file
        content = path.read_text()
        path.write_text("")
        try:
            with pytest.raises(
                LaunchError, match=f"{words}.*'ssh ssh://{NAME}' has to get in there without a question"
            ):
                kernels.start("tiny")
        finally:
            path.write_text(content)

    def test_an_engine_that_is_not_there(self, far, own_folders, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", f"ssh://{NAME}/nowhere/docker.sock")
        host = Host(load_settings(), "server-1")
        kernels = Kernels(DockerKernelProvider(host), own_folders, "", {"image_name": KERNEL})
        with pytest.raises(LaunchError, match=rf"ssh://{NAME}/nowhere/docker.sock.*cannot be reached.*start it there"):
            kernels.start(kernels.add_spec("tiny", TINY))
        run(host.close())
