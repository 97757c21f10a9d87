"""Where the files are that stand in the folder `scripts` of a spec."""

from __future__ import annotations

from pathlib import Path

from remote_kernel_provider.kernelspecs.spec import KernelSpec

TEMPLATE = "scripts/kernel-pod.yaml.j2"
"""Its place in a spec's folder."""

PACKAGED_TEMPLATE = Path(__file__).parent / "resources" / "kernel-pod.yaml.j2"
"""The one that new specs get a copy of."""

NAMESPACE_TEMPLATE = PACKAGED_TEMPLATE.with_name("kernel-namespace.yaml.j2")
"""Of the namespaces that kernels have to themselves, unless the operator names another."""

SCRIPT = "scripts/launch_kubernetes.py"
"""Where the gateway family's specs have what creates the pod."""

PACKAGED_SCRIPT = PACKAGED_TEMPLATE.with_name("launch_kubernetes.py")
"""What is copied there."""


def template_file(spec: KernelSpec) -> Path:
    """Return the template of a spec: the one beside it, else the one that comes with this package."""
    own = spec.resource_dir / TEMPLATE
    return own if own.is_file() else PACKAGED_TEMPLATE
