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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

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
REPORTS: pytest.StashKey[dict[str, pytest.TestReport]] = pytest.StashKey()


class JupyterHome:
    """A user's home with nothing in it but what its test puts there, and the programs of Jupyter run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runtime = root / "runtime"
        self.folders = self.runtime / "remote-kernels"
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

    def run(
        self, *command: str | Path, env: Mapping[str, str] | None = None, seconds: float = 120, **options
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; it must succeed unless `check=False`."""
        result = subprocess.run(
            [str(word) for word in command],
            env={**self.environment, **(env or {})},
            cwd=options.pop("cwd", self.work),
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

    def add_spec(self, name: str, argv: list[str], *, display_name: str = "", env=None, **config: str) -> str:
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
                    "class_name": "remote_kernel_provider.LocalLifecycleManager",
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
        folders = [str(path) for path in self.folders.glob("*")]
        files = [str(path) for path in self.runtime.glob("kernel-*.json")]
        return [*processes, *folders, *files]

    def assert_nothing_left(self, seconds: float = 10) -> None:
        """Wait until nothing is left of any kernel."""
        eventually(lambda: not self.leftovers(), seconds, lambda: f"left behind: {self.leftovers()}")


class LabServer:
    """A JupyterLab server as its user starts it."""

    token = "a-token-for-tests"

    def __init__(self, home: JupyterHome) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.root / "lab.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    SCRIPTS / "jupyter-lab",
                    "--no-browser",
                    "--allow-root",
                    f"--ServerApp.port={self.port}",
                    "--ServerApp.port_retries=0",
                    f"--ServerApp.root_dir={home.work}",
                    f"--IdentityProvider.token={self.token}",
                ],
                env=home.environment,
                cwd=home.work,
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

    def request(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read()

    def log_lines(self, text: str) -> list[str]:
        """Return the lines of the server's log that hold a text."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]

    def log_tail(self, lines: int = 200) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            # After a failed launch, of any kernel, a worker thread of its file handlers can keep the server.
            self.process.kill()
            self.process.wait(10)


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
    settings = home.root / "config/lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"checkForUpdates": False, "fetchNews": "false"}))
    server = LabServer(home)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def browser():
    """Chromium.

    Of the module only: while Playwright's synchronous interface is open, a loop counts as running in this thread.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    need_for_browser(program, "no Chromium is on PATH (chromium, chromium-browser, google-chrome)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(request, browser, lab):
    """A page of a browser with nothing remembered; a failing test leaves a screenshot and the server's log."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    if has_failed(request.node):
        ARTIFACTS.mkdir(exist_ok=True)
        picture = ARTIFACTS / f"{request.node.name}.png"
        log = picture.with_suffix(".log")
        log.write_text(lab.log_tail())
        print(f"the page: {picture}\nthe server's log: {log}")
        with suppress(Exception):  # whatever is wrong with the page is not to hide the test's own failure
            page.screenshot(path=picture)
    context.close()
