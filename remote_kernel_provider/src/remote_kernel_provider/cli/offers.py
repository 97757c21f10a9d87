"""The kernels that the installed providers offer, and which of them a user or a notebook means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remote_kernel_provider.cli.failures import UsageError
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.kernel_mgmt import KernelFinder
from remote_kernel_provider.kernelspecs.config_keys import nearest
from remote_kernel_provider.provider import RemoteKernelProvider

DEFAULT = "local/python3"
"""The kernel of who names none, if it is there."""


@dataclass(frozen=True)
class Offer:
    """A kernel that a provider offers.

    Parameters
    ----------
    name
        `provider/kernel`.
    display_name, language
        As its spec says.
    where
        Its lifecycle manager; empty for a provider that is not one of ours.
    resource_dir
        Folder of its spec.
    parameters
        JSON Schema of its launch parameters, or None.
    """

    name: str
    display_name: str
    language: str
    where: str
    resource_dir: str
    parameters: Mapping[str, Any] | None

    @property
    def spec_name(self) -> str:
        """The name without its provider: what stock Jupyter calls it."""
        return self.name.partition("/")[2]


def offers() -> list[Offer]:
    """List the kernels of all installed providers.

    Raises
    ------
    ConfigurationError
        When the settings cannot be read: no provider of ours could list anything.
    """
    load_settings()
    return list(_offers(KernelFinder.from_entrypoints()))


def _offers(finder: KernelFinder) -> Iterator[Offer]:
    ours = {provider.id: provider for provider in finder.providers if isinstance(provider, RemoteKernelProvider)}
    lifecycles: dict[str, dict[str, str]] = {}
    for name, attributes in finder.find_kernels():
        provider_id, _, kernel = name.partition("/")
        if provider_id in ours and provider_id not in lifecycles:
            specs = ours[provider_id].specs()
            lifecycles[provider_id] = {name: spec.lifecycle_manager for name, spec in specs.items()}
        known = lifecycles.get(provider_id, {})
        yield Offer(
            name=name,
            display_name=str(attributes.get("display_name", kernel)),
            language=str(attributes.get("language_info", {}).get("name", "")),
            # A profile's name is its spec's with a suffix.
            where=known.get(kernel) or known.get(kernel.rpartition(".")[0], ""),
            resource_dir=str(attributes.get("resource_dir", "")),
            parameters=attributes.get("metadata", {}).get("launch_parameter_schema"),
        )


def launchable() -> list[Offer]:
    """List the kernels that the provisioner can launch: those of our providers."""
    return [offer for offer in offers() if offer.where]


def named(name: str, kernels: Sequence[Offer]) -> Offer:
    """Return the kernel of a name: `provider/kernel`, `kernel` alone, or stock Jupyter's `provider.kernel`.

    Raises
    ------
    UsageError
        When no kernel has it, or several have.
    """
    found = _matches(name, kernels)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(offer.name for offer in found)
        raise UsageError(f"'{name}' is ambiguous: it can be {names}; name one of them by --kernel")
    known = [offer.name for offer in kernels]
    hint = nearest(name, [*known, *(offer.spec_name for offer in kernels)])
    raise UsageError(f"there is no kernel '{name}'{hint}; the kernels are: {', '.join(known) or 'none'}")


def _matches(name: str, kernels: Sequence[Offer]) -> list[Offer]:
    exact = [offer for offer in kernels if offer.name == name]
    return exact or [offer for offer in kernels if name in (offer.spec_name, offer.name.replace("/", ".", 1))]


def default_offer(language: str, kernels: Sequence[Offer]) -> Offer:
    """Return the kernel of who names none.

    Parameters
    ----------
    language
        That the code is written in; empty = not known.
    kernels
        To choose from.

    Raises
    ------
    UsageError
        When there is none for the language, or none is the obvious one.
    """
    fitting = [offer for offer in kernels if not language or offer.language.lower() == language.lower()]
    for offer in fitting:
        if offer.name == DEFAULT:
            return offer
    if len(fitting) == 1:
        return fitting[0]
    what = f"kernel for {language}" if language else "kernel"
    names = ", ".join(offer.name for offer in fitting or kernels) or "none"
    if not fitting:
        raise UsageError(f"there is no {what} (the kernels are: {names}); install one, or name one by --kernel")
    raise UsageError(f"there is more than one {what}: {names}; name one by --kernel")
