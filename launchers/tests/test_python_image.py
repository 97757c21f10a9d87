"""The Python kernel image on a real engine: small, not root, and a kernel that answers whichever way it is started."""

from __future__ import annotations

import hashlib
import io
import json
import queue
import socket
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

engine_images = pytest.importorskip("engine.python_image", reason="the repository's tests/engine is not here")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REQUIREMENTS = Path(__file__).parents[1] / "images/python/requirements.txt"
LIMIT = 130 * 10**6
"""Bytes that the image may add to its base; about 95 million are ipykernel with all that it needs."""
CONNECTION = "/tmp/connection.json"
PORTS = {f"{name}_port": 50001 + index for index, name in enumerate(("shell", "iopub", "stdin", "control", "hb"))}
HARDENED = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "pids_limit": 512, "init": True}
BUSY = """
import time
print("begun", flush=True)
for _ in range(600):
    time.sleep(0.1)  # in one long sleep a signal that arrives just before it would be noticed only after it
"""
ABOUT = """
import json, os, pathlib, sys
pathlib.Path.home().joinpath("written").write_text("")
status = dict(line.split(":\\t") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "ids": [os.getuid(), os.getgid()], "first": os.getpid() == 1, "capabilities": int(status["CapEff"], 16),
    "python": sys.executable, "home": str(pathlib.Path.home()), "folder": os.getcwd(),
}))
"""


@pytest.fixture(scope="module")
def image(shared_engine: Any) -> str:
    """The image as the sources are now."""
    name: str = engine_images.make_python_image(shared_engine.client)
    return name


@pytest.fixture
def start(shared_engine: Any, image: str) -> Iterator[Callable[..., Container]]:
    """Start containers of the image; a failed test's show their state and their output."""
    started: list[Container] = []

    def run(*command: str, file: bytes = b"", environment: dict[str, str] | None = None, **options: Any) -> Container:
        client = shared_engine.client
        user = options.pop("user", None)
        container_id = client.create_container(
            image,
            list(command),
            environment=environment,
            user=user,
            host_config=client.create_host_config(**options),
            labels=[engine_images.LABEL],
        )["Id"]
        started.append(Container(client, container_id))
        if file:
            client.put_archive(container_id, "/", archive(CONNECTION, file))
        client.start(container_id)
        return started[-1]

    yield run
    for container in started:
        print(container.state(), container.output(), sep="\n")
        container.client.remove_container(container.id, force=True, v=True)


class Container:
    """A container of a test."""

    def __init__(self, client: Any, container_id: str) -> None:
        self.client = client
        self.id = container_id

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.client.inspect_container(self.id)["State"]
        return state

    def address(self) -> str:
        networks = self.client.inspect_container(self.id)["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def output(self) -> str:
        return str(self.client.logs(self.id, tail=50).decode())

    def run(self, *command: str, user: str = "") -> str:
        exec_id = self.client.exec_create(self.id, list(command), user=user)["Id"]
        return str(self.client.exec_start(exec_id).decode())

    def wait(self) -> int:
        return int(self.client.wait(self.id, timeout=30)["StatusCode"])

    @contextmanager
    def kernel(self, **info: Any) -> Iterator[BlockingKernelClient]:
        client = BlockingKernelClient()
        connection: Any = {**info, "ip": self.address(), "transport": "tcp", "signature_scheme": "hmac-sha256"}
        client.load_connection_info(connection)
        client.start_channels()
        try:
            wait_until_ready(client)
            yield client
        finally:
            client.stop_channels()


def wait_until_ready(client: BlockingKernelClient) -> None:
    """Wait until both channels work; the client's own way gives up on a kernel whose heart does not beat at once."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        client.kernel_info()
        client.get_shell_msg(timeout=60)
        with suppress(queue.Empty):
            while client.get_iopub_msg(timeout=0.5)["content"].get("execution_state") != "idle":
                pass
            return
    raise TimeoutError("the kernel's outputs do not arrive")


def archive(path: str, content: bytes) -> bytes:
    """Return a tar archive with one file, readable by the image's user alone."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        file = tarfile.TarInfo(path.lstrip("/"))
        file.size, file.mode, file.uid, file.gid = len(content), 0o600, 1000, 100
        tar.addfile(file, io.BytesIO(content))
    return packed.getvalue()


def connection_file() -> bytes:
    fields = {"ip": "0.0.0.0", "transport": "tcp", "key": "a key", "signature_scheme": "hmac-sha256", **PORTS}
    return json.dumps(fields).encode()


ASSIGNED = ("python", "-m", "ipykernel_launcher", "-f", CONNECTION)


def test_the_kernel_answers_with_a_connection_file(start: Any, run: Any) -> None:
    container = start(*ASSIGNED, file=connection_file(), **HARDENED)
    with container.kernel(key="a key", **PORTS) as client:
        about = json.loads(run(client, ABOUT)["stdout"])
    assert about == {
        "ids": [1000, 100],
        "first": False,
        "capabilities": 0,
        "python": "/opt/kernel/bin/python",
        "home": "/home/jovyan",
        "folder": "/home/jovyan",
    }


@pytest.fixture
def bridge_host(shared_engine: Any, new_host: Any) -> Any:
    """A host of the gateway family at the address at which containers reach this machine."""
    (config,) = shared_engine.client.inspect_network("bridge")["IPAM"]["Config"]
    return new_host(config["Gateway"])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"environment": {"HOME": "/root", "TMPDIR": "/nowhere"}}, id="with a foreign environment"),
        pytest.param({**HARDENED, "read_only": True, "tmpfs": {"/tmp": ""}}, id="hardened, read-only"),
        pytest.param({"user": "4711:4711"}, id="any user"),
    ],
)
def test_the_kernel_answers_by_its_environment(start: Any, bridge_host: Any, run: Any, options: Any) -> None:
    told = {name.replace("-", "_").upper(): value for name, value in bridge_host.values().items()}
    container = start(**{**options, "environment": {**options.get("environment", {}), **told}})
    info = bridge_host.receive()
    assert info["kernel_id"] == told["KERNEL_ID"]
    user = int(options.get("user", "1000:100").partition(":")[0])
    with container.kernel(key=info["key"], **{name: info[name] for name in PORTS}) as client:
        about = json.loads(run(client, ABOUT)["stdout"])
        assert (about["ids"][0], about["first"]) == (user, False)
        assert about["home"].startswith("/tmp/" if "read_only" in options or user != 1000 else "/home/jovyan")
        client.execute(BUSY)
        until_stream(client)
        with socket.create_connection((container.address(), info["comm_port"]), timeout=5) as listener:
            listener.sendall(b'{"signum": 2}')
        assert client.get_shell_msg(timeout=30)["content"]["ename"] == "KeyboardInterrupt"
        client.shutdown()
    assert container.wait() == 0


def until_stream(client: BlockingKernelClient) -> None:
    while client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass


def test_without_an_init_of_the_hosts_the_script_is_one(start: Any, run: Any) -> None:
    container = start(*ASSIGNED, file=connection_file())
    with container.kernel(key="a key", **PORTS) as client:
        orphan = "import subprocess; subprocess.run(['sh', '-c', 'sleep 0.1 & :']); import time; time.sleep(0.5)"
        assert run(client, orphan) == {}
        client.execute(BUSY)
        until_stream(client)
        container.client.kill(container.id, "SIGINT")
        assert client.get_shell_msg(timeout=30)["content"]["ename"] == "KeyboardInterrupt"
        zombies = "[p for p in __import__('psutil').process_iter() if p.status() == 'zombie']"
        assert run(client, f"print({zombies})") == {"stdout": "[]\n"}
    began = time.monotonic()
    container.client.kill(container.id, "SIGTERM")
    assert container.wait() == 128 + 15
    assert time.monotonic() - began < 8


def test_a_read_only_root_needs_a_place_for_temporary_files(start: Any) -> None:
    container = start("python", "-c", "pass", read_only=True)
    assert container.wait() == 2
    assert "neither HOME nor /tmp can be written to; mount something at one of them" in container.output()


def test_without_anything_to_start_it_says_so(start: Any) -> None:
    container = start()
    assert container.wait() == 2
    assert "KERNEL_ID is not set; give the kernel's command, or have a host start this image" in container.output()


def test_the_image_is_small_and_not_root(shared_engine: Any, image: str) -> None:
    facts = shared_engine.client.inspect_image(image)
    assert facts["Config"]["User"] == "1000:100"
    assert facts["Config"]["Entrypoint"] == ["/usr/local/bin/bootstrap-kernel.sh"]
    assert facts["Config"].get("Volumes") is None
    *added, _ = shared_engine.client.history(image)  # the oldest layer is its base
    assert sum(layer["Size"] for layer in added) < LIMIT
    assert not [name for name in facts["Config"]["Env"] if name.startswith("PIP_")]


def test_two_builds_have_the_same_files(shared_engine: Any, image: str) -> None:
    client = shared_engine.client
    again = f"{engine_images.REPOSITORY}-again:1"
    engine_images.build(client, again, nocache=True)
    try:
        assert files_of(client, again) == files_of(client, image)
    finally:
        client.remove_image(again, force=True)


def files_of(client: Any, image: str) -> dict[str, tuple[Any, ...]]:
    """Return what is known of each file of an image but its time, by its path."""
    container = client.create_container(image, labels=[engine_images.LABEL])["Id"]
    found = {}
    try:
        with tempfile.TemporaryFile() as archive:
            for piece in client.export(container):
                archive.write(piece)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                for entry in tar:
                    file = tar.extractfile(entry) if entry.isfile() else None
                    digest = hashlib.sha256(file.read()).hexdigest() if file else entry.linkname
                    found[entry.name] = (entry.type, oct(entry.mode), entry.uid, entry.gid, digest)
    finally:
        client.remove_container(container)
    return found


def test_it_holds_what_is_pinned_and_nothing_of_its_making(start: Any) -> None:
    from docker.errors import NotFound

    container = start("sleep", "60")
    listed = set(container.run("python", "-m", "pip", "list", "--format=freeze").lower().split())
    pinned = {line.lower() for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")}
    assert pinned - listed == set()
    assert {line.partition("==")[0] for line in listed - pinned} == {"remote-kernel-launchers"}
    for program in ("cc", "gcc", "make"):
        assert container.run("sh", "-c", f"command -v {program}") == ""
    with pytest.raises(NotFound):
        container.client.get_archive(container.id, "/src")
    writable = "find /opt/kernel /usr/local -not -type l -writable"
    assert container.run("sh", "-c", writable) == ""
    # Bytecode that is made at every start would cost most of the time until the kernel answers.
    compiled = (
        "from importlib.util import cache_from_source as c; import zmq, os; print(os.path.exists(c(zmq.__file__)))"
    )
    assert container.run("python", "-c", compiled) == "True\n"
