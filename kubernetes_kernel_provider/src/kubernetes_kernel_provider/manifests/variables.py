"""The names that a template can print."""

from __future__ import annotations

from typing import Any

from kubernetes_kernel_provider.manifests.placement import Placement
from kubernetes_kernel_provider.manifests.security import DEFAULT_GROUP, DEFAULT_USER, IMAGES_USER
from kubernetes_kernel_provider.names import DEFAULT_POD_NAME, pod_name
from remote_kernel_provider.kernelspecs.config_keys import BY_PARAMETER
from remote_kernel_provider.lifecycle import KernelRequest


def template_variables(request: KernelRequest, placement: Placement, working_dir: str | None) -> dict[str, Any]:
    """Return the names of a launch and their values.

    Each `KERNEL_…` of the kernel's environment is there in lower case, as text; parameters of the shared table have
    their types.

    Raises
    ------
    ParameterError
        When the parameter `pod_name` cannot be filled in.
    """
    config = request.parameters.config
    texts = {name.lower(): value for name, value in request.environment.items() if name.startswith("KERNEL_")}
    # Where the image decides, or the host's folders are not the kernel's, a template has nothing to print.
    for name in ("kernel_uid", "kernel_gid", "kernel_working_dir"):
        texts.pop(name, None)
    image = default_image(request)
    texts |= {
        "kernel_namespace": placement.namespace,
        "kernel_service_account_name": placement.service_account,
        **({"kernel_image": image} if image else {}),
        **({"kernel_working_dir": working_dir} if working_dir else {}),
    }
    typed: dict[str, Any] = {
        f"kernel_{key.parameter}": list(config[key.name]) if isinstance(config[key.name], tuple) else config[key.name]
        for key in BY_PARAMETER.values()
        if key.name in config and not isinstance(config[key.name], str)
    }
    if config.get("uid") == IMAGES_USER:
        typed.pop("kernel_gid", None)
    else:
        typed = {"kernel_uid": DEFAULT_USER, "kernel_gid": DEFAULT_GROUP, **typed}
    name = pod_name(str(config.get("pod_name", DEFAULT_POD_NAME)), texts, request.generation)
    return {**texts, **typed, "kernel_pod_name": name}


def default_image(request: KernelRequest) -> str:
    """Return the image that the parameters name, else that of the kernel's language; empty where there is none."""
    if named := str(request.parameters.config.get("image_name", "")):
        return named
    # Imported here: with it comes the whole installer, and most specs name their image.
    from remote_kernel_provider.kernelspecs.installer.image_kernels import image_kernel

    return image_kernel(request.spec.language).image
