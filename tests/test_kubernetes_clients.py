"""Jupyter's own clients on kernels in pods of a real cluster, and an image that knows nothing of us."""

import json
import urllib.error

import pytest
from clients import LIVED, STOCK_CLIENTS, assert_conforms, live_in_container, outputs, printed, write_notebook
from cluster.fixtures import IMAGE
from cluster.loading import load_from_engine
from engine.images import DEBIAN
from engine.registry import Registry, obstacle
from pods import COMMAND

from remote_kernel_provider.testing.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PLOT = 'from IPython.display import SVG; SVG(\'<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>\')'


@pytest.fixture(scope="module")
def kernel_name(pods) -> str:
    return pods.install("pod", "--curve")


@pytest.fixture(scope="module")
def jupyter_server(pods, serve):
    return serve(pods.home, "jupyter-server")


@pytest.fixture(autouse=True)
def nothing_is_left(pods):
    yield
    print(pods.namespace.describe())
    pods.assert_nothing_left()


@pytest.fixture(scope="module")
def debian(cluster, shared_engine, image) -> str:
    """An image of Debian's python3 and ipykernel and nothing else, on the cluster's node."""
    if cluster.own is None:
        pytest.skip("images are only loaded into a cluster that was started here")
    load_from_engine(cluster.own, shared_engine.client, image(DEBIAN))
    return DEBIAN


def test_jupyter_execute_runs_a_notebook_with_a_plot(pods, kernel_name):
    file = write_notebook(pods.home, kernel_name, "import platform; print(platform.node())", PLOT)
    result = pods.home.work / "executed.ipynb"
    pods.home.run("jupyter", "execute", file, f"--output={result}")
    assert "-" in printed(result)
    assert any("image/svg+xml" in output.get("data", {}) for output in outputs(result))


@pytest.mark.parametrize("assert_it_runs", STOCK_CLIENTS)
def test_stock_clients(pods, kernel_name, assert_it_runs):
    assert_it_runs(pods.home, kernel_name)


def test_a_spec_with_the_peers_script_runs_inside_the_host(pods):
    """No process is started for a launch: not the script that `jupyter k8s-spec` writes, nor any other."""
    named = ("--kernel-name", "peers", "--image-name", IMAGE, "--kernel-command", COMMAND)
    pods.home.run("jupyter", "k8s-spec", "install", "--user", *named)
    assert (pods.home.specs / "peers/scripts/launch_kubernetes.py").is_file()
    program = """
import sys
from jupyter_client.manager import KernelManager
PROCESSES = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"}
started = []
sys.addaudithook(lambda event, _: event in PROCESSES and started.append(event))
manager = KernelManager(kernel_name="peers")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=30)
client.execute_interactive("print(6 * 7)", timeout=30)
client.stop_channels()
manager.shutdown_kernel()
print(started)
"""
    assert pods.home.python(program).stdout == "42\n[]\n"


@pytest.mark.parametrize("way", ["provisioner", "argv"])
def test_a_kernel_is_interrupted_restarted_and_shut_down(pods, kernel_name, way):
    assert live_in_container(pods.home, kernel_name, way=way) == {**LIVED, "encrypted": True}


def test_the_conformance_suite_of_jupyter_passes(pods, kernel_name):
    assert_conforms(pods.home, kernel_name)


def test_an_image_that_knows_nothing_of_us_runs_under_the_restricted_level(pods, debian):
    """Debian's python3 and ipykernel, and nothing else; its ipykernel writes its connection file anew."""
    level = pods.api.read_namespace(pods.namespace.name).metadata.labels["pod-security.kubernetes.io/enforce"]
    assert level == "restricted"
    command = COMMAND.replace("python", "python3", 1)
    name = pods.install("debian", "--connection-file", "copied", image=debian, command=command)
    look = "import importlib.metadata; print({d.name: d.version for d in importlib.metadata.distributions()})"
    packages = pods.home.run("jupyter", "remote-kernel", "run", "--kernel", f"k8skp/{name}", "-c", look).stdout
    assert "'ipykernel': '6.17" in packages
    assert "remote" not in packages
    assert live_in_container(pods.home, name) == {**LIVED, "encrypted": False}


class TestRest:
    """What a Jupyter server's API says of launches that wait or fail."""

    @pytest.fixture
    def server(self, jupyter_server, nothing_is_left):
        yield jupyter_server
        for kernel in jupyter_server.get("api/kernels"):
            jupyter_server.request("DELETE", f"api/kernels/{kernel['id']}")

    def test_the_schedulers_words_while_a_kernel_waits_for_a_node(self, pods, server):
        name = pods.install("huge", "--param", "memory=10Ti")
        kernel = json.loads(server.request("POST", "api/kernels", {"name": name}))
        assert kernel["execution_state"] == "starting"
        words = "0/1 nodes are available: 1 Insufficient memory"
        until(lambda: words in server.get("remote-kernels/launches")[0]["message"], 20, words)
        server.request("DELETE", f"api/kernels/{kernel['id']}")
        assert server.get("remote-kernels/launches") == server.get("api/kernels") == []

    def test_the_registrys_refusal(self, pods, server, tmp_path):
        if why := obstacle():
            pytest.skip(why)
        with Registry(tmp_path, private=True) as registry:
            image = f"{registry.host}/acme/private:1"
            said = reason(server, pods.install("private", image=image))
        assert f"the image '{image}' cannot be pulled" in said
        assert said.endswith("give the pod image_pull_secrets for the registry")


def reason(server, name: str) -> str:
    """Start a kernel; return why there is none, whether that is known at once or later."""
    try:
        kernel_id = json.loads(server.request("POST", "api/kernels", {"name": name}))["id"]
    except urllib.error.HTTPError as refused:
        return " ".join(json.loads(refused.read())["message"].split())
    path = f"api/kernels/{kernel_id}"
    until(lambda: server.get(path)["execution_state"] == "dead", 30, "the launch has failed")
    return " ".join(server.get(path)["reason"].split())
