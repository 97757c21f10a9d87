"""The contract of all backends, over pods."""

from pathlib import Path

import pytest
from cluster.fixtures import FOREIGN, IMAGE, LIGHT, ClusterUnderTest, Namespace

from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.testing.contract import LifecycleContract
from remote_kernel_provider.testing.kernels import Kernels


@pytest.mark.slow
class TestKubernetes(LifecycleContract):
    provider_class = KubernetesKernelProvider
    config = {"image_name": IMAGE}
    light = LIGHT
    reported = None if FOREIGN else (
        "python", "-m", "kernel_launchers.python",
        "--kernel-id", "{kernel_id}", "--port-range", "{port_range}",
        "--response-address", "{response_address}", "--public-key", "{public_key}",
        "--transport-encryption", "{transport_encryption}",
    )  # fmt: skip
    # The kubelet looks at the containers once a second.
    end_is_noticed_within = 8.0
    failure_is_noticed_within = 20.0
    cancelled_after = (0.0, 0.05, 0.1, 0.3, 0.6, 1.0, 1.5, 2.5)
    crowd_size, parallel = 8, 4

    @pytest.fixture(autouse=True)
    def in_a_namespace(
        self,
        jupyter_folders: Path,
        cluster: ClusterUnderTest,
        namespace: Namespace,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        monkeypatch.setenv("RKP_NAMESPACE", namespace.name)
        self._namespace = namespace

    def leftovers(self, kernels: Kernels) -> list[str]:
        return super().leftovers(kernels) + self._namespace.objects()
