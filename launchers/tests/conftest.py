"""A small host: takes reports, talks to the kernel's listener and to the kernel."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from Cryptodome.Cipher import AES, PKCS1_v1_5
from Cryptodome.PublicKey import RSA
from Cryptodome.Util.Padding import unpad
from jupyter_client.blocking.client import BlockingKernelClient

PORT_NAMES = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port", "comm_port")
LAUNCHER = (sys.executable, "-m", "kernel_launchers.python")
TIMEOUT = 30


class Host:
    """Listens at one loopback address and starts launchers that report to it."""

    def __init__(self, key: RSA.RsaKey, folder: Path, address: str = "127.0.0.1") -> None:
        self.key = key
        self.folder = folder
        self.server = socket.create_server((address, 0))
        self.server.settimeout(TIMEOUT)
        self.address = f"{address}:{self.server.getsockname()[1]}"
        self.kernels: list[Kernel] = []

    @property
    def public_key(self) -> str:
        return base64.b64encode(self.key.public_key().export_key("DER")).decode()

    def values(self, **more: str) -> dict[str, str]:
        return {
            "kernel-id": str(uuid.uuid4()),
            "port-range": "0..0",
            "response-address": self.address,
            "public-key": self.public_key,
            **more,
        }

    def arguments(self, **more: str) -> list[str]:
        return [part for name, value in self.values(**more).items() for part in (f"--{name}", value)]

    def start(
        self, arguments: list[str], cwd: Path | None = None, program: tuple[str, ...] = LAUNCHER, **environment: str
    ) -> Kernel:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "tmp").mkdir()
        (folder / "ipython").mkdir()
        process = subprocess.Popen(
            [*program, *arguments],
            env={
                **os.environ,
                "TMPDIR": str(folder / "tmp"),
                "IPYTHONDIR": str(folder / "ipython"),
                # A stale value, as a launcher's detached start leaves it: it must not end the kernel.
                "JPY_PARENT_PID": "1073741824",
                **environment,
            },
            cwd=cwd or folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        kernel = Kernel(process, folder)
        self.kernels.append(kernel)
        return kernel

    def receive(self, kernel: Kernel | None = None) -> dict[str, Any]:
        """Return the next report, or this kernel's.

        Anything else is dropped, as a host must: a port of a busy machine is also reached by clients of a
        kernel that had it before.
        """
        while True:
            connection, _ = self.server.accept()
            with connection, suppress(ValueError, OSError):
                connection.settimeout(3)
                with connection.makefile("rb") as stream:
                    info = self.open(stream.read())
                if kernel is None or info["pid"] == kernel.process.pid:
                    return info

    def open(self, message: bytes) -> dict[str, Any]:
        envelope = json.loads(base64.b64decode(message))
        assert envelope["version"] == 1
        aes_key = PKCS1_v1_5.new(self.key).decrypt(base64.b64decode(envelope["key"]), b"")
        plain = unpad(AES.new(aes_key, AES.MODE_ECB).decrypt(base64.b64decode(envelope["conn_info"])), 16)
        info: dict[str, Any] = json.loads(plain)
        return info

    def launch(self, arguments: list[str] | None = None, cwd: Path | None = None, **environment: str) -> Kernel:
        kernel = self.start(self.arguments() if arguments is None else arguments, cwd, **environment)
        kernel.info = self.receive(kernel)
        return kernel

    def close(self) -> None:
        self.server.close()
        for kernel in self.kernels:
            kernel.close()


class Kernel:
    """A launcher's process, and the ways to reach the kernel in it."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.info: dict[str, Any] = {}

    @property
    def ports(self) -> list[int]:
        return [self.info[name] for name in PORT_NAMES]

    def wait(self) -> int:
        return self.process.wait(TIMEOUT)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    @contextmanager
    def client(self) -> Iterator[BlockingKernelClient]:
        client = BlockingKernelClient()
        info: Any = {**self.info, "ip": "127.0.0.1"}
        client.load_connection_info(info)
        client.start_channels()
        try:
            client.wait_for_ready(timeout=TIMEOUT)
            yield client
        finally:
            client.stop_channels()

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.info["comm_port"]), timeout=5, source_address=(source, 0))

    def command(self, data: Any, source: str = "127.0.0.1") -> None:
        with self.connect(source) as connection:
            connection.sendall(data if isinstance(data, bytes) else json.dumps(data).encode())

    def is_listening(self) -> bool:
        try:
            self.command({"signum": 0})
        except ConnectionRefusedError:
            return False
        return True

    def leftovers(self) -> list[str]:
        """What is there although the process has ended."""
        found = [str(path) for path in (self.folder / "tmp").rglob("*")]
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 0)
            found.append("processes of its group")
        for name in PORT_NAMES:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.info[name]), timeout=5):
                found.append(name)
        return found

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait(TIMEOUT)
        if self.process.stderr is not None:
            self.process.stderr.close()


def execute(client: BlockingKernelClient, code: str) -> dict[str, str]:
    """Run code to its end; the values of its ``print`` and of its error."""
    outputs: dict[str, str] = {}

    def collect(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            outputs[content["name"]] = outputs.get(content["name"], "") + content["text"]

    reply = client.execute_interactive(code, output_hook=collect, timeout=TIMEOUT)
    if reply["content"]["status"] == "error":
        outputs["error"] = reply["content"]["ename"]
    return outputs


@pytest.fixture(scope="session")
def rsa_key() -> RSA.RsaKey:
    return RSA.generate(2048)


@pytest.fixture(scope="module")
def host(rsa_key: RSA.RsaKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(rsa_key, tmp_path_factory.mktemp("host"))
    yield host
    host.close()


@pytest.fixture(scope="module")
def kernel(host: Host) -> Kernel:
    """A kernel that the tests of a module share."""
    return host.launch()


@pytest.fixture(scope="session")
def run() -> Any:
    """Run code in a kernel; a fixture because test modules cannot import each other."""
    return execute


@pytest.fixture(scope="session")
def new_host(rsa_key: RSA.RsaKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Make hosts at other addresses."""
    hosts: list[Host] = []

    def make(address: str) -> Host:
        hosts.append(Host(rsa_key, tmp_path_factory.mktemp("host"), address))
        return hosts[-1]

    yield make
    for each in hosts:
        each.close()
