"""Jupyter servers as their users start them; fixtures `lab` and `serve`."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from browsers import need_for_browser
from engine.ports import free_port
from jupyter_homes import SCRIPTS, JupyterHome, eventually

FRONTENDS = ("jupyterlab", "notebook", "notebook_shim", "jupyter_lsp", "jupyter_server_terminals")
WITHOUT_FRONTENDS = f"--ServerApp.jpserver_extensions={dict.fromkeys(FRONTENDS, False)}"
"""Has a server serve its own API and ours alone, and start in a third of the time."""


class LabServer:
    """A JupyterLab server as its user starts it, or another program that is one."""

    token = "a-token-for-tests"

    def __init__(
        self, home: JupyterHome, program: str | Path = "jupyter-lab", *options: str, **environment: str
    ) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.root / f"server-{self.port}.log"
        alone = [WITHOUT_FRONTENDS] if program == "jupyter-server" else []
        self._program, self._options, self._environment = program, [*alone, *options], environment
        self.start()

    def start(self) -> None:
        """Start it, for the first time or again, on the same port."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    SCRIPTS / self._program,  # a whole path counts alone
                    "--no-browser",
                    "--allow-root",
                    f"--ServerApp.port={self.port}",
                    "--ServerApp.port_retries=0",
                    f"--ServerApp.root_dir={self.home.work}",
                    f"--IdentityProvider.token={self.token}",
                    # It asks npm again and again where language servers might be.
                    "--LanguageServerManager.autodetect=False",
                    *self._options,
                ],
                env={**self.home.environment, **self._environment},
                cwd=self.home.work,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self, seconds: float = 60) -> None:
        eventually(self._answers, seconds, lambda: f"JupyterLab does not answer:\n{self.log_tail()}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"JupyterLab ended with {self.process.returncode}:\n{self.log_tail()}"
        try:
            self.get("api/status")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def get(self, path: str):
        """Return the JSON of one of the server's end points."""
        return json.loads(self.request("GET", path))

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()

    def log_lines(self, text: str) -> list[str]:
        """Return the lines of the server's log that hold a text."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]

    def log_tail(self, lines: int = 200) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def crash(self) -> None:
        """End it by SIGKILL, and start it again."""
        self.process.kill()
        self.process.wait(10)
        self.start()
        self.wait_until_ready()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            # After a failed launch, of any kernel, a worker thread of its file handlers can keep the server.
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="module")
def lab(home) -> Iterator[LabServer]:
    """A JupyterLab server that is ready."""
    need_for_browser((SCRIPTS / "jupyter-lab").exists(), "JupyterLab is not installed")
    server = LabServer(home)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def serve():
    """Start servers and wait until they answer; they end with the module."""
    servers = []

    def start(home: JupyterHome, program: str, *options: str, **environment: str) -> LabServer:
        servers.append(LabServer(home, program, *options, **environment))
        servers[-1].wait_until_ready()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
