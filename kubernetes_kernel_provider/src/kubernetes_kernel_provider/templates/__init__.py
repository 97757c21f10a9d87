"""Templates of Kubernetes objects: Jinja in which a printed value is data and can never become structure."""

from kubernetes_kernel_provider.templates.compiling import CompiledTemplate
from kubernetes_kernel_provider.templates.refusals import located
from kubernetes_kernel_provider.templates.rendered import RenderedObject
from kubernetes_kernel_provider.templates.rendering import load_template, render_objects

__all__ = ["CompiledTemplate", "RenderedObject", "load_template", "located", "render_objects"]
