"""From what an API server says of an object to the template's line."""

from __future__ import annotations

import re

from kubernetes_kernel_provider.templates.composing import RenderedObject

_FIELD = r"[a-z]\w*(?:\.[\w/-]+|\[[^\]\s]*\])*"
_FIRST_FAULT = re.compile(rf'(?:unknown|duplicate) field "({_FIELD})"|(?:is invalid: \[?|^)({_FIELD}): ')


def located(rendered: RenderedObject, message: str) -> str:
    """Return an API server's message with the template's line of the field that it finds fault with.

    Parameters
    ----------
    rendered
        The object that was refused.
    message
        Of a refusal with the code 400 or 422, as the API server writes it.

    Returns
    -------
    str
        The message as it is, where it names no field.
    """
    match = _FIRST_FAULT.search(message)
    if match is None:
        return message
    return f"{message} ({rendered.file}, line {rendered.line_of(match[1] or match[2])})"
