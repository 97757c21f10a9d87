"""The two files of an installed spec, made from one frozen value so that they cannot drift apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, ConfigKey
from remote_kernel_provider.kernelspecs.peers import LIFECYCLE_ALIASES
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import stanza_for, with_schema

BRIDGE = "remote_kernel_provider.jupyter.bridge"
"""Module that stands in for the kernel's command wherever a client ignores provisioners."""

STANZAS = ("lifecycle_manager", "kernel_provisioner", "process_proxy")
"""Entries of `metadata` that say who runs a kernel; each file gets its own and inherits none."""


def _no_fault(spec: KernelSpec) -> str:
    return ""


@dataclass(frozen=True)
class SpecKind:
    """What distinguishes one provider's specs from another's.

    Parameters
    ----------
    provider_id
        Prefix of its kernels' names.
    spec_file
        Name of its spec files.
    lifecycle_class
        `class_name` that its specs name.
    command
        The command behind `jupyter`, such as `local-kernelspec`.
    config_keys
        The keys that a spec's `config` may have.
    find_fault
        Says in a sentence what would keep a valid spec from being launched here; empty = nothing.
    """

    provider_id: str
    spec_file: str
    lifecycle_class: str
    command: str
    config_keys: Sequence[ConfigKey] = CONFIG_KEYS
    find_fault: Callable[[KernelSpec], str] = _no_fault

    @property
    def lifecycle_manager(self) -> str:
        """The entry point that `lifecycle_class` means."""
        return LIFECYCLE_ALIASES.get(self.lifecycle_class, self.lifecycle_class)

    def kernel(self, name: str) -> str:
        """Return the full name of a spec's kernel."""
        return f"{self.provider_id}/{name}"


@dataclass(frozen=True)
class NewSpec:
    """What is to be installed.

    Parameters
    ----------
    kernel_name
        Name of the folder.
    display_name, language, argv, env, interrupt_mode
        As in a spec file.
    metadata
        The kernel's own, without the stanzas that say who runs it.
    config
        What was chosen of the lifecycle manager's `config`.
    files
        More files of the folder, by their path in it: logos, scripts. They replace those of an earlier install.
    editable_files
        Files that the user may edit, templates say: a replaced folder's own are kept.
    lifecycle_class
        Where it is not the kind's.
    """

    kernel_name: str
    display_name: str
    language: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    interrupt_mode: str = "signal"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    editable_files: Mapping[str, bytes] = field(default_factory=dict)
    lifecycle_class: str = ""

    @classmethod
    def of(cls, spec: KernelSpec) -> NewSpec:
        """Return what would have to be installed to get a spec that is there, its other files aside."""
        return cls(
            kernel_name=spec.name,
            display_name=spec.display_name,
            language=spec.language,
            argv=spec.argv,
            env=spec.env,
            interrupt_mode=spec.interrupt_mode,
            metadata=without_stanzas(spec.metadata),
        )


def without_stanzas(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kernel's own metadata: all but who runs it."""
    return {name: value for name, value in metadata.items() if name not in STANZAS}


def provider_document(spec: NewSpec, kind: SpecKind) -> dict[str, Any]:
    """Return the content of the provider's spec file."""
    lifecycle = {"class_name": spec.lifecycle_class or kind.lifecycle_class, "config": dict(spec.config)}
    return {
        "display_name": spec.display_name,
        "language": spec.language,
        "argv": list(spec.argv),
        "env": dict(spec.env),
        "interrupt_mode": spec.interrupt_mode,
        "metadata": {**spec.metadata, "lifecycle_manager": lifecycle},
    }


def stock_document(spec: NewSpec, kind: SpecKind) -> dict[str, Any]:
    """Return the content of `kernel.json`, by which stock Jupyter lists the kernel and finds its way to ours."""
    return document_of_kernel(spec, kind.kernel(spec.kernel_name))


def document_of_kernel(spec: NewSpec, kernel: str) -> dict[str, Any]:
    """Return the spec by which stock Jupyter runs a provider's kernel.

    Its `argv` is the bridge, never the kernel's own command: clients that ignore provisioners would run that one here.
    Its `env` stays empty: it would reach the host's process, not the kernel.

    Parameters
    ----------
    spec
        What it looks like.
    kernel
        `provider/name`.
    """
    return {
        "display_name": spec.display_name,
        "language": spec.language,
        "argv": [sys.executable, "-m", BRIDGE, "--kernel", kernel, "-f", "{connection_file}"],
        "interrupt_mode": spec.interrupt_mode,
        "metadata": {**with_schema(spec.metadata), "kernel_provisioner": stanza_for(kernel)},
    }


def to_text(document: Mapping[str, Any]) -> str:
    """Return a document as the text of its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
