"""Jupyter servers with kernels that are slow, fail and die as a test says; fixtures `staged` and `make_staged`."""

import json
import sys
import urllib.error
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from jupyter_homes import JupyterHome, eventually
from jupyter_servers import LabServer
from kernel_sockets import KernelSocket


class Staged:
    """A Jupyter server with kernels whose launches go as their scripts say, and its users' two ways in.

    Parameters
    ----------
    home
        Where it runs.
    program
        Which server.
    dead_seconds
        How long a dead kernel stays listed.
    """

    restart_limit = 2

    def __init__(self, home: JupyterHome, program: str | Path = "jupyter-server", *, dead_seconds: float = 3) -> None:
        self.home = home
        self.dead_seconds = dead_seconds
        site = home.root / "site"
        facts = site / "staged_kernels-1.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: staged-kernels\nVersion: 1\n")
        point = "staged = remote_kernel_provider.testing.staged:StagedLifecycleManager"
        (facts / "entry_points.txt").write_text(f"[remote_kernel_provider.lifecycle_managers]\n{point}\n")
        options = (
            f"--RemoteMapping.dead_kernel_timeout={self.dead_seconds}",
            f"--KernelRestarter.restart_limit={self.restart_limit}",
        )
        self.server = LabServer(home, program, *options, PYTHONPATH=str(site))

    def add(self, *stages: Mapping[str, object], failure: Mapping[str, object] | None = None) -> str:
        """Make a kernel spec whose launches go through these stages; return its name, also the displayed one."""
        name = f"staged-{uuid.uuid4().hex[:8]}"
        self.script(name, *stages, failure=failure)
        stages_module, tiny = (f"remote_kernel_provider.testing.{module}" for module in ("stages", "tiny_kernel"))
        argv = [sys.executable, "-m", stages_module, str(self._script(name))]
        argv += [sys.executable, "-m", tiny, "-f", "{connection_file}"]
        return self.home.add_spec(name, argv, lifecycle="staged")

    def script(self, name: str, *stages: Mapping[str, object], failure: Mapping[str, object] | None = None) -> None:
        """Say how the next launches of a spec go."""
        self._script(name).write_text(json.dumps({"stages": stages, "failure": failure}))

    def _script(self, name: str) -> Path:
        return self.home.root / f"{name}.stages.json"

    def post(self, path: str, /, **body: object):
        """Return the JSON that an end point answers; its errors are `urllib.error.HTTPError`."""
        return json.loads(self.server.request("POST", path, body))

    def refused(self, path: str, /, **body: object) -> tuple[int, str]:
        """Return the status and the message with which an end point refuses."""
        with pytest.raises(urllib.error.HTTPError) as refusal:
            self.post(path, **body)
        return refusal.value.code, json.loads(refusal.value.read())["message"]

    def start(self, name: str) -> str:
        return self.post("api/kernels", name=name)["id"]

    def kernel(self, kernel_id: str):
        return self.server.get(f"api/kernels/{kernel_id}")

    def listed(self) -> list[str]:
        return [model["id"] for model in self.server.get("api/kernels")]

    def delete(self, kernel_id: str) -> None:
        self.server.request("DELETE", f"api/kernels/{kernel_id}")

    def until_idle(self, kernel_id: str, seconds: float = 20) -> dict[str, object]:
        """Wait until a kernel is idle; return its model."""
        eventually(lambda: self.kernel(kernel_id)["execution_state"] == "idle", seconds, lambda: self.kernel(kernel_id))
        return self.kernel(kernel_id)

    def until_dead(self, kernel_id: str, seconds: float = 5) -> str:
        """Wait until a kernel is dead for good; return the reason in its model."""
        eventually(lambda: self.kernel(kernel_id)["execution_state"] == "dead", seconds, lambda: self.kernel(kernel_id))
        return " ".join(self.kernel(kernel_id)["reason"].split())

    def until_unlisted(self, kernel_id: str) -> None:
        """Wait until a dead kernel has left the list."""
        eventually(lambda: kernel_id not in self.listed(), self.dead_seconds + 3, self.listed)

    def connect(self, kernel_id: str, **options) -> KernelSocket:
        return KernelSocket(self.server, kernel_id, **options)


@pytest.fixture(scope="module")
def make_staged(make_home) -> Iterator[Callable[..., Staged]]:
    """Start Jupyter servers whose kernels' launches follow scripts."""
    pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")
    pytest.importorskip("websocket", reason="websocket-client is not installed")
    made: list[Staged] = []

    def make(program: str | Path = "jupyter-server", **options: float) -> Staged:
        made.append(Staged(make_home("staged"), program, **options))
        made[-1].server.wait_until_ready()
        return made[-1]

    yield make
    for staged in made:
        staged.server.stop()


@pytest.fixture(scope="module")
def staged(make_staged) -> Staged:
    """A Jupyter server whose kernels' launches follow scripts."""
    return make_staged()


@pytest.fixture
def nothing_left(staged):
    """Fail when a test leaves a kernel; the server's log is shown then."""
    yield
    for kernel_id in staged.listed():
        staged.delete(kernel_id)
    print(staged.server.log_tail())
    staged.home.assert_nothing_left()
