"""From what an API server says of an object to the template's line."""

from __future__ import annotations

import re

from kubernetes_kernel_provider.templates.rendered import RenderedObject

_FIELD = r"[a-z]\w*(?:\.[\w/-]+|\[[^\]\s]*\])*"
_FIRST_FAULT = re.compile(rf'(?:unknown|duplicate) field "({_FIELD})"|(?:is invalid: \[?|^)({_FIELD}): ')


def located(rendered: RenderedObject, message: str) -> str:
    """Return an API server's message with the template's line of the field that it finds fault with.

    Parameters
    ----------
    rendered
        The object that was refused.
    message
        Of a refusal with the code 400 or 422, as the API server writes it. Where it names no field, the line is that on
        which the object begins.

    Returns
    -------
    str
        The message as it is, where it is of a part of the pod that comes from a parameter.
    """
    match = _FIRST_FAULT.search(message)
    field = (match[1] or match[2]) if match else ""
    if rendered.kind == "Pod" and not rendered.says(field):
        return message
    return f"{rendered.file}, line {rendered.line_of(field)}: {message}"
