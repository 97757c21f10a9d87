"""`install` for kernels in containers: an image and a command per language, none of which has to be said."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from pathlib import Path

from traitlets import Bool, Unicode, validate

from remote_kernel_provider.configuration import environment_names
from remote_kernel_provider.kernelspecs.installer.command_line import UsageError
from remote_kernel_provider.kernelspecs.installer.documents import NewSpec
from remote_kernel_provider.kernelspecs.installer.image_kernels import (
    IMAGE_KERNELS,
    TENSORFLOW_IMAGE,
    ImageKernel,
    image_kernel,
)
from remote_kernel_provider.kernelspecs.installer.install import SpecInstall

_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_NAMES_OF_IMAGE = environment_names("image_name")


class ContainerSpecInstall(SpecInstall):
    """Installs a kernel that runs in an image.

    The base of the installers for engines and clusters; a subclass says which.
    """

    image_name = Unicode(
        "",
        help=f"""Image of the kernel; unless given, that of the environment ({", ".join(_NAMES_OF_IMAGE)}), else the
        language's image of Jupyter's Docker stacks.""",
    ).tag(config=True, option=True)
    language = Unicode(
        "python", help="Language of the kernel: Python or R; any other with --image-name and --kernel-command."
    ).tag(config=True, option=True)
    tensorflow = Bool(False, help="Take an image with Tensorflow, unless --image-name names one.").tag(
        config=True, option=True
    )
    ipykernel_subclass_name = Unicode(
        "", help="Dotted name of the subclass of ipykernel's kernel that is run; for Python alone."
    ).tag(config=True, option=True)
    curve = Bool(
        False,
        help="Encrypt the kernel's channels: the image's kernel takes CURVE keys, as ipykernel 7.3 and later do.",
    ).tag(config=True, option=True)

    @property
    @abstractmethod
    def place(self) -> str:
        """Where its kernels run, in words: `Docker Swarm` makes `docker_swarm_python`, 'Docker Swarm Python'."""

    @validate("language")
    def _spell(self, proposal: dict[str, str]) -> str:
        return image_kernel(proposal["value"]).language

    def default_spec(self) -> NewSpec:
        """Return the language's kernel in the language's image.

        Raises
        ------
        UsageError
            When options contradict each other, or leave the image or the command open.
        """
        kernel = image_kernel(self.language)
        if kernel.language != "python" and (self.tensorflow or self.ipykernel_subclass_name):
            option = "--tensorflow" if self.tensorflow else "--ipykernel-subclass-name"
            raise UsageError(f"{option} is for Python, not for {kernel.label}; leave it out")
        config = {"image_name": self._image(kernel)}
        argv = self._argv(kernel)
        if self.ipykernel_subclass_name:
            if argv:
                argv = (*argv, f"--IPKernelApp.kernel_class={self._subclass()}")
            else:
                config["class_name"] = self._subclass()
        words = [self.place, kernel.label, *(["Tensorflow"] if self.tensorflow else [])]
        return NewSpec(
            kernel_name=re.sub(r"[^a-z0-9._-]+", "_", "_".join(words).lower()),
            display_name=" ".join(words),
            language=kernel.language,
            argv=argv,
            interrupt_mode=kernel.interrupt_mode,
            metadata={**kernel.metadata, **({"supported_encryption": ["curve"]} if self.curve else {})},
            config=config,
            files=kernel.logos(),
        )

    def report(self, spec: NewSpec, folder: Path) -> None:
        """Say where the spec is, and that others can read what goes between notebook and kernel, where they can."""
        super().report(spec, folder)
        if not self.curve and self.handshake != "reported":
            print(
                "Its channels are signed and not encrypted; say --curve if the image's kernel takes CURVE keys, as "
                "ipykernel 7.3 and later do"
            )

    def _image(self, kernel: ImageKernel) -> str:
        named = self.image_name or next((os.environ[name] for name in _NAMES_OF_IMAGE if os.environ.get(name)), "")
        if named:
            return named
        if self.handshake == "reported":
            raise UsageError(
                "--handshake reported needs an image with a launcher in it, which the default images have not; name "
                "one with --image-name"
            )
        image = TENSORFLOW_IMAGE if self.tensorflow else kernel.image
        if not image:
            known = ", ".join(other.label for other in IMAGE_KERNELS.values() if other.image)
            raise UsageError(
                f"there is no default image for the language '{self.language}' (there are for {known}); name one with "
                "--image-name, and its kernel's command with --kernel-command"
            )
        return image

    def _argv(self, kernel: ImageKernel) -> tuple[str, ...]:
        if self.handshake == "reported":
            return ()
        if not kernel.argv and not self.kernel_command:
            raise UsageError(
                f"the command of a {kernel.label} kernel is not known; give it with --kernel-command, or say "
                "--handshake reported if the image's own command is a launcher"
            )
        return kernel.argv

    def _subclass(self) -> str:
        if not _DOTTED_NAME.fullmatch(self.ipykernel_subclass_name):
            raise UsageError(
                f"--ipykernel-subclass-name is '{self.ipykernel_subclass_name}'; expected a dotted name, such as "
                "ipykernel.ipkernel.IPythonKernel"
            )
        if self.kernel_command:
            raise UsageError("--ipykernel-subclass-name has no effect on --kernel-command; name the class in it")
        return self.ipykernel_subclass_name
