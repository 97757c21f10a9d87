"""A kernel's pod, and what is created with it: the template's objects with everything of ours laid over them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from kubernetes_kernel_provider.manifests.connection import (
    CONNECTION_FOLDER,
    COPY_FOLDER,
    FILE_NAME,
    copying_command,
    mount_connection,
    owner_reference,
    secret_name,
)
from kubernetes_kernel_provider.manifests.environment import set_command, set_environment
from kubernetes_kernel_provider.manifests.labels import handle_annotation, kernel_annotations, kernel_labels
from kubernetes_kernel_provider.manifests.placement import Placement
from kubernetes_kernel_provider.manifests.requests import set_image, set_metadata, set_resources, set_scheduling
from kubernetes_kernel_provider.manifests.security import check_floor, set_floor, set_user
from kubernetes_kernel_provider.manifests.structures import check_structures
from kubernetes_kernel_provider.manifests.variables import default_image, template_variables
from kubernetes_kernel_provider.manifests.volumes import OUR_PREFIX, add_own, add_volumes
from kubernetes_kernel_provider.template_files import PACKAGED_TEMPLATE, template_file
from kubernetes_kernel_provider.templates import RenderedObject, load_template, render_objects
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.lifecycle import KernelRequest

HOME_FOLDER = "/home/kernel"
"""The home of a kernel whose spec, template and client name none: an empty folder that it can write to."""

OF_THE_CLUSTER = frozenset({
    "APIService", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "Node",
    "PersistentVolume", "PriorityClass", "RuntimeClass", "StorageClass", "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
})  # fmt: skip
"""Kinds that no launch may create, as they belong to no namespace."""


@dataclass(frozen=True)
class KernelManifests:
    """The objects of one launch, in the order in which they are created; the connection Secret comes after the pod.

    Parameters
    ----------
    pod
        Created first, and owner of all others.
    others
        What the template has beside the pod.
    template
        Fingerprint of what an operator wrote; empty for the template that comes with this package.
    """

    pod: RenderedObject
    others: tuple[RenderedObject, ...]
    template: str

    @property
    def name(self) -> str:
        """The pod's name."""
        return str(self.pod.document["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The namespace of all."""
        return str(self.pod.document["metadata"]["namespace"])

    def owned(self, uid: str) -> list[RenderedObject]:
        """Return the others as the cluster takes them, to be removed with the pod.

        Parameters
        ----------
        uid
            Of the pod in the cluster.
        """
        reference = owner_reference(self.name, uid)
        handle = handle_annotation(self.pod.document)
        return [
            replace(
                other,
                document=_with_metadata(
                    other.document,
                    {
                        "ownerReferences": [reference],
                        "annotations": {**other.document["metadata"].get("annotations", {}), **handle},
                    },
                ),
            )
            for other in self.others
        ]


def make_manifests(
    request: KernelRequest,
    placement: Placement,
    settings: RemoteKernelSettings,
    *,
    pod_owners: Sequence[Mapping[str, Any]] = (),
    template: Path | None = None,
) -> KernelManifests:
    """Return the objects of a launch; creates nothing.

    Parameters
    ----------
    request
        The launch.
    placement
        Where the kernel runs.
    settings
        The operator's.
    pod_owners
        Owner references of the pod itself: the host's workload, where the operator wants its kernels to end with it.
    template
        By default the spec's.

    Raises
    ------
    SpecError
        When the template is wrong; names file and line.
    ParameterError
        When a parameter cannot be had; RefusedError, when the operator does not allow it.
    """
    working_dir = _working_dir(request, settings)
    variables = template_variables(request, placement, working_dir)
    file = template or template_file(request.spec)
    compiled = load_template(file)
    rendered = render_objects(compiled, variables)
    pods = [found for found in rendered if found.kind == "Pod"]
    if len(pods) != 1:
        raise SpecError(f"{file}: has {len(pods)} objects of the kind Pod; a kernel needs one")
    name = variables["kernel_pod_name"]
    labels = kernel_labels(request)
    pod = _pod(request, pods[0], name, placement, settings, working_dir)
    if pod_owners:
        pod = replace(pod, document=_with_metadata(pod.document, {"ownerReferences": list(pod_owners)}))
    others = [_other(found, name, placement.namespace, labels) for found in rendered if found is not pods[0]]
    is_ours = compiled.source == load_template(PACKAGED_TEMPLATE).source
    return KernelManifests(pod, tuple(others), "" if is_ours else sha256(compiled.source.encode()).hexdigest())


def kernel_container(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the container of a pod in which the kernel runs: the one called `kernel`, else the first."""
    containers = spec.get("containers", [])
    return next((one for one in containers if one.get("name") == "kernel"), containers[0] if containers else None)


def _pod(
    request: KernelRequest,
    rendered: RenderedObject,
    name: str,
    placement: Placement,
    settings: RemoteKernelSettings,
    working_dir: str | None,
) -> RenderedObject:
    config = request.parameters.config
    metadata = dict(rendered.document.get("metadata", {}))
    metadata.pop("generateName", None)
    spec = dict(rendered.document.get("spec", {}))
    container = kernel_container(spec)
    if container is None:
        raise rendered.error("spec", "has no containers; add the kernel's")
    document = {**rendered.document, "metadata": metadata, "spec": spec}
    annotations = kernel_annotations(request, KUBERNETES, time.time(), placement.written)
    owned = {"labels": kernel_labels(request), "annotations": annotations}
    set_metadata(metadata, config, owned)
    metadata |= {"name": name, "namespace": placement.namespace}
    spec |= {
        "restartPolicy": "Never",
        # As process 1 of its pod, a kernel would ignore signals and outlive its deletion.
        "shareProcessNamespace": True,
        "enableServiceLinks": False,
        "serviceAccountName": placement.service_account,
    }
    spec.setdefault("terminationGracePeriodSeconds", max(1, math.ceil(settings.delete_grace)))
    container.setdefault("name", "kernel")
    set_user(spec, container, config)
    set_image(spec, container, config, default_image(request))
    if not container.get("image"):
        raise rendered.error(
            "spec.containers", f"name no image, and there is no default one for '{request.spec.language}'; name one"
        )
    set_resources(container, config)
    set_scheduling(spec, config)
    if working_dir:
        container["workingDir"] = working_dir
    _set_process(request, document, container)
    add_volumes(spec, container, config, settings)
    check_structures(config)
    set_floor(spec, settings.pod_security)
    prohibited = {
        name: {*getattr(settings, name), *request.spec.config.get(name, ())}
        for name in ("prohibited_uids", "prohibited_gids")
    }
    check_floor(rendered, metadata, spec, settings.pod_security, prohibited)
    return replace(rendered, document=document)


def _set_process(request: KernelRequest, pod: Mapping[str, Any], container: dict[str, Any]) -> None:
    """Give the kernel its connection file, its command, its environment and a home."""
    environment = {**request.spec.env, **request.environment}
    if request.memory is not None:
        mount_connection(pod, container)
        folder = COPY_FOLDER if request.writes_connection_file else CONNECTION_FOLDER
        command = request.command(connection_file=f"{folder}/{FILE_NAME}")
        if request.writes_connection_file:
            command = copying_command(pod, container, command)
    else:
        command = request.command()
    if command:
        set_command(container, command)
    set_environment(container, environment)
    if not any(entry.get("name") == "HOME" for entry in container["env"]):
        add_own(pod["spec"], container, f"{OUR_PREFIX}home", {"emptyDir": {}}, HOME_FOLDER)
        set_environment(container, {"HOME": HOME_FOLDER})


def _other(rendered: RenderedObject, pod: str, namespace: str, labels: Mapping[str, str]) -> RenderedObject:
    """Return an object beside the pod, in the pod's namespace and under a name that no other launch's has."""
    metadata = rendered.document.get("metadata", {})
    name = metadata.get("name", "")
    if rendered.kind in OF_THE_CLUSTER:
        raise rendered.error("kind", f"{rendered.kind} belongs to the whole cluster; create it once, by hand")
    if pod not in name:
        raise rendered.error(
            "metadata.name",
            "must hold {{ kernel_pod_name }}: the object is the kernel's own and removed with it; create by hand what "
            "kernels share",
        )
    if rendered.kind == "Secret" and name == secret_name(pod):
        raise rendered.error("metadata.name", "is that of the connection Secret; choose another")
    own = {"namespace": namespace, "labels": {**metadata.get("labels", {}), **labels}}
    return replace(rendered, document=_with_metadata(rendered.document, own))


def _working_dir(request: KernelRequest, settings: RemoteKernelSettings) -> str | None:
    """Return where the kernel runs: as its client says only where both sides have the same folders."""
    if settings.mirror_working_dirs:
        return request.parameters.working_dir
    said = request.spec.config.get("working_dir")
    return str(said) if said else None


def _with_metadata(document: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], **added}}
