"""What the tests of whole programs share: a Jupyter home of their own, a JupyterLab server, a browser."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from browsing import Lab
    from playwright.sync_api import BrowserContext, Page
    from pods import PodHome
    from quiet_network import QuietNetwork

ARTIFACTS = Path(__file__).parent / "artifacts"
SCRIPTS = Path(sysconfig.get_path("scripts"))
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FOREIGN = ("JUPYTER_", "JPY_", "RKP_", "GP_", "EG_", "K8SKP_", "KERNEL_")
LOCAL = "remote_kernel_provider.LocalLifecycleManager"
REPORTS: pytest.StashKey[dict[str, pytest.TestReport]] = pytest.StashKey()


class JupyterHome:
    """A user's home with nothing in it but what its test puts there, and the programs of Jupyter run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runtime = root / "runtime"
        self.folders = self.runtime / "remote-kernels"
        self.staged_folders = self.runtime / "staged-kernels"
        self.specs = root / "data" / "kernels"
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.variables = {
            "HOME": str(root),
            "IPYTHONDIR": str(root / "ipython"),
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_DATA_DIR": str(root / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(root / "tmp"),
        }
        self.environment = {**own, **self.variables, "PATH": f"{SCRIPTS}{os.pathsep}{own.get('PATH', os.defpath)}"}
        for folder in ("config", "data", "runtime", "tmp", "work"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.work = root / "work"
        settings = root / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"checkForUpdates": False, "fetchNews": "false"}))

    def run(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        seconds: float = 120,
        typed: str | None = None,
        **options,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with what its user types; it must succeed unless `check=False`."""
        result = subprocess.run(
            [str(word) for word in command],
            env={**self.environment, **(env or {})},
            cwd=options.pop("cwd", self.work),
            input=typed,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if options.pop("check", True):
            assert result.returncode == 0, f"{command}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        assert not options
        return result

    def python(self, code: str, **options) -> subprocess.CompletedProcess[str]:
        """Run code as a program of its own."""
        file = self.work / "program.py"
        file.write_text(code)
        return self.run(sys.executable, file, **options)

    def add_spec(
        self, name: str, argv: list[str], *, display_name: str = "", env=None, lifecycle: str = LOCAL, **config: str
    ) -> str:
        """Write a spec of the local provider as its operator would by hand, with its `kernel.json`."""
        folder = self.specs / name
        folder.mkdir(parents=True, exist_ok=True)
        common = {"display_name": display_name or name, "language": "python"}
        curve = {"supported_encryption": ["curve"]}
        spec = {
            **common,
            "argv": argv,
            "env": env or {},
            "metadata": curve
            | {
                "lifecycle_manager": {
                    "class_name": lifecycle,
                    "config": config,
                },
            },
        }
        kernel = f"local/{name}"
        bridge = [sys.executable, "-m", "remote_kernel_provider.jupyter.bridge", "--kernel", kernel]
        stock = {
            **common,
            "argv": [*bridge, "-f", "{connection_file}"],
            "metadata": curve
            | {"kernel_provisioner": {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": kernel}}},
        }
        (folder / "local_kernel.json").write_text(json.dumps(spec))
        (folder / "kernel.json").write_text(json.dumps(stock))
        return name

    def kernel_processes(self) -> list[psutil.Process]:
        """Return all that runs of this home's kernels, their children and launchers included."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environment = process.environ()
                of_this_home = environment.get("JUPYTER_RUNTIME_DIR") == str(self.runtime)
                if of_this_home and "KERNEL_ID" in environment and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def leftovers(self) -> list[str]:
        """Return what there is of kernels: processes, folders, connection files."""
        processes = [f"process {process.pid}" for process in self.kernel_processes()]
        folders = [str(path) for root in (self.folders, self.staged_folders) for path in root.glob("*")]
        files = [str(path) for path in self.runtime.glob("kernel-*.json")]
        return [*processes, *folders, *files]

    def assert_nothing_left(self, seconds: float = 10) -> None:
        """Wait until nothing is left of any kernel."""
        eventually(lambda: not self.leftovers(), seconds, lambda: f"left behind: {self.leftovers()}")


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
        self._program, self._options, self._environment = program, options, environment
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

    def connect(self, kernel_id: str, **options) -> "KernelSocket":
        return KernelSocket(self.server, kernel_id, **options)


class KernelSocket:
    """A client of one kernel over the server's websocket, as a browser is; a context manager."""

    protocol = "v1.kernel.websocket.jupyter.org"

    def __init__(self, server: LabServer, kernel_id: str, *, legacy: bool = False) -> None:
        import websocket

        self._legacy = legacy
        self._session = uuid.uuid4().hex
        self._socket = websocket.create_connection(
            f"{server.url.replace('http', 'ws')}/api/kernels/{kernel_id}/channels?session_id={self._session}",
            header=[f"Authorization: token {server.token}"],
            subprotocols=[] if legacy else [self.protocol],
            timeout=30,
        )

    def __enter__(self) -> "KernelSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def execute(self, code: str) -> str:
        """Send a cell; return its id."""
        from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1

        msg_id = uuid.uuid4().hex
        header = {
            "msg_id": msg_id,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "test",
            "date": "2026-01-01T00:00:00Z",
            "version": "5.4",
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": code, "silent": False}}
        if self._legacy:
            self._socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
        else:
            self._socket.send_binary(serialize_msg_to_ws_v1(message, "shell", lambda part: json.dumps(part).encode()))
        return msg_id

    def receive(self, seconds: float = 30) -> tuple[str, str, dict]:
        """Return the next message: its type, its parent's id, its content; the type "close" has code and reason."""
        from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1

        self._socket.settimeout(seconds)
        opcode, data = self._socket.recv_data()
        if opcode == 8:
            return "close", "", {"code": int.from_bytes(data[:2], "big"), "reason": data[2:].decode()}
        if self._legacy:
            message = json.loads(data)
            return message["msg_type"], message["parent_header"].get("msg_id", ""), message["content"]
        header, parent, _, content = (json.loads(part) for part in deserialize_msg_from_ws_v1(data)[1][:4])
        return header["msg_type"], parent.get("msg_id", ""), content

    def until(self, kind: str, seconds: float = 30, **content: object) -> tuple[str, dict]:
        """Return the parent's id and the content of the next message of a type that has these things in its content."""
        deadline = time.monotonic() + seconds
        while True:
            received, parent, found = self.receive(max(0.01, deadline - time.monotonic()))
            if received == kind and content.items() <= found.items():
                return parent, found
            assert received != "close", f"closed while waiting for {kind}: {found}"

    def run(self, code: str, seconds: float = 60) -> str:
        """Run a cell to its end; return what it printed first."""
        cell = self.execute(code)
        text = ""
        deadline = time.monotonic() + seconds  # of a single wait the server's pings are the end, again and again
        while True:
            kind, parent, content = self.receive(max(0.01, deadline - time.monotonic()))
            assert kind != "close", content
            if parent == cell and kind == "stream":
                text += content["text"]
            if parent == cell and kind == "status" and content["execution_state"] == "idle":
                return text.strip()

    def until_answered(self, seconds: float = 20) -> None:
        """Wait until cells run again, over this connection, after a restart.

        The server's sockets find the new kernel by themselves, and what it publishes before is lost.
        """
        import websocket

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            cell = self.execute("pass")
            with suppress(websocket.WebSocketTimeoutException):
                while self.receive(0.5)[:2] != ("status", cell):
                    pass
                return
        raise AssertionError(f"no cell ran within {seconds:g} s")


def eventually(condition, seconds: float, complaint) -> None:
    """Wait for something outside this process that has no event to wait for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def need_for_browser(present: object, reason: str) -> None:
    """Skip where a browser test lacks something, or fail where REQUIRE_BROWSER=1 says that it must be there."""
    if present:
        return
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, and {reason}")
    pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.stash.setdefault(REPORTS, {})[report.when] = report
    return report


def has_failed(item: pytest.Item) -> bool:
    return any(report.failed for report in item.stash.get(REPORTS, {}).values())


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[JupyterHome]:
    """A home in which a user has installed a kernel of the local provider."""
    home = JupyterHome(tmp_path_factory.mktemp("home"))
    home.run(SCRIPTS / "jupyter", "local-kernelspec", "install", "--user")
    yield home
    for process in home.kernel_processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def kernel_name(home) -> str:
    """Name of the kernel that is installed, in every stock client."""
    (folder,) = home.specs.iterdir()
    return folder.name


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
def quiet_network() -> Iterator["QuietNetwork | None"]:
    """A network for the browser alone, where this process may make one."""
    from quiet_network import QuietNetwork

    try:
        network = QuietNetwork()
    except OSError:
        yield None
        return
    yield network
    network.close()


@pytest.fixture(scope="module")
def browser(quiet_network, tmp_path_factory):
    """Chromium.

    Of the module only: while Playwright's synchronous interface is open, a loop counts as running in this thread.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    need_for_browser(program, "no Chromium is on PATH (chromium, chromium-browser, google-chrome)")
    from playwright.sync_api import sync_playwright

    if quiet_network is not None:
        program = quiet_network.wrap(program, tmp_path_factory.mktemp("browser"))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(request, browser, quiet_network) -> Iterator[Callable[[LabServer], "Page"]]:
    """Open empty pages for a server, with nothing remembered; of a failing test they leave what was on them."""
    contexts: list[tuple[BrowserContext, LabServer]] = []

    def open_page(server: LabServer) -> "Page":
        if quiet_network is not None:
            quiet_network.offer(server.port)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(30_000)
        contexts.append((context, server))
        return context.new_page()

    yield open_page
    for number, (context, server) in enumerate(contexts):
        if has_failed(request.node):
            leave_screenshot(context, f"{request.node.name}{f'-{number}' if number else ''}", server)
        context.close()


def leave_screenshot(context: "BrowserContext", name: str, server: LabServer) -> None:
    """Write down what a failed test's page shows, and the end of its server's log."""
    ARTIFACTS.mkdir(exist_ok=True)
    picture, log = (ARTIFACTS / f"{name}{suffix}" for suffix in (".png", ".log"))
    log.write_text(server.log_tail())
    print(f"the page: {picture}\nthe server's log: {log}")
    with suppress(Exception):  # whatever is wrong with the page is not to hide the test's own failure
        context.pages[0].screenshot(path=picture)


@pytest.fixture
def open_lab(new_page) -> Callable[[LabServer], "Lab"]:
    """Open JupyterLab of a server in a page of its own, with its launcher."""
    from browsing import Lab

    def open_page(server: LabServer) -> Lab:
        lab = Lab(new_page(server), server)
        lab.open()
        return lab

    return open_page


@pytest.fixture(scope="module")
def make_staged(tmp_path_factory) -> Iterator[Callable[..., Staged]]:
    """Start Jupyter servers whose kernels' launches follow scripts."""
    pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")
    pytest.importorskip("websocket", reason="websocket-client is not installed")
    made: list[Staged] = []

    def make(program: str | Path = "jupyter-server", **options: float) -> Staged:
        made.append(Staged(JupyterHome(tmp_path_factory.mktemp("staged")), program, **options))
        made[-1].server.wait_until_ready()
        return made[-1]

    yield make
    for staged in made:
        staged.server.stop()
        for process in staged.home.kernel_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()


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


@pytest.fixture(scope="module")
def make_home(tmp_path_factory):
    """Make homes with nothing in them; kernels that a test left in one end with the module."""
    homes = []

    def make(name: str) -> JupyterHome:
        homes.append(JupyterHome(tmp_path_factory.mktemp(name)))
        return homes[-1]

    yield make
    for home in homes:
        for process in home.kernel_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture(scope="module")
def pods(make_home, cluster) -> Iterator["PodHome"]:
    """A home whose kernels run in a namespace of the cluster; one for all tests of a module."""
    from cluster import sharing
    from cluster.fixtures import Namespace
    from pods import PodHome

    with sharing.turn(False):  # of tests that harm the cluster
        namespace = Namespace(cluster)
    yield PodHome(make_home("pods"), cluster, namespace)
    namespace.remove()


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
