"""Homes of users of Jupyter, with nothing in them but what a test puts there; fixtures `home` and `make_home`."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

SCRIPTS = Path(sysconfig.get_path("scripts"))
FOREIGN = ("JUPYTER_", "JPY_", "RKP_", "GP_", "EG_", "K8SKP_", "KERNEL_")
LOCAL = "remote_kernel_provider.LocalLifecycleManager"


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
        # For tests that bring a page back to its launcher.
        (root / "config/jupyter_lab_config.json").write_text(json.dumps({"LabApp": {"expose_app_in_browser": True}}))

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


def eventually(condition, seconds: float, complaint) -> None:
    """Wait for something outside this process that has no event to wait for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def make_home(tmp_path_factory) -> Iterator[Callable[[str], JupyterHome]]:
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
def home(make_home) -> JupyterHome:
    """A home in which a user has installed a kernel of the local provider."""
    home = make_home("home")
    home.run(SCRIPTS / "jupyter", "local-kernelspec", "install", "--user")
    return home


@pytest.fixture(scope="module")
def kernel_name(home) -> str:
    """Name of the kernel that is installed, in every stock client."""
    (folder,) = home.specs.iterdir()
    return folder.name
