"""Environments of this Python with packages of others, kept between runs."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from keeping import kept

SECONDS = 600.0
PEER = ("gateway_provisioners[docker,k8s]==0.5.0", "ipykernel==7.4.0")


def environment(name: str, *requirements: str, required_by: str) -> Path:
    """Return the folder of an environment that holds some packages.

    A test is skipped where they cannot be installed, or fails where a variable says that it must not be.

    Parameters
    ----------
    name
        Of the environment.
    requirements
        As pip takes them.
    required_by
        Name of the variable, which is `1` then.
    """

    def make(folder: Path) -> None:
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet"]
        subprocess.run([*pip, *requirements], capture_output=True, text=True, timeout=SECONDS, check=True)

    try:
        return kept(name, "\n".join((sys.version, sys.base_prefix, *requirements)), make)
    except subprocess.CalledProcessError as failure:
        message = f"{requirements[0]} cannot be installed: {failure.stderr.strip().splitlines()[-1]}"
    if os.environ.get(required_by) == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def peer_environment() -> Path:
    """An environment with the package gateway_provisioners, all of its hosts and its launcher, and a kernel."""
    return environment("gateway-provisioners", *PEER, required_by="REQUIRE_PEERS")
