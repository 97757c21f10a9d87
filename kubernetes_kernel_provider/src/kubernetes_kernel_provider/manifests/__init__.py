"""From a launch's request to the objects of a cluster: pure functions, nothing is sent anywhere."""

from kubernetes_kernel_provider.manifests.connection import connection_secret, kept_memory, secret_name
from kubernetes_kernel_provider.manifests.kernel import KernelManifests, make_manifests
from kubernetes_kernel_provider.manifests.labels import owner_labels, resource_of
from kubernetes_kernel_provider.manifests.namespace import NamespaceManifests, make_namespace
from kubernetes_kernel_provider.manifests.placement import HostAccount, Placement, place
from kubernetes_kernel_provider.manifests.printing import to_yaml

__all__ = [
    "HostAccount",
    "KernelManifests",
    "NamespaceManifests",
    "Placement",
    "connection_secret",
    "kept_memory",
    "make_manifests",
    "make_namespace",
    "owner_labels",
    "place",
    "resource_of",
    "secret_name",
    "to_yaml",
]
