"""Forwarded ports of a pod: for as long as there is the pod, and for nobody else on this machine."""

import stat
from pathlib import Path

import pytest

from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow


def test_they_are_private_and_end_with_the_pod(kernels, in_namespace):
    kernels.host.settings.kubernetes_route = "port-forward"
    manager = kernels.start("light")
    folder = Path(manager.connection.ip).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with Notebook(manager.connection) as notebook:  # its sockets go on trying to connect
        assert notebook.run("print(6 * 7)").text == "42\n"
        pod = manager.resource.data["pod"]
        in_namespace.api.delete_namespaced_pod(pod, in_namespace.name, grace_period_seconds=1)
        run(manager.wait(), 30)
        until(lambda: not folder.exists(), 30, "nobody listens any more")
