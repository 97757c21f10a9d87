"""Hosts for tests of ownership: leases as the cluster shows them, and programs that die."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster.fixtures import Namespace
from kubernetes import client

from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host
from remote_kernel_provider.testing.kernels import Kernels


class Leases:
    """The leases of a namespace, by other eyes than ours."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace.name
        self._api = client.CoordinationV1Api(namespace.api.api_client)

    def all(self) -> list[Any]:
        return self._api.list_namespaced_lease(self._namespace).items

    def one(self) -> Any:
        (lease,) = self.all()
        return lease

    def patch(self, lease: Any, spec: dict[str, Any]) -> None:
        self._api.patch_namespaced_lease(lease.metadata.name, self._namespace, {"spec": spec})

    def expire(self, lease: Any) -> None:
        """Let a lease have run out, as if its host had been dead for an hour."""
        self.patch(lease, {"renewTime": "2020-01-01T00:00:00.000000Z"})

    def delete(self, lease: Any) -> None:
        self._api.delete_namespaced_lease(lease.metadata.name, self._namespace)


def host_elsewhere(folder: Path) -> Kernels:
    """Make a host whose data folder is another: no lock of anybody else's can be seen from there."""
    settings = load_settings()
    settings.data_folder = str(folder)
    return Kernels(KubernetesKernelProvider(Host(settings, "server-9")), folder / "kernels", "", {})


_LAUNCH = """
import os, signal, uuid
from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.lifecycle import KubernetesLifecycleManager
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at_request(method, collection, *, before):
    first = ClusterClient.request
    async def request(self, asked, path, **options):
        wanted = (asked, path.rpartition("/")[2]) == (method, collection)
        if wanted and before:
            die()
        answer = await first(self, asked, path, **options)
        if wanted:
            die()
        return answer
    ClusterClient.request = request

def at_status(is_it):
    first = KubernetesLifecycleManager.watch
    async def watch(self, resource):
        async for status in first(self, resource):
            if is_it(status):
                die()
            yield status
    KubernetesLifecycleManager.watch = watch

def when_answered():
    async def answered(self, resource):
        die()
    KubernetesLifecycleManager.answered = answered

{hook}
provider = KubernetesKernelProvider()
PRIVATE_LOOP.run(provider.start(provider.find({kernel!r})[0], ClientRequest(str(uuid.uuid4()), system_identity())))
"""


def dying_program(hook: str, kernel: str) -> subprocess.Popen[str]:
    """Start a program that launches a kernel and kills itself at one step of it.

    Parameters
    ----------
    hook
        A call of one of the functions above, which lays down the step.
    kernel
        Name of the kernel's spec.
    """
    code = _LAUNCH.format(hook=hook, kernel=kernel)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def remote_kernel(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `jupyter remote-kernel` as this test's user."""
    line = [sys.executable, "-m", "remote_kernel_provider.cli", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
