"""The kernels that images hold, by language: which image is taken, and which command starts the kernel in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

_STACKS = "quay.io/jupyter"
_TAG = "2026-09-01"

PYTHON_IMAGE = f"{_STACKS}/base-notebook:{_TAG}"
"""Of Jupyter's Docker stacks, unmodified; it runs as 1000:100."""

R_IMAGE = f"{_STACKS}/r-notebook:{_TAG}"
"""The same with R."""

TENSORFLOW_IMAGE = f"{_STACKS}/tensorflow-notebook:{_TAG}"
"""The same with Python and Tensorflow."""


@dataclass(frozen=True)
class ImageKernel:
    """What a language's kernel is in any image, unless an option says otherwise.

    Parameters
    ----------
    language
        As kernel specs spell it.
    label
        As people do.
    image
        Taken when none is named; empty = one has to be named.
    argv
        The command that starts it with a connection file; empty = it has to be given.
    interrupt_mode, metadata
        As in a kernel spec.
    """

    language: str
    label: str
    image: str = ""
    argv: tuple[str, ...] = ()
    interrupt_mode: str = "signal"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def logos(self) -> dict[str, bytes]:
        """Return its logos by file name; none for a language that we do not know."""
        logo = files(__package__) / "logos" / f"{self.language.lower()}-64x64.png"
        return {"logo-64x64.png": logo.read_bytes()} if logo.is_file() else {}


IMAGE_KERNELS: Mapping[str, ImageKernel] = {
    "python": ImageKernel(
        language="python",
        label="Python",
        image=PYTHON_IMAGE,
        argv=("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"),
        interrupt_mode="message",
        metadata={"debugger": True},
    ),
    "r": ImageKernel(
        language="R",
        label="R",
        image=R_IMAGE,
        argv=("R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"),
    ),
    "scala": ImageKernel(language="scala", label="Scala"),
}
"""By language in small letters."""


def image_kernel(language: str) -> ImageKernel:
    """Return what is known of a language's kernels; of a language without an entry, its name."""
    return IMAGE_KERNELS.get(language.lower(), ImageKernel(language, language[:1].upper() + language[1:]))
