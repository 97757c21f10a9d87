"""Images of others under our provider, and Jupyter's conformance suite on a kernel in a container."""

import json
import re
import sys
from pathlib import Path

import pytest
from engine.images import DEBIAN
from engine.peer_image import make_peer_image, peer_spec
from engine.python_image import make_python_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIFE = Path(__file__).with_name("kernel_life.py")
CONFORMANCE = Path(__file__).with_name("ipykernel_conformance.py")
SEEN = {
    "answer": "42\n",
    "interrupted": "busy\nKeyboardInterrupt",
    "kept": "42\n",
    "restarted": "NameError",
}


@pytest.fixture
def docker_home(home, engine):
    """A home whose programs know the engine."""
    home.environment["DOCKER_HOST"] = engine.host
    yield home
    host_id = json.loads((home.root / "data/remote-kernels/host.json").read_text())["host_id"]
    assert engine.containers(f"remote-kernel-provider.host_id={host_id}") == []


def live(home, name: str, encryption: str, ending: str = "shutdown", **environment: str) -> dict:
    """Take a kernel through its life with jupyter_client, as a program of its own."""
    lived = home.run(sys.executable, LIFE, name, encryption, ending, env=environment)
    return json.loads(lived.stdout)


def install(home, image: str, name: str, *options: str) -> str:
    home.run(
        "jupyter",
        "docker-kernelspec",
        "install",
        "--user",
        "--image-name",
        image,
        "--kernel-name",
        name,
        "--replace",
        *options,
    )
    return name


def test_an_image_that_knows_nothing_of_us(docker_home, image):
    """Debian's python3 and ipykernel, and nothing else; its ipykernel is older than encryption."""
    argv = "python3 -m ipykernel_launcher -f {connection_file}"
    name = install(docker_home, image(DEBIAN), "debian", "--kernel-command", argv)
    seen = live(docker_home, name, "auto", RKP_TRANSPORT_ENCRYPTION="disabled")
    # Each container has processes of its own numbers, so that a restarted kernel can have the old one's.
    seen.pop("another process")
    assert seen == {**SEEN, "encrypted": False}


@pytest.mark.peers
def test_an_image_of_gateway_provisioners(docker_home, engine):
    """Their launcher in their image, by the very spec that their installer writes: the reported handshake."""
    make_peer_image(engine.client)
    spec = peer_spec(engine.client)
    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == "docker-provisioner"
    folder = docker_home.specs / "theirs"
    folder.mkdir()
    (folder / "kernel.json").write_text(json.dumps(spec))
    ran = docker_home.run(
        "jupyter", "remote-kernel", "run", "--kernel", "docker/theirs", "-c", "import os; print(6 * 7, os.getuid())"
    )
    assert ran.stdout == "42 1000\n"
    # As stock Jupyter finds it: a kernel.json of ours that leads to theirs.
    leading = {
        **spec,
        "metadata": {
            "kernel_provisioner": {
                "provisioner_name": "remote-kernel-provisioner",
                "config": {"kernel": "docker/theirs"},
            }
        },
    }
    (docker_home.specs / "ours").mkdir()
    (docker_home.specs / "ours/kernel.json").write_text(json.dumps(leading))
    seen = live(docker_home, "ours", "auto")
    seen.pop("another process")
    assert seen == {**SEEN, "encrypted": True}


def test_the_conformance_suite_of_jupyter_passes(docker_home, engine):
    pytest.importorskip("jupyter_kernel_test")
    name = install(docker_home, make_python_image(engine.client), "conforming")
    result = docker_home.run(sys.executable, CONFORMANCE, "--verbose", env={"TESTED_KERNEL": name}, seconds=240)
    assert result.stderr.count("... ok") + 1 == int(re.search(r"^Ran (\d+) tests", result.stderr, re.MULTILINE)[1])
    assert result.stderr.endswith("OK (skipped=1)\n")  # a part of test_history that ipykernel's own test leaves out
