"""Specs of the gateway family, whose command is a script of the host: what it would do is done without it.

Such a script is told by options and by the environment what to create, and that runs the image's own command. Here both
are read as a spec's `config`, so that defaults, policy and the client's parameters apply as everywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.config_keys import BY_NAME
from remote_kernel_provider.kernelspecs.spec import KernelSpec

_PREFIXES = ("--", "--RemoteProcessProxy.")
_OPTIONS: Mapping[str, str] = {
    "port-range": "port_range",
    "spark-context-initialization-mode": "spark_context_init_mode",
    "kernel-class-name": "class_name",
    "transport-encryption": "transport_encryption",
}
"""What the scripts' options are called in a spec's `config`."""
_OF_EACH_LAUNCH = ("kernel-id", "response-address", "public-key")
"""Their other options, whose values no spec can know."""
_HOSTS_FOLDERS = ("{resource_dir}/", "/jupyter/kernels/")
"""What is in the path of a file that lies beside a spec."""


@dataclass(frozen=True)
class HostScript:
    """A script of the host that one backend's specs of the gateway family run.

    Parameters
    ----------
    name
        Of its file.
    variables
        What it takes from its environment, by the keys of a spec's `config`; a later one beats the one before.
    mounted
        Returns where the `config` of a spec mounts something in the image.
    """

    name: str
    variables: Mapping[str, str]
    mounted: Callable[[Mapping[str, Any]], Iterable[str]]

    def left_out(self, spec: KernelSpec) -> KernelSpec:
        """Return a spec as it is launched here: with the image's own command in place of the script.

        Raises
        ------
        SpecError
            When its command is another script of the host, or its script is told what nobody here knows.
        """
        if spec.handshake != "reported":
            return spec
        place = next((place for place, word in enumerate(spec.argv) if PurePath(word).name == self.name), None)
        if place is None:
            self._refuse_other(spec)
            return spec
        options, environment = self._options(spec, place + 1), self._environment(spec)
        said = {"spark_context_init_mode": "none", **options, **spec.config, **environment}
        return replace(spec, argv=(), config=said)

    def _refuse_other(self, spec: KernelSpec) -> None:
        mounted = list(self.mounted(spec.config))
        for word in spec.argv:
            path = PurePath(word.replace("{resource_dir}", str(spec.resource_dir)))
            of_host = any(folder in word for folder in _HOSTS_FOLDERS) or spec.resource_dir in path.parents
            if of_host and not any(path.is_relative_to(target) for target in mounted):
                raise SpecError(
                    f"{spec.file}: argv runs '{word}' on the host, and of such scripts only {self.name} is known; name "
                    "the launcher in the image instead, or leave argv empty for the image's own command, and say in "
                    "config what the script is there for"
                )

    def _options(self, spec: KernelSpec, start: int) -> dict[str, Any]:
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        for name in (*_OPTIONS, *_OF_EACH_LAUNCH):
            parser.add_argument(*(f"{prefix}{name}" for prefix in _PREFIXES), dest=name, nargs="?")
        known, unknown = parser.parse_known_args(spec.argv[start:])
        if unknown:
            raise SpecError(
                f"{spec.file}: argv gives {self.name} '{unknown[0]}', of which a launch here knows nothing; leave it "
                "out, or say in config what it is there for"
            )
        # A placeholder stands for what the launch tells the launcher anyway.
        said = {name: value for name, value in vars(known).items() if value and "{" not in value and name in _OPTIONS}
        return dict(_read(spec, "argv", said, _OPTIONS))

    def _environment(self, spec: KernelSpec) -> dict[str, Any]:
        said = {name: spec.env[name] for name in self.variables if name in spec.env}
        return dict(_read(spec, "env", said, self.variables))


def _read(spec: KernelSpec, where: str, said: Mapping[str, str], keys: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, value in said.items():
        try:
            yield keys[name], BY_NAME[keys[name]].read(value)
        except ValueError as error:
            raise SpecError(f"{spec.file}: {where} says {name} '{value}'; expected {error}") from None
