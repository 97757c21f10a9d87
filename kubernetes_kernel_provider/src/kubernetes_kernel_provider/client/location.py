"""Which kubeconfig is meant, by the standard library alone: who has no cluster waits for no client of one."""

from __future__ import annotations

import os
from pathlib import Path

from remote_kernel_provider.errors import ConfigurationError

DEFAULT_KUBECONFIG = "~/.kube/config"


class NoClusterError(ConfigurationError):
    """Nothing says which cluster is meant: there is neither a kubeconfig nor a pod around this host."""


def find_kubeconfig() -> str:
    """Return the paths that `kubectl` would read: `$KUBECONFIG`, or `~/.kube/config`; empty in a pod without them.

    Raises
    ------
    NoClusterError
        When there is neither.
    """
    paths = os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG
    if any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path):
        return paths
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
        return ""
    raise NoClusterError(f"there is no cluster to run kernels on: no kubeconfig at {paths}; set KUBECONFIG")
