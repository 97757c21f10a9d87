"""A real image registry on loopback, and a slow way to it."""

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.images import LABEL
from engine.ports import free_port, listens

PROGRAM = "docker-registry"
"""Of the Debian package of the same name."""
USER, PASSWORD = "tester", "pull-for-tests"
_ACCOUNTS = f"{USER}:$2y$04$0y3STaYpbLZlbuJGdS8A2.X331k7eE93dM76pCQLzJ6k7MKjfKgsy\n"
"""The password as a bcrypt hash, which is all that the registry takes."""
START_DEADLINE = 15.0
PIECE = 64 * 1024


def obstacle() -> str:
    """Say why this machine cannot run a registry of the tests; empty = it can."""
    return "" if shutil.which(PROGRAM) else f"not installed: {PROGRAM}"


class Registry:
    """A registry with storage of its own; a context manager.

    Parameters
    ----------
    folder
        Of its storage, its configuration and its log.
    private
        Whether it asks for `USER` and `PASSWORD`.
    """

    def __init__(self, folder: Path, *, private: bool = False) -> None:
        self._folder = folder
        self._private = private
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def host(self) -> str:
        """Its name in the names of images."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Registry":
        self._folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "storage")}},
            "http": {"addr": self.host},
        }
        if self._private:
            (self._folder / "accounts").write_text(_ACCOUNTS)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(self._folder / "accounts")}}
        file = self._folder / "config.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "serve", str(file)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_DEADLINE
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{PROGRAM} did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def push(self, client: Any, name: str, *layers: Mapping[str, bytes]) -> str:
        """Have an image in the registry and no longer on the engine; return its name there.

        Parameters
        ----------
        client
            A `docker.APIClient`.
        name
            `repository:tag`.
        layers
            What each of its layers holds: contents by paths.
        """
        repository, _, tag = f"{self.host}/{name}".rpartition(":")
        context = {
            f"{number}/{path}": content for number, layer in enumerate(layers) for path, content in layer.items()
        }
        steps = ["FROM scratch", f"LABEL {LABEL}=image", *(f"COPY {number} /" for number in range(len(layers)))]
        archive = _archive({**context, "Dockerfile": "\n".join(steps).encode()})
        built = list(
            client.build(fileobj=archive, custom_context=True, tag=f"{repository}:{tag}", rm=True, decode=True)
        )
        account = {"username": USER, "password": PASSWORD} if self._private else None
        pushed = list(client.push(repository, tag, auth_config=account, stream=True, decode=True))
        errors = [step["error"] for step in [*built, *pushed] if "error" in step]
        assert not errors, errors
        client.remove_image(f"{repository}:{tag}", force=True)
        return f"{repository}:{tag}"


class SlowWay:
    """A relay to a port of this machine that lets little through; a context manager.

    Parameters
    ----------
    port
        Where it leads.
    rate
        Bytes a second, for each connection, from there.
    """

    def __init__(self, port: int, rate: int) -> None:
        self._target = port
        self._rate = rate
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.open = 0
        """Connections at the moment."""
        self._lock = threading.Lock()

    def __enter__(self) -> "SlowWay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Only this ends a thread that accepts.
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._forward, args=(client, there, 0), daemon=True).start()
                threading.Thread(target=self._forward, args=(there, client, self._rate), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, rate: int) -> None:
        with self._lock:
            self.open += 1
        try:
            with suppress(OSError):
                while piece := source.recv(PIECE):
                    target.sendall(piece)
                    if rate:
                        time.sleep(len(piece) / rate)
        finally:
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self.open -= 1


def _archive(files: Mapping[str, bytes]) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    archive.seek(0)
    return archive


def random_bytes(megabytes: float) -> bytes:
    """Return content that no compression makes smaller."""
    return os.urandom(int(megabytes * 10**6))
