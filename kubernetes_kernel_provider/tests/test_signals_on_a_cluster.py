"""Interrupts, signals and restarts of kernels in pods, beyond what the contract of all backends asks."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest
from cluster.fixtures import FOREIGN, Namespace
from pod_launches import POD

from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.template_files import TEMPLATE
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow

PYTHON = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
REPORTING = (
    "python", "-m", "kernel_launchers.python",
    "--kernel-id", "{kernel_id}", "--port-range", "{port_range}",
    "--response-address", "{response_address}", "--public-key", "{public_key}",
)  # fmt: skip
WITHOUT_SHELL = {"PATH": "/usr/local/bin"}
"""An environment in which the test's image has `python`, and no shell is found."""
SIDE = """\
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: print("got", number, flush=True))
while True:
    time.sleep(0.1)
"""


def check_interrupted(manager: RemoteKernelManager) -> None:
    with Notebook(manager.connection) as notebook:
        notebook.run("kept = 'state'")
        assert notebook.interrupted(lambda: run(manager.interrupt())).error == "KeyboardInterrupt"
        assert notebook.run("print(kept)") == Outcome("state\n")


def test_a_signal_is_for_the_kernel_alone(kernels: Kernels, in_namespace: Namespace, tmp_path: Path) -> None:
    kernels.add_spec("beside", PYTHON, interrupt_mode="signal")
    template = tmp_path / "data/kernels/beside" / TEMPLATE
    template.parent.mkdir()
    # The other container comes first, so that its process is the older one.
    side = f"  - name: side\n    image: {{{{ kernel_image }}}}\n    command: [python, -c, {json.dumps(SIDE)}]\n"
    template.write_text(f"{POD}spec:\n  containers:\n{side}  - name: kernel\n")
    manager = kernels.start("beside")
    check_interrupted(manager)
    run(manager.signal(signal.SIGINT))
    name = manager.resource.data["pod"]
    pod = in_namespace.api.read_namespaced_pod(name, in_namespace.name)
    assert all(status.state.running for status in pod.status.container_statuses)
    assert in_namespace.api.read_namespaced_pod_log(name, in_namespace.name, container="side") == ""


def test_a_kernel_behind_the_copying_shell_is_interrupted(kernels: Kernels) -> None:
    kernels.add_spec("copied", PYTHON, interrupt_mode="signal", config={"connection_file": "copied"})
    check_interrupted(kernels.start("copied"))


def test_without_a_shell_it_says_what_to_do(kernels: Kernels) -> None:
    kernels.add_spec(
        "bare", PYTHON, interrupt_mode="signal", env=WITHOUT_SHELL, config={"transport_encryption": "disabled"}
    )
    manager = kernels.start("bare")
    with pytest.raises(ClusterError, match="the image needs a shell for it; let the spec say interrupt_mode: message"):
        run(manager.interrupt())
    assert run(manager.is_alive())


@pytest.mark.skipif(bool(FOREIGN), reason="needs an image with our launcher, at an address that sees this host's own")
def test_without_a_shell_its_launcher_takes_signals(kernels: Kernels, in_namespace: Namespace) -> None:
    # A launcher hears nobody but the host to which it reported: here that has to be the address that pods see.
    kernels.start("light")
    (pod,) = in_namespace.api.list_namespaced_pod(in_namespace.name).items
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((pod.status.pod_ip, 1))
        kernels.host.settings.response_ip = probe.getsockname()[0]
    kernels.add_spec(
        "reporting", REPORTING, interrupt_mode="signal", env=WITHOUT_SHELL, config={"handshake": "reported"}
    )
    check_interrupted(kernels.start("reporting"))


def test_a_restart_is_another_pod_of_another_generation(kernels: Kernels, in_namespace: Namespace) -> None:
    old = kernels.start("light")
    (before,) = in_namespace.api.list_namespaced_pod(in_namespace.name).items
    run(old.kill())
    new = kernels.start("light", kernel_id=old.kernel_id, replaces=old)
    (after,) = in_namespace.api.list_namespaced_pod(in_namespace.name).items
    assert after.metadata.name != before.metadata.name
    assert after.metadata.uid == new.resource.id
    label = "remote-kernel-provider/generation"
    assert after.metadata.labels[label] != before.metadata.labels[label]
    assert after.metadata.labels["kernel_id"] == before.metadata.labels["kernel_id"]
    (secret,) = in_namespace.api.list_namespaced_secret(in_namespace.name).items
    assert secret.metadata.owner_references[0].uid == new.resource.id
