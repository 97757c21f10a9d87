"""Images that come from a registry: a real one on loopback, fast and slow, open and private."""

import asyncio
import base64
import json
import os
import stat
import subprocess
import time

import pytest
from engine import registry as registries
from engine.daemon import Daemon
from engine.registry import PASSWORD, USER, Registry, SlowWay, random_bytes

from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.errors import KernelDiedError, LaunchError
from remote_kernel_provider.host import Host
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

COMMAND = ("/no/such/kernel", "{connection_file}")
"""The images hold no kernel: that their command is not found in them says that they are there."""


@pytest.fixture(scope="module", autouse=True)
def program():
    if why := registries.obstacle():
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture(scope="module")
def registry(program, tmp_path_factory):
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def private(program, tmp_path_factory, shared_engine):
    with Registry(tmp_path_factory.mktemp("private-registry"), private=True) as registry:
        registry.image = registry.push(shared_engine.client, "secret:1", {"content": b"x"})
        yield registry


@pytest.fixture
def kernels(engine, own_folders, tmp_path, monkeypatch):
    # No account of whoever runs the tests is used.
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    host = Host(load_settings(), "server-1")
    kernels = Kernels(DockerKernelProvider(host), own_folders, "", {})
    yield kernels
    kernels.close()
    run(host.close())


@pytest.fixture
def spec_of(kernels):
    def add(image: str, **config) -> str:
        return kernels.add_spec("pulled", COMMAND, config={"image_name": image, **config})

    return add


@pytest.fixture
def log_in(tmp_path):
    """Write what `docker login` writes."""

    def write(**config) -> None:
        (tmp_path / "docker").mkdir(exist_ok=True)
        (tmp_path / "docker/config.json").write_text(json.dumps(config))

    return write


def start(kernels, name="pulled"):
    """Launch; return the error and the steps that were told before."""
    steps = []
    with pytest.raises(LaunchError) as failure:
        kernels.start(name, progress=lambda step: steps.append(step.status))
    assert kernels.find() == []
    return failure.value, steps


def assert_was_there(error):
    assert isinstance(error, KernelDiedError) or error.status.reason == "CommandNotFound"
    assert "/no/such/kernel" in str(error)


def test_progress_is_told_by_layers(kernels, registry, spec_of, engine):
    layers = [{f"part{number}": random_bytes(1.5)} for number in range(2)]
    name = registry.push(engine.client, "layers:1", *layers)
    with SlowWay(registry.port, rate=1_000_000) as way:
        spec_of(name.replace(f":{registry.port}/", f":{way.port}/"))
        error, steps = start(kernels)
    pulls = [step.message for step in steps if step.phase is Phase.PULLING]
    assert any("of 2 layers" in message and "of 3 MB" in message for message in pulls), pulls
    assert [step.phase for step in steps][: len(pulls)] == [Phase.PULLING] * len(pulls)
    assert_was_there(error)


def test_a_pull_does_not_count_against_the_launch_timeout(kernels, registry, spec_of, engine):
    name = registry.push(engine.client, "long:1", {"part": random_bytes(3)})
    with SlowWay(registry.port, rate=500_000) as way:
        spec_of(name.replace(f":{registry.port}/", f":{way.port}/"), launch_timeout=5)
        assert_was_there(start(kernels)[0])


def test_a_pull_counts_against_the_wait_timeout(kernels, registry, spec_of, engine):
    name = registry.push(engine.client, "long:2", {"part": random_bytes(3)})
    with SlowWay(registry.port, rate=500_000) as way:
        spec_of(name.replace(f":{registry.port}/", f":{way.port}/"), wait_timeout=1)
        error, _ = start(kernels)
        assert "within 1 s (wait_timeout)" in str(error)
        until(lambda: way.open == 0, 10, "the end of the pull")


def test_a_pull_that_is_cancelled_ends(kernels, registry, spec_of, engine):
    name = registry.push(engine.client, "cancelled:1", {"part": random_bytes(5)})
    with SlowWay(registry.port, rate=500_000) as way:
        spec_of(name.replace(f":{registry.port}/", f":{way.port}/"))

        async def cancel():
            pulling = asyncio.Event()

            def on_news(step):
                if "layers" in step.status.message:
                    pulling.set()

            launching = asyncio.ensure_future(kernels.launch("pulled", progress=on_news))
            await asyncio.wait_for(pulling.wait(), 30)
            launching.cancel()
            began = time.monotonic()
            await asyncio.wait({launching}, timeout=30)
            assert launching.cancelled()
            return time.monotonic() - began

        assert run(cancel()) < 3
        until(lambda: way.open == 0, 10, "the end of the pull")
        assert engine.client.images(name) == []
    assert kernels.find() == []


def test_what_is_not_there(kernels, registry, spec_of):
    spec_of(f"{registry.host}/nothing:1")
    error, _ = start(kernels)
    assert error.status.reason == "ImageNotFound"
    assert f"{registry.host}/nothing:1" in str(error)
    assert "correct the image's name" in str(error)


def test_a_platform_that_the_registrys_image_does_not_have(kernels, registry, spec_of, engine):
    name = registry.push(engine.client, "platform:1", {"content": b"x"})
    spec_of(name, platform="linux/s390x")
    error, steps = start(kernels)
    assert steps[0].phase is Phase.PULLING
    assert error.status.reason == "ImageNotFound"
    assert "correct the image's name, tag or platform" in str(error)
    engine.client.remove_image(name, force=True)


def test_a_registry_that_does_not_answer(kernels, spec_of):
    spec_of("127.0.0.1:9/kernel:1")  # nobody listens on the port of 'discard'
    error, _ = start(kernels)
    assert error.status.reason == "RegistryUnreachable"


def test_pull_policies(kernels, registry, spec_of, engine):
    name = registry.push(engine.client, "policies:1", {"first": b"1"})
    spec_of(name, pull_policy="Never")
    error, steps = start(kernels)
    assert (error.status.reason, [step.phase for step in steps]) == ("ImageNotFound", [])
    spec_of(name)  # IfNotPresent
    assert_was_there(start(kernels)[0])
    (first,) = engine.client.images(name)
    # Another image under the same name: only who always pulls gets it.
    engine.client.tag(first["Id"], "rkp-test/kept", "1")
    registry.push(engine.client, "policies:1", {"second": b"2"})
    engine.client.tag(first["Id"], *name.rsplit(":", 1))
    for policy, is_pulled in (("Never", False), ("IfNotPresent", False), ("Always", True)):
        spec_of(name, pull_policy=policy)
        error, steps = start(kernels)
        assert_was_there(error)
        assert any(step.phase is Phase.PULLING for step in steps) == is_pulled
        (now,) = engine.client.images(name)
        assert (now["Id"] != first["Id"]) == is_pulled
    engine.client.remove_image("rkp-test/kept:1", force=True)


def test_a_private_registry_without_an_account(kernels, private, spec_of, log_in):
    spec_of(private.image, pull_policy="Always")
    error, _ = start(kernels)
    assert error.status.reason == "PullDenied"
    assert "docker login" in str(error)
    log_in(auths={private.host: {"auth": base64.b64encode(f"{USER}:wrong".encode()).decode()}})
    assert start(kernels)[0].status.reason == "PullDenied"


def test_the_account_of_docker_login(kernels, private, spec_of, log_in):
    spec_of(private.image, pull_policy="Always")
    assert start(kernels)[0].status.reason == "PullDenied"
    # Whoever logs in need not start the host again.
    log_in(auths={private.host: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}})
    error, _ = start(kernels)
    assert_was_there(error)
    assert PASSWORD not in str(error) + repr(error.status)


def test_an_account_that_a_credential_helper_keeps(kernels, private, spec_of, log_in, tmp_path, monkeypatch):
    helper = tmp_path / "bin/docker-credential-rkp-test"
    helper.parent.mkdir()
    account = {"ServerURL": private.host, "Username": USER, "Secret": PASSWORD}
    helper.write_text(f"#!/bin/sh\nread server\necho '{json.dumps(account)}'\n")
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{helper.parent}{os.pathsep}{os.environ['PATH']}")
    log_in(credHelpers={private.host: "rkp-test"})
    spec_of(private.image, pull_policy="Always")
    assert_was_there(start(kernels)[0])


@pytest.fixture
def small_engine(shared_engine, tmp_path, monkeypatch):
    """An engine with room for forty megabytes."""
    if shared_engine.daemon is None:
        pytest.skip("TEST_DOCKER_HOST names the engine")
    import docker

    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "small", str(folder)], check=True)
    daemon = Daemon(folder)
    try:
        daemon.start()
        monkeypatch.setenv("DOCKER_HOST", daemon.host)
        client = docker.APIClient(base_url=daemon.host, version="auto")
        yield client
        client.close()
    finally:
        daemon.stop()
        # The engine's end can have taken it along, or does so at this moment.
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
        assert not folder.is_mount()


def test_a_disk_that_is_full(registry, engine, spec_of, kernels, small_engine):
    spec_of(registry.push(engine.client, "large:1", {"part": random_bytes(60)}))
    error, _ = start(kernels)
    assert error.status.reason == "DiskFull"
    assert "make room" in str(error)
    assert small_engine.containers(all=True) == []
