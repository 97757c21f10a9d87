"""Kernels in containers under a real `jupyter server`."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from engine.fixtures import Engine
from engine.images import KERNEL
from kernel_sockets import KernelSocket

from remote_kernel_provider.testing.waiting import until

pytestmark = pytest.mark.slow

COMMAND = "python -m tiny_kernel -f {connection_file}"


@pytest.fixture
def server(make_home, serve, shared_engine, image):
    if shared_engine.daemon is None:
        pytest.skip("TEST_DOCKER_HOST names the engine, and packets of its containers are not this machine's to drop")
    image(KERNEL)
    home = make_home("containers")
    home.run(
        *("jupyter", "docker-kernelspec", "install", "--user", "--kernel-name", "tiny"),
        *("--display-name", "tiny", "--image-name", KERNEL, "--kernel-command", COMMAND),
    )
    return serve(home, "jupyter-server", DOCKER_HOST=shared_engine.host)


@contextmanager
def silenced(engine: Engine, address: str) -> Iterator[None]:
    """Drop all packets from an address, as happens when a container's network goes before its sockets close."""
    # Named by its bridge, the rule goes with the engine where this process is killed.
    bridge = engine.client.inspect_network("bridge")["Options"]["com.docker.network.bridge.name"]
    rule = ("INPUT", "--in-interface", bridge, "--source", address, "--jump", "DROP")
    subprocess.run(["iptables", "-w", "-I", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "-w", "-D", *rule], check=True)


def test_a_client_hears_a_kernel_that_replaces_one_whose_end_was_not_told(server, shared_engine):
    def containers() -> list[dict]:
        return shared_engine.containers(f"remote-kernel-provider.instance=server-{server.port}")

    def address(container: dict) -> str:
        return container["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

    kernel = json.loads(server.request("POST", "api/kernels", {"name": "tiny"}))["id"]
    try:
        with KernelSocket(server, kernel) as socket:
            assert socket.run("print(6 * 7)") == "42"
            (container,) = containers()
            with silenced(shared_engine, address(container)):
                shared_engine.client.kill(container["Id"])
                until(lambda: container["Id"] not in {other["Id"] for other in containers()}, 20, "its end")
            socket.until("status", execution_state="restarting")
            assert socket.run("print(6 * 7)", seconds=20) == "42"
            (again,) = containers()
            assert address(again) == address(container)
    finally:
        server.request("DELETE", f"api/kernels/{kernel}")
    until(lambda: not containers(), 20, "no container is left")
