"""Templates of Kubernetes objects: Jinja in which a printed value is data and can never become structure."""

from typing import TYPE_CHECKING

from kubernetes_kernel_provider.templates.refusals import located
from kubernetes_kernel_provider.templates.rendered import RenderedObject
from kubernetes_kernel_provider.templates.rendering import load_template, render_objects

if TYPE_CHECKING:
    from kubernetes_kernel_provider.templates.compiling import CompiledTemplate

__all__ = ["CompiledTemplate", "RenderedObject", "load_template", "located", "render_objects"]


def __getattr__(name: str) -> object:
    if name == "CompiledTemplate":  # with Jinja, for whoever asks for it
        from kubernetes_kernel_provider.templates.compiling import CompiledTemplate

        return CompiledTemplate
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
