"""The four distributions as their users get them: built as wheels, installed alone into environments of their own."""

import ast
import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "remote_kernel_provider": "remote_kernel_provider",
    "docker_kernel_provider": "docker_kernel_provider",
    "kubernetes_kernel_provider": "kubernetes_kernel_provider",
    "launchers": "kernel_launchers",
}
"""The import package that each folder of the repository makes."""
ENTRY_POINTS = {
    "remote_kernel_provider": {
        "console_scripts": {"jupyter-remote-kernel", "jupyter-local-kernelspec"},
        "jupyter_kernel_mgmt.kernel_type_providers": {"local"},
        "remote_kernel_provider.lifecycle_managers": {"local"},
        "jupyter_client.kernel_provisioners": {"remote-kernel-provisioner"},
    },
    "docker_kernel_provider": {
        "console_scripts": {"jupyter-docker-kernelspec", "jupyter-docker-spec"},
        "jupyter_kernel_mgmt.kernel_type_providers": {"docker", "docker_swarm"},
        "remote_kernel_provider.lifecycle_managers": {"docker", "docker-swarm"},
    },
    "kubernetes_kernel_provider": {
        "console_scripts": {"jupyter-k8s-kernelspec", "jupyter-k8s-spec"},
        "jupyter_kernel_mgmt.kernel_type_providers": {"k8skp"},
        "remote_kernel_provider.lifecycle_managers": {"kubernetes"},
    },
    "launchers": {"console_scripts": {"jupyter-image-bootstrap", "launch-ipykernel"}},
}
SHARED_DATA = {
    "remote_kernel_provider": {
        "remote_kernel_provider-1.0.0.dev0.data/data/etc/jupyter/jupyter_server_config.d/remote-kernel-provider.json"
    },
}
"""What is installed beside the packages: it enables the server extension."""
LAB = "remote_kernel_provider-1.0.0.dev0.data/data/share/jupyter/labextensions/remote-kernel-provider-labextension/"
"""Where the wheel has what JupyterLab loads."""
PIP = shlex.split(os.environ.get("PIP", "")) or [sys.executable, "-m", "pip"]
"""What installs packages, as the Makefile says."""
IMPORTED_AS = {
    "ipython-genutils": "ipython_genutils",
    "jupyter-kernel-mgmt": "jupyter_kernel_mgmt",
    "pycryptodomex": "Cryptodome",
    "pyyaml": "yaml",
    "pyzmq": "zmq",
}
FOR_ANOTHER = {"ipython_genutils": "jupyter_kernel_mgmt imports it and does not declare it"}
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name.startswith(tuple(sys.argv[2:])) or module.name.endswith(".__main__"):
        continue
    importlib.import_module(module.name)
    print(module.name)
"""
LOAD_ENTRY_POINTS = """
import sys
from importlib.metadata import distribution
for point in distribution(sys.argv[1]).entry_points:
    point.load()
"""


class Wheel:
    """A wheel of ours."""

    def __init__(self, folder: str, file: Path) -> None:
        self.file = file
        self.package = PACKAGES[folder]
        with zipfile.ZipFile(file) as archive:
            self.names = archive.namelist()
            (about,) = {name.split("/")[0] for name in self.names if ".dist-info/" in name}
            self.metadata = HeaderParser().parsestr(archive.read(f"{about}/METADATA").decode())
            points = configparser.ConfigParser(delimiters="=")
            if f"{about}/entry_points.txt" in self.names:
                points.read_string(archive.read(f"{about}/entry_points.txt").decode())
            self.entry_points = {group: set(points[group]) for group in points.sections()}
            self.sources = [archive.read(name).decode() for name in self.names if self._is_product(name)]

    def _is_product(self, name: str) -> bool:
        """Whether it is a module that works without an extra; what tests use may import what tests have."""
        return name.endswith(".py") and not name.startswith(f"{self.package}/testing/")

    @property
    def name(self) -> str:
        return self.metadata["Name"]

    def declared(self, *, extras: bool) -> set[str]:
        """Return the top-level modules of what the metadata declares, with or without its extras."""
        found = set()
        for requirement in self.metadata.get_all("Requires-Dist", []):
            name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
            if extras or "extra ==" not in requirement:
                name = re.sub(r"[-_.]+", "-", name).lower()
                found.add(IMPORTED_AS.get(name, name.replace("-", "_")))
        return found

    def imported(self) -> set[str]:
        """Return the top-level modules that its code names in imports, but the standard library's and its own."""
        found = set()
        for source in self.sources:
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found.add(node.module.partition(".")[0])
                elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                    found |= {word.value.partition(".")[0] for word in node.args[:1] if isinstance(word, ast.Constant)}
        return found - set(sys.stdlib_module_names) - {self.package}


class Environment:
    """A fresh virtual environment with nothing in it but what is installed."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.python = folder / "bin/python"
        self.scripts = folder / "bin"

    def install(self, *wheels: Wheel, extras: str = "") -> None:
        files = (f"{wheel.file}{extras}" for wheel in wheels)
        here = {"PIP_PYTHON": str(self.python), "UV_PYTHON": str(self.python)}
        run(*PIP, "install", "--quiet", *files, PIP_NO_COMPILE="1", **here)

    def installed(self) -> set[str]:
        listed = run(sys.executable, "-m", "pip", "--python", self.python, "list", "--format=freeze")
        return {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in listed.split()}

    def check(self) -> None:
        run(sys.executable, "-m", "pip", "--python", self.python, "check")

    def import_everything(self, package: str, *but: str) -> list[str]:
        return run(self.python, "-c", IMPORT_EVERYTHING, package, *but).split()


def run(*command: str | Path, both: bool = False, **environment: str) -> str:
    """Run a program to its end; return what it printed, on both streams if asked."""
    variables = {**os.environ, **environment}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr if both else done.stdout


def build_wheel(folder: str, source: Path, output: Path, **environment: str) -> Wheel:
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", output, source),
        **environment,
    )
    (file,) = output.glob("*.whl")
    return Wheel(folder, file)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Wheel]:
    """The wheels, by the folders that they are made of."""
    return {folder: build_wheel(folder, ROOT / folder, tmp_path_factory.mktemp("wheel")) for folder in PACKAGES}


@pytest.fixture
def without_npm(tmp_path) -> dict[str, str]:
    """Variables of an environment in which there is no npm, and nobody has asked for it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    return {"PATH": str(programs), "REQUIRE_LAB": ""}


@pytest.fixture
def environment(tmp_path) -> Environment:
    return Environment(tmp_path / "environment")


@pytest.fixture(scope="module")
def with_core(wheels, tmp_path_factory) -> Environment:
    """An environment with the core; what the backends and the server's extra need comes into it test by test."""
    environment = Environment(tmp_path_factory.mktemp("core") / "environment")
    environment.install(wheels["remote_kernel_provider"])
    return environment


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_wheel_holds_the_package_alone(wheels, folder):
    wheel = wheels[folder]
    assert f"{wheel.package}/py.typed" in wheel.names
    own = {name for name in wheel.names if ".dist-info/" not in name}
    assert {name for name in own if not name.startswith((f"{wheel.package}/", LAB))} == SHARED_DATA.get(folder, set())
    sources = ROOT / folder / "src"
    modules = {str(file.relative_to(sources)) for file in sources.rglob("*.py")}
    assert {name for name in wheel.names if name.endswith(".py")} == modules
    assert not [name for name in wheel.names if re.search(r"(^|/)(tests/|test_[^/]*$|conftest\.py$)", name)]


@pytest.mark.parametrize("folder", PACKAGES)
def test_the_metadata_says_what_users_and_indexes_need(wheels, folder):
    wheel = wheels[folder]
    assert wheel.metadata["Requires-Python"] == ">=3.10"
    assert wheel.metadata["License-Expression"] == "BSD-3-Clause"
    assert wheel.metadata["Summary"]
    assert wheel.metadata.get_payload().startswith("# ")
    assert wheel.entry_points == ENTRY_POINTS.get(folder, {})


@pytest.mark.parametrize("folder", PACKAGES)
def test_the_metadata_declares_what_the_code_imports_and_nothing_else(wheels, folder):
    wheel = wheels[folder]
    assert wheel.imported() - wheel.declared(extras=True) == set()
    assert wheel.declared(extras=False) - wheel.imported() - set(FOR_ANOTHER) == set()


def test_the_core_works_alone(wheels, with_core):
    core = wheels["remote_kernel_provider"]
    with_core.check()
    assert with_core.installed().isdisjoint({"docker", "kubernetes", "ipykernel", "jupyter-server", "pytest"})
    for_extras = f"{core.package}.testing", f"{core.package}.jupyter.server."
    assert "remote_kernel_provider.launch" in with_core.import_everything(core.package, *for_extras)
    run(with_core.python, "-c", LOAD_ENTRY_POINTS, core.name)
    assert "install" in run(with_core.scripts / "jupyter-local-kernelspec", "--help")
    assert "doctor" in run(with_core.scripts / "jupyter-remote-kernel", "--help")


@pytest.mark.parametrize("folder", ["docker_kernel_provider", "kubernetes_kernel_provider"])
def test_a_backend_works_with_the_core(wheels, with_core, folder):
    backend = wheels[folder]
    with_core.install(backend)
    with_core.check()
    with_core.import_everything(backend.package)
    run(with_core.python, "-c", LOAD_ENTRY_POINTS, backend.name)


def test_the_server_extension_is_active_once_it_is_installed(wheels, with_core):
    core = wheels["remote_kernel_provider"]
    with_core.install(core, extras="[server]")
    with_core.check()
    with_core.import_everything(core.package, f"{core.package}.testing")
    listed = run(with_core.scripts / "jupyter-server", "extension", "list", both=True)
    assert re.search(r"remote_kernel_provider\.jupyter\.server \S*enabled", listed)
    assert re.search(r"remote_kernel_provider\.jupyter\.server .*OK", listed)


@pytest.mark.skipif(shutil.which("npm") is None and os.environ.get("REQUIRE_LAB") != "1", reason="npm is not on PATH")
def test_the_core_brings_its_half_of_jupyterlab(wheels, tmp_path, without_npm):
    core = wheels["remote_kernel_provider"]
    with zipfile.ZipFile(core.file) as archive:
        about = json.loads(archive.read(f"{LAB}package.json"))
        names = {name for name in core.names if name.startswith(LAB)}
        assert sum(archive.getinfo(name).compress_size for name in names) < 300_000
    assert names >= {LAB + name for name in ("install.json", about["jupyterlab"]["_build"]["load"])}
    assert f"{LAB}schemas/{about['name']}/plugin.json" in names
    assert core.metadata["Version"].startswith(about["version"])

    # What is built from a source distribution needs no npm: the half is in there.
    source = ROOT / "remote_kernel_provider"
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, source)
    (file,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    unpacked = tmp_path / file.name.removesuffix(".tar.gz")
    again = build_wheel("remote_kernel_provider", unpacked, tmp_path / "again", **without_npm)
    assert set(again.names) >= names


def test_without_npm_the_core_goes_without_jupyterlab_unless_it_is_required(tmp_path, without_npm):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT / "remote_kernel_provider", source, ignore=shutil.ignore_patterns("node_modules", "build", "__pycache__")
    )
    wheel = build_wheel("remote_kernel_provider", source, tmp_path / "wheel", **without_npm)
    assert not [name for name in wheel.names if "labextensions" in name]
    with pytest.raises(AssertionError, match="REQUIRE_LAB=1, and the JupyterLab extension cannot be built: npm is not"):
        build_wheel("remote_kernel_provider", source, tmp_path / "other", **{**without_npm, "REQUIRE_LAB": "1"})


def test_the_launchers_work_alone(wheels, environment):
    launchers = wheels["launchers"]
    environment.install(launchers)
    environment.check()
    assert environment.installed().isdisjoint({"remote-kernel-provider", "ipykernel", "jupyter-client"})
    imported = environment.import_everything(launchers.package, f"{launchers.package}.python.")
    assert "kernel_launchers.listener" in imported
    run(environment.python, "-c", LOAD_ENTRY_POINTS, launchers.name)
    assert "--response-address" in run(environment.scripts / "launch-ipykernel", "--help")
