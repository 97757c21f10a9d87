"""Rendering a template whose text the test writes."""

from __future__ import annotations

from typing import Any

from kubernetes_kernel_provider.templates import CompiledTemplate, render_objects
from kubernetes_kernel_provider.templates.rendered import RenderedObject

HEAD = "apiVersion: v1\nkind: ConfigMap\n"
POD = "apiVersion: v1\nkind: Pod\n"


def render(source: str, **variables: object) -> list[RenderedObject]:
    """Return the objects of a template that is called t.j2."""
    return render_objects(CompiledTemplate(source, "t.j2"), variables)


def one(source: str, **variables: object) -> Any:
    """Return the document of the only object."""
    (found,) = render(source, **variables)
    return found.document
