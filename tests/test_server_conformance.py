"""Jupyter Server's own tests of kernels, sessions and kernel specs, with our classes in place: ordinary kernels."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

jupyter_server = pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")
pytest.importorskip("pytest_jupyter", reason="pytest-jupyter is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("RUN_CONFORMANCE"), reason="four minutes: make conformance"),
]

HERE = Path(__file__).parent
EXTENSION = HERE.parent / "remote_kernel_provider/etc/jupyter/jupyter_server_config.d/remote-kernel-provider.json"


@pytest.fixture(scope="module")
def sources(request) -> Path:
    """The tests of the Jupyter Server that is installed, from its source distribution, kept in pytest's cache."""
    version = jupyter_server.__version__
    folder = request.config.cache.mkdir(f"jupyter-server-{version}")
    if not (folder / "complete").exists():
        download = ("download", "--quiet", "--no-deps", "--no-binary", "jupyter_server", "--dest", folder)
        command = (sys.executable, "-m", "pip", *download, f"jupyter_server=={version}")
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            message = f"the sources of Jupyter Server {version} cannot be had: {done.stderr.strip().splitlines()[-1]}"
            if os.environ.get("REQUIRE_PEERS") == "1":
                pytest.fail(message)
            pytest.skip(message)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as content:
            for member in content:
                # Not the package itself: it would hide the installed one.
                if member.isfile() and member.name.split("/")[1] in ("tests", "pyproject.toml"):
                    content.extract(member, folder)
        (folder / "complete").touch()
    (found,) = folder.glob("jupyter_server-*/")
    return found


@pytest.mark.parametrize("room", ["kernelspecs", "kernels", "sessions"])
def test_stocks_own_tests_pass(sources, tmp_path, room):
    done = run(sources, tmp_path, room)
    if done.returncode == 1:  # several give a kernel one second: on a busy machine that is too little, once
        done = run(sources, tmp_path, room, "--last-failed")
    assert done.returncode == 0, f"{done.stdout[-20_000:]}\n{done.stderr}"
    assert " passed" in done.stdout


def run(sources: Path, cache: Path, room: str, *options: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER_", "JPY_", "RKP_"))}
    # Its project's own options turn the warnings of newer libraries into failures.
    replaced = (f"cache_dir={cache / 'cache'}", "addopts=", "filterwarnings=", "log_cli=false")
    settings = [word for setting in replaced for word in ("-o", setting)]
    plugins = ("-p", "no:asyncio", "-p", "jupyter_server_conformance")
    return subprocess.run(
        (sys.executable, "-m", "pytest", "-q", *plugins, *settings, *options, f"tests/services/{room}"),
        cwd=sources,
        env={**own, "PYTHONPATH": str(HERE), "EXTENSION_FILE": str(EXTENSION)},
        capture_output=True,
        text=True,
        timeout=450,
        check=False,
    )
