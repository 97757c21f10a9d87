"""Hosts and engines that go and come: routes, adoption, owners, and what is left of those that died."""

import json
import socket
import subprocess
import sys
import threading
import uuid
from contextlib import suppress

import pytest
from engine.dying import killed_before, launching
from engine.images import KERNEL

from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.errors import ConfigurationError, KernelGoneError, LaunchError
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.sweep import find_orphans
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow


TINY = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")


class TestRoutes:
    def test_the_containers_address_where_it_can_be_reached(self, kernels, engine):
        manager = kernels.start("tiny")
        container = engine.client.inspect_container(manager.resource.id)
        assert manager.connection.ip == container["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
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
        assert not kept_of(heir)

    def test_what_is_kept_of_kernels_that_others_removed_is_forgotten(self, kernels, make_kernels, engine):
        """By the next look at this engine's kernels; what other engines have is not touched."""
        removed, other = kernels.start("tiny"), kernels.start("tiny")
        heir = make_kernels("server-2")
        for manager in (removed, other):
            run(adopt(heir.host, manager.resource))
        (root,) = {file.parents[1] for file in kept_of(heir)}
        elsewhere = root.parent / "another-engine" / "kernel" / "owner"
        elsewhere.parent.mkdir(parents=True)
        elsewhere.write_text("{}")
        run(heir.host.close())  # nobody who would delete it lives
        engine.client.remove_container(removed.resource.id, force=True)
        assert [resource.id for resource in kernels.find()] == [other.resource.id]
        assert kept_of(kernels) == {root / other.resource.id / "owner", elsewhere}

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


def kept_of(kernels) -> set:
    """Return the files in which a host keeps what labels cannot hold."""
    return {path for path in (kernels.host.identity.folder / "docker/kernels").rglob("*") if path.is_file()}


class TestHostsThatDie:
    @pytest.mark.parametrize(
        ("step", "is_left"),
        [
            ("create_container_from_config -look", False),
            ("get_archive", True),
            ("remove_container", True),
            ("create_container_from_config", False),
            ("put_archive", True),
            ("connect_container_to_network", True),
            ("start", True),
            ("inspect_container", True),
        ],
    )
    def test_killed_before_a_step_of_a_launch(self, kernels, engine, step, is_left):
        """What it made is found by its labels, and swept: the container for a look into the image, or the kernel's."""
        if step == "connect_container_to_network":
            network = engine.client.create_network(f"rkp-test-{uuid.uuid4().hex[:8]}")["Id"]
            names = ["bridge", engine.client.inspect_network(network)["Name"]]
            kernels.add_spec("tiny", TINY, config={"networks": names})
        killed_before(step, "docker_kernel_provider.provider:DockerKernelProvider")
        orphans = run(find_orphans(kernels.host, [kernels.lifecycle]))
        assert len(orphans) == is_left
        kernels.add_spec("tiny", TINY)
        kernels.start("tiny")
        label = f"remote-kernel-provider.host_id={kernels.host.identity.host_id}"
        until(lambda: len(engine.containers(label)) == 1, 20, "the sweep of the dead host's kernel")
        if step == "connect_container_to_network":
            engine.client.remove_network(network)

    def test_a_program_that_ends_in_order_takes_its_kernels_along(self, kernels, engine):
        code = f"""{launching("docker_kernel_provider.provider:DockerKernelProvider")}
print(PRIVATE_LOOP.run(launch()).resource.owner.instance)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("client-")
        assert kernels.find() == []


class TestTheCommandLine:
    def test_it_lists_shows_sweeps_and_stops_across_hosts(self, kernels):
        code = "import sys, tiny_kernel; print('its words', flush=True); tiny_kernel.main(sys.argv[1:])"
        kernels.add_spec("talking", ("python", "-c", code, *TINY[3:]))
        own = kernels.start("talking")
        with OtherHost("docker", "tiny") as other:
            foreign = other.resource()
            assert "its words" in remote_kernel("logs", own.kernel_id).stdout
            other.kill()
        listed = {kernel["id"]: kernel["host"] for kernel in json.loads(remote_kernel("ps", "--json").stdout)}
        assert listed == {own.kernel_id: "alive", foreign.kernel_id: "dead"}
        found = json.loads(remote_kernel("sweep", "--dry-run", "--json").stdout)["objects"]
        assert [(each["kind"], each["name"], each["kernel"]) for each in found] == [
            ("container", foreign.id, foreign.kernel_id)
        ]
        assert foreign.kernel_id in remote_kernel("sweep").stdout
        assert kernels.find() == [own.resource]
        assert remote_kernel("stop", own.kernel_id).returncode == 0
        run(own.wait(), 20)
        assert kernels.find() == []


def test_what_goes_with_a_kernel_is_named(kernels, engine):
    """Its container, a volume that nobody named, and who adopted it; not a volume with a name."""
    made = engine.client.create_container(KERNEL, "true")
    image = engine.client.commit(made["Id"], "rkp-test/volumes", "1", changes="VOLUME /data")
    engine.client.remove_container(made["Id"])
    engine.client.create_volume("rkp-test-named")
    kernels.host.settings.docker_volumes = ["rkp-test-named"]
    config = {"image_name": "rkp-test/volumes:1", "volumes": ["rkp-test-named:/named"]}
    kernels.add_spec("keeping", TINY, config=config)
    manager = kernels.start("keeping")
    mounts = engine.client.inspect_container(manager.resource.id)["Mounts"]
    (anonymous,) = [mount["Name"] for mount in mounts if mount["Destination"] == "/data"]
    owned = run(kernels.lifecycle.reassign(manager.resource, manager.resource.owner))
    *found, file = run(kernels.lifecycle.belongings(owned))
    assert [(each.kind, each.name) for each in found] == [("container", owned.id), ("volume", anonymous)]
    assert (file.kind, file.name.startswith(str(kernels.host.identity.folder))) == ("file", True)
    run(manager.kill())
    assert run(kernels.lifecycle.belongings(owned)) == []
    names = [volume["Name"] for volume in engine.client.volumes()["Volumes"] or ()]
    assert (anonymous in names, "rkp-test-named" in names) == (False, True)
    engine.client.remove_volume("rkp-test-named")
    engine.client.remove_image(image["Id"], force=True)


def remote_kernel(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `jupyter remote-kernel` as this test's user."""
    line = [sys.executable, "-m", "remote_kernel_provider.cli", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


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
