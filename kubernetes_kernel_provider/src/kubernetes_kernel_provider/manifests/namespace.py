"""The namespace that one kernel has to itself, and what is made in it before the kernel's pod."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubernetes_kernel_provider.manifests.kernel import OF_THE_CLUSTER
from kubernetes_kernel_provider.manifests.labels import is_ours, kernel_annotations, namespace_labels
from kubernetes_kernel_provider.manifests.placement import HostAccount, Placement
from kubernetes_kernel_provider.manifests.variables import template_variables
from kubernetes_kernel_provider.template_files import NAMESPACE_TEMPLATE
from kubernetes_kernel_provider.templates import RenderedObject, load_template, render_objects
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import KernelRequest


@dataclass(frozen=True)
class NamespaceManifests:
    """A namespace and its objects.

    Parameters
    ----------
    namespace
        Created first.
    others
        What is created in it.
    """

    namespace: RenderedObject
    others: tuple[RenderedObject, ...]

    @property
    def name(self) -> str:
        """The namespace's name."""
        return str(self.namespace.document["metadata"]["name"])


def make_namespace(
    request: KernelRequest, placement: Placement, settings: RemoteKernelSettings, host: HostAccount
) -> NamespaceManifests:
    """Return the namespace of a launch that has one to itself; creates nothing.

    Raises
    ------
    SpecError
        When the template is wrong; names file and line.
    """
    file = Path(settings.namespace_template) if settings.namespace_template else NAMESPACE_TEMPLATE
    variables = template_variables(request, placement, None) | {"pod_security": settings.pod_security}
    if settings.kernel_cluster_role:
        variables["kernel_cluster_role"] = settings.kernel_cluster_role
    if host.service_account:
        variables |= {"host_namespace": host.namespace, "host_service_account": host.service_account}
    rendered = render_objects(load_template(file), variables)
    namespaces = [found for found in rendered if found.kind == "Namespace"]
    if len(namespaces) != 1:
        raise SpecError(f"{file}: has {len(namespaces)} objects of the kind Namespace; a kernel needs one")
    labels = namespace_labels(request)
    annotations = kernel_annotations(request, KUBERNETES, time.time(), placement.written)
    others = [_in_namespace(found, placement.namespace, labels) for found in rendered if found is not namespaces[0]]
    namespace = _overlaid(namespaces[0], {"name": placement.namespace}, labels, annotations)
    return NamespaceManifests(namespace, tuple(others))


def _in_namespace(rendered: RenderedObject, namespace: str, labels: Mapping[str, str]) -> RenderedObject:
    if rendered.kind in OF_THE_CLUSTER:
        raise rendered.error("kind", f"{rendered.kind} belongs to the whole cluster; create it once, by hand")
    return _overlaid(rendered, {"namespace": namespace}, labels, {})


def _overlaid(
    rendered: RenderedObject, own: Mapping[str, str], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> RenderedObject:
    """Return an object with our metadata laid over its own."""
    metadata: dict[str, Any] = dict(rendered.document.get("metadata", {}))
    for part, ours in (("labels", labels), ("annotations", annotations)):
        theirs = {name: value for name, value in metadata.get(part, {}).items() if not is_ours(name)}
        metadata[part] = {**theirs, **ours}
    return replace(rendered, document={**rendered.document, "metadata": {**metadata, **own}})
