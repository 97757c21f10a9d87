"""The launcher under a host that we did not write: the provisioners of the package gateway_provisioners."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.peers]

REQUIREMENT = "gateway_provisioners==0.5.0"
SCRIPT = Path(__file__).with_name("gateway_provisioners_host.py")


@pytest.fixture(scope="session")
def peer_python(request: pytest.FixtureRequest) -> Path:
    """Python of an environment that holds the peer, kept in pytest's cache between runs."""
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir(f"gateway-provisioners-{sys.version_info[0]}.{sys.version_info[1]}")
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists() or complete.read_text() != REQUIREMENT:
        venv.create(folder, clear=True, with_pip=True)
        installed = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", REQUIREMENT], capture_output=True, text=True, check=False
        )
        if installed.returncode:
            message = f"{REQUIREMENT} cannot be installed: {installed.stderr.strip().splitlines()[-1]}"
            if os.environ.get("REQUIRE_PEERS") == "1":
                pytest.fail(message)
            pytest.skip(message)
        complete.write_text(REQUIREMENT)
    return python


def test_distributed_provisioner(peer_python: Path, tmp_path: Path) -> None:
    arguments = ["kernel-id", "port-range", "response-address", "public-key", "transport-encryption"]
    spec = {
        "display_name": "Launched",
        "language": "python",
        "argv": [
            sys.executable,
            "-m",
            "kernel_launchers.python",
            *(part for name in arguments for part in (f"--{name}", f"{{{name.replace('-', '_')}}}")),
        ],
        "metadata": {
            "kernel_provisioner": {"provisioner_name": "distributed-provisioner"},
            "supported_encryption": ["curve"],
        },
    }
    (tmp_path / "specs" / "launched").mkdir(parents=True)
    (tmp_path / "specs" / "launched" / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [peer_python, SCRIPT, tmp_path / "specs"],
        env={
            **os.environ,
            "GP_REMOTE_HOSTS": "localhost",
            "GP_RESPONSE_IP": "127.0.0.1",
            "GP_KERNEL_LOG_DIR": str(tmp_path),
            "GP_PORT_RANGE": "21000..32000",
            "KERNEL_USERNAME": "someone",
            "TMPDIR": str(tmp_path / "tmp"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    logs = "".join(log.read_text() for log in tmp_path.glob("kernel-*.log"))
    assert done.returncode == 0, done.stderr + logs
    seen = json.loads(done.stdout.splitlines()[-1])
    pid = int(seen.pop("pid"))
    assert seen == {
        "provisioner": "DistributedProvisioner",
        "encrypted": tuple(map(int, metadata.version("ipykernel").split(".")[:2])) >= (7, 3),
        "interrupted": {"stdout": "begun\n", "error": "KeyboardInterrupt"},
        "alive": True,
        "after": {"stdout": "42\n"},
        "alive_after_shutdown": False,
    }
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list((tmp_path / "tmp").iterdir()) == []
