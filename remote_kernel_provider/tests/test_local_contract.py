"""The contract of all backends, over processes of this machine."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from processes import TINY

from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.testing.contract import LifecycleContract
from remote_kernel_provider.testing.kernels import Kernels


@pytest.mark.slow
@pytest.mark.pythons
class TestLocal(LifecycleContract):
    provider_class = LocalKernelProvider
    light = TINY
    reported = (
        "python", "-m", "kernel_launchers.python",
        "--kernel-id", "{kernel_id}", "--port-range", "{port_range}",
        "--response-address", "{response_address}", "--public-key", "{public_key}",
        "--transport-encryption", "{transport_encryption}",
    )  # fmt: skip

    def leftovers(self, kernels: Kernels) -> list[str]:
        files = [str(path) for path in (runtime() / "remote-kernels").glob("*/*")]
        return super().leftovers(kernels) + files + [str(process) for process in processes()]

    def kill(self, manager) -> None:
        # As an operator does, or the kernel itself: the host is not asked.
        for process in processes():
            if process.environ().get("KERNEL_ID") == manager.kernel_id and os.getsid(process.pid) == process.pid:
                os.kill(process.pid, signal.SIGKILL)


def runtime() -> Path:
    return Path(os.environ["JUPYTER_RUNTIME_DIR"])


def processes() -> list[psutil.Process]:
    """Everything that was started under this test's folders, but for the hosts; and our own zombies."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except psutil.ZombieProcess:
            found += [process] if process.ppid() == os.getpid() else []
        except psutil.Error:
            continue
        else:
            if environment.get("JUPYTER_RUNTIME_DIR") == str(runtime()) and "KERNEL_ID" in environment:
                found.append(process)
    return found
