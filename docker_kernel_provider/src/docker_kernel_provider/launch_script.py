"""Specs of the gateway family, whose command is a script of the host: what it would do is done without it.

The script `launch_docker.py` is told by options and by the environment what to create, and creates a container or a
service that runs the image's own command. Here both are read as a spec's `config`, so that defaults, policy and the
client's parameters apply as everywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from docker_kernel_provider.mounts import parse_mounts
from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.config_keys import BY_NAME
from remote_kernel_provider.kernelspecs.spec import KernelSpec

SCRIPT = "launch_docker.py"
_PREFIXES = ("--", "--RemoteProcessProxy.")
_OPTIONS: Mapping[str, str] = {
    "port-range": "port_range",
    "spark-context-initialization-mode": "spark_context_init_mode",
    "kernel-class-name": "class_name",
    "transport-encryption": "transport_encryption",
}
"""What the script's options are called in a spec's `config`."""
_OF_EACH_LAUNCH = ("kernel-id", "response-address", "public-key")
"""Its other options, whose values no spec can know."""
_VARIABLES: Mapping[str, str] = {
    "EG_DOCKER_NETWORK": "networks",
    "DOCKER_NETWORK": "networks",
    "KERNEL_IMAGE": "image_name",
    "KERNEL_UID": "uid",
    "KERNEL_GID": "gid",
    "KERNEL_WORKING_DIR": "working_dir",
    "KERNEL_SPARK_CONTEXT_INIT_MODE": "spark_context_init_mode",
    "KERNEL_CLASS_NAME": "class_name",
}
"""What the script takes from its environment; it beats options, and a later line the one before."""
_HOSTS_FOLDERS = ("{resource_dir}/", "/jupyter/kernels/")
"""What is in the path of a file that lies beside a spec."""


def without_script(spec: KernelSpec) -> KernelSpec:
    """Return a spec as it is launched here: with the image's own command in place of the script.

    Raises
    ------
    SpecError
        When its command is another script of the host, or its script is told what nobody here knows.
    """
    if spec.handshake != "reported":
        return spec
    place = next((place for place, word in enumerate(spec.argv) if PurePath(word).name == SCRIPT), None)
    if place is None:
        _refuse_other(spec)
        return spec
    said = {"spark_context_init_mode": "none", **_options(spec, place + 1), **spec.config, **_environment(spec)}
    return replace(spec, argv=(), config=said)


def _refuse_other(spec: KernelSpec) -> None:
    mounted = [mount.target for mount in parse_mounts(spec.config.get("volumes", ()))]
    for word in spec.argv:
        path = PurePath(word.replace("{resource_dir}", str(spec.resource_dir)))
        of_host = any(folder in word for folder in _HOSTS_FOLDERS) or spec.resource_dir in path.parents
        if of_host and not any(path.is_relative_to(target) for target in mounted):
            raise SpecError(
                f"{spec.file}: argv runs '{word}' on the host, and of such scripts only {SCRIPT} is known; name the "
                "launcher in the image instead, or leave argv empty for the image's own command, and say in config "
                "what the script is there for"
            )


def _options(spec: KernelSpec, start: int) -> dict[str, Any]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in (*_OPTIONS, *_OF_EACH_LAUNCH):
        parser.add_argument(*(f"{prefix}{name}" for prefix in _PREFIXES), dest=name, nargs="?")
    known, unknown = parser.parse_known_args(spec.argv[start:])
    if unknown:
        raise SpecError(
            f"{spec.file}: argv gives {SCRIPT} '{unknown[0]}', which it does not have here; leave it out, or say in "
            "config what it is there for"
        )
    # A placeholder stands for what the launch tells the launcher anyway.
    said = {name: value for name, value in vars(known).items() if value and "{" not in value and name in _OPTIONS}
    return dict(_read(spec, "argv", said, _OPTIONS))


def _environment(spec: KernelSpec) -> dict[str, Any]:
    return dict(_read(spec, "env", {name: spec.env[name] for name in _VARIABLES if name in spec.env}, _VARIABLES))


def _read(spec: KernelSpec, where: str, said: Mapping[str, str], keys: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, value in said.items():
        try:
            yield keys[name], BY_NAME[keys[name]].read(value)
        except ValueError as error:
            raise SpecError(f"{spec.file}: {where} says {name} '{value}'; expected {error}") from None
