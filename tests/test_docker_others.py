"""Images of others under our provider, and Jupyter's conformance suite on a kernel in a container."""

import json

import pytest
from clients import LIVED, STOCK_CLIENTS, assert_conforms, live_in_container
from engine.images import DEBIAN
from engine.peer_image import make_peer_image, peer_spec
from engine.python_image import make_python_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def docker_home(home, engine):
    """A home whose programs know the engine."""
    home.environment["DOCKER_HOST"] = engine.host
    yield home
    host_id = json.loads((home.root / "data/remote-kernels/host.json").read_text())["host_id"]
    assert engine.containers(f"remote-kernel-provider.host_id={host_id}") == []


def install(home, image: str, name: str, *options: str) -> str:
    home.run(
        "jupyter",
        "docker-spec",  # the peers' spelling, whose ordinary kernel.json stock Jupyter runs
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
    seen = live_in_container(docker_home, name, RKP_TRANSPORT_ENCRYPTION="disabled")
    assert seen == {**LIVED, "encrypted": False}


@pytest.mark.peers
def test_an_image_of_gateway_provisioners(docker_home, engine):
    """Their launcher in their image, by the very spec that their installer writes: the reported handshake."""
    make_peer_image(engine.client)
    spec = peer_spec(engine.client)
    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == "docker-provisioner"
    folder = docker_home.specs / "theirs"
    folder.mkdir(exist_ok=True)
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
    (docker_home.specs / "ours").mkdir(exist_ok=True)
    (docker_home.specs / "ours/kernel.json").write_text(json.dumps(leading))
    assert live_in_container(docker_home, "ours") == {**LIVED, "encrypted": True}


TOLD = """
import json, os
from ipykernel.connect import get_connection_info
words = open("/proc/self/cmdline").read().split("\\0")
given = dict(zip(words, words[1:]))
wanted = ("--port-range", "--spark-context-initialization-mode", "--kernel-class-name")
port = json.loads(get_connection_info())["shell_port"]
print(json.dumps([given.get(option) for option in wanted] + [40000 <= port <= 41000, os.environ["GREETING"]]))
"""
OF_HOST = "/usr/local/share/jupyter/kernels/theirs/scripts/launch_docker.py"
CLASS = "ipykernel.ipkernel.IPythonKernel"
GATEWAY = "enterprise_gateway.services.processproxies.docker_swarm"
FORMS = {
    "eg-docker": ("kernel.json", "process_proxy", f"{GATEWAY}.DockerProcessProxy", "--RemoteProcessProxy."),
    "eg-swarm": ("kernel.json", "process_proxy", f"{GATEWAY}.DockerSwarmProcessProxy", "--RemoteProcessProxy."),
    "gateway-provisioners": ("kernel.json", "kernel_provisioner", "docker-provisioner", "--"),
    "of-2020": (
        "docker_kernel.json",
        "lifecycle_manager",
        "docker_kernel_provider.docker_swarm.DockerKernelLifecycleManager",
        "--RemoteProcessProxy.",
    ),
}
"""Forms in which specs of the gateway family call the script: file, stanza, class or entry point, prefix of options."""


@pytest.mark.peers
@pytest.mark.parametrize("form", FORMS)
def test_all_that_a_launch_script_is_told_reaches_the_launcher(docker_home, swarm, form):
    file, stanza, backend, prefix = FORMS[form]
    options = {"kernel-id": "{kernel_id}", "response-address": "{response_address}", "port-range": "40000..41000"}
    options["spark-context-initialization-mode"] = "lazy"
    if form != "of-2020":  # which knew no keys
        options["public-key"] = "{public_key}"
    told = [word for option, value in options.items() for word in (f"{prefix}{option}", value)]
    entry = "provisioner_name" if stanza == "kernel_provisioner" else "class_name"
    spec = {
        "display_name": form,
        "language": "python",
        "argv": ["python", OF_HOST, *told, "--kernel-class-name", CLASS],
        "env": {"GREETING": "hello"},
        "metadata": {stanza: {entry: backend, "config": {"image_name": make_peer_image(swarm.client)}}},
    }
    folder = docker_home.specs / form
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(spec))
    ran = docker_home.run("jupyter", "remote-kernel", "run", "--kernel", f"docker/{form}", "-c", TOLD)
    assert json.loads(ran.stdout) == ["40000..41000", "lazy", CLASS, True, "hello"]


@pytest.mark.parametrize("assert_it_runs", STOCK_CLIENTS)
def test_stock_clients(docker_home, engine, assert_it_runs):
    assert_it_runs(docker_home, install(docker_home, make_python_image(engine.client), "clients"))


def test_the_conformance_suite_of_jupyter_passes(docker_home, engine):
    assert_conforms(docker_home, install(docker_home, make_python_image(engine.client), "conforming"))
