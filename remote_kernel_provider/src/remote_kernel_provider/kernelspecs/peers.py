"""The stanzas and names of peers' kernel specs, translated to ours.

Sources: the `metadata.process_proxy` stanza of Enterprise Gateway, `metadata.kernel_provisioner` of Gateway
Provisioners and jupyter_client, and the class names of the kernel providers of 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from remote_kernel_provider.kernelspecs.config_keys import DOCKER, KUBERNETES, LOCAL, SPARK, SWARM

LIFECYCLE_ALIASES: Mapping[str, str] = {
    # Ours, by class.
    "remote_kernel_provider.LocalLifecycleManager": LOCAL,
    "docker_kernel_provider.DockerLifecycleManager": DOCKER,
    "docker_kernel_provider.SwarmLifecycleManager": SWARM,
    "kubernetes_kernel_provider.KubernetesLifecycleManager": KUBERNETES,
    "kubernetes_kernel_provider.SparkOperatorLifecycleManager": SPARK,
    # The kernel providers of 2020.
    "docker_kernel_provider.DockerKernelLifecycleManager": DOCKER,
    "docker_kernel_provider.docker_swarm.DockerKernelLifecycleManager": DOCKER,
    "docker_kernel_provider.DockerSwarmKernelLifecycleManager": SWARM,
    "docker_kernel_provider.docker_swarm.DockerSwarmKernelLifecycleManager": SWARM,
    "kubernetes_kernel_provider.KubernetesKernelLifecycleManager": KUBERNETES,
    "kubernetes_kernel_provider.k8s.KubernetesKernelLifecycleManager": KUBERNETES,
    # Enterprise Gateway.
    "enterprise_gateway.services.processproxies.processproxy.LocalProcessProxy": LOCAL,
    "enterprise_gateway.services.processproxies.docker_swarm.DockerProcessProxy": DOCKER,
    "enterprise_gateway.services.processproxies.docker_swarm.DockerSwarmProcessProxy": SWARM,
    "enterprise_gateway.services.processproxies.k8s.KubernetesProcessProxy": KUBERNETES,
    "enterprise_gateway.services.processproxies.spark_operator.SparkOperatorProcessProxy": SPARK,
    # Provisioners of jupyter_client and of Gateway Provisioners.
    "local-provisioner": LOCAL,
    "docker-provisioner": DOCKER,
    "docker-swarm-provisioner": SWARM,
    "kubernetes-provisioner": KUBERNETES,
    "spark-operator-provisioner": SPARK,
}


class Stanza(NamedTuple):
    """Which lifecycle manager a spec asks for, and where it says so."""

    lifecycle_manager: str
    config: Any
    where: str


def find_stanza(metadata: Mapping[str, Any]) -> Stanza | None:
    """Return the stanza that names a lifecycle manager, ours or a peer's; None when there is none."""
    for key, name in (
        ("lifecycle_manager", "class_name"),
        ("kernel_provisioner", "provisioner_name"),
        ("process_proxy", "class_name"),
    ):
        stanza = metadata.get(key)
        if isinstance(stanza, Mapping) and isinstance(stanza.get(name), str):
            said = stanza[name]
            return Stanza(LIFECYCLE_ALIASES.get(said, said), stanza.get("config", {}), f"metadata.{key}")
    return None
