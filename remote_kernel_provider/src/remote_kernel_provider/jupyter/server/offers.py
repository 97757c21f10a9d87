"""What our providers offer to stock Jupyter, under names that stock Jupyter can have."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.kernel_mgmt import PROVIDER_GROUP
from remote_kernel_provider.kernelspecs.config_keys import LOCAL
from remote_kernel_provider.kernelspecs.installer.documents import NewSpec, document_of_kernel
from remote_kernel_provider.kernelspecs.reader import NAME_PATTERN
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import STOCK_FILE
from remote_kernel_provider.provider import RemoteKernelProvider

PROVISIONER_GROUP = "jupyter_client.kernel_provisioners"


@dataclass(frozen=True)
class Offer:
    """A kernel of a provider of ours that stock code does not find by itself, or would run wrongly.

    Parameters
    ----------
    kernel
        `provider/name`, or `provider/name.profile`.
    spec
        Its spec.
    displaces
        Whether it takes the place of its own folder's `kernel.json`: a peer's, whose provisioner is not here.
    """

    kernel: str
    spec: KernelSpec
    displaces: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """Its names for stock Jupyter, the better one first; lower case, as stock code asks."""
        provider_id, _, name = self.kernel.lower().partition("/")
        return name, f"{provider_id}.{name}"

    @property
    def resource_dir(self) -> str:
        """The folder with its logos."""
        return str(self.spec.resource_dir)

    def takes_place_of(self, folder: str) -> bool:
        """Whether stock code would run the `kernel.json` of a folder wrongly, and this offer is for it."""
        return self.displaces and self.resource_dir == folder

    def document(self) -> dict[str, Any]:
        """Return the fields of the `kernel.json` that it does not have."""
        return document_of_kernel(NewSpec.of(self.spec), self.kernel)


class Offers:
    """Finds them.

    Parameters
    ----------
    config
        The application's.
    log
        Gets one warning for each thing that goes wrong, until it is another one.
    """

    def __init__(self, config: Any, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._config = config
        self._log = log
        self._warned: set[str] = set()
        self._settings: RemoteKernelSettings | None = None

    @property
    def settings(self) -> RemoteKernelSettings | None:
        """The operator's, read once; None while they cannot be read: then a launch says so in a sentence."""
        if self._settings is None:
            try:
                self._settings = load_settings(self._config)
            except ConfigurationError as error:
                self._warn(f"No kernels of remote-kernel-provider can be launched: {error}")
        return self._settings

    def find(self) -> list[Offer]:
        """Return all offers, as they are now."""
        if self.settings is None:
            return []
        return [offer for provider in self._providers for offer in self._of(provider)]

    @cached_property
    def _providers(self) -> list[RemoteKernelProvider]:
        points = sorted(entry_points(group=PROVIDER_GROUP), key=lambda point: point.name)
        return [provider for provider in map(self._load, points) if provider is not None]

    @cached_property
    def _provisioners(self) -> Collection[str]:
        return entry_points(group=PROVISIONER_GROUP).names

    def _load(self, point: EntryPoint) -> RemoteKernelProvider | None:
        try:
            loaded = point.load()
            if not (isinstance(loaded, type) and issubclass(loaded, RemoteKernelProvider)):
                return None  # somebody else's: our provisioner cannot launch its kernels
            provider = loaded()
            provider.load_config(self._config)
        except Exception as error:  # noqa: BLE001  # another package's code: anything can happen in it
            self._warn(f"The kernel provider '{point.name}' ({point.value}) cannot be loaded: {error}")
            return None
        return provider

    def _of(self, provider: RemoteKernelProvider) -> list[Offer]:
        offers = []
        try:
            for name, spec in provider.kernels():
                kernel = f"{provider.id}/{name}"
                # Profiles of a stock kernel are the operator's wish, and ours.
                ordinary = name == spec.name and spec.file.name == STOCK_FILE
                if ordinary and self._is_stocks_own(spec):
                    continue
                if NAME_PATTERN.fullmatch(name):
                    offers.append(Offer(kernel, spec, displaces=ordinary))
                else:
                    self._warn(f"Kernel '{kernel}' is not listed: its name may hold letters, digits, . _ - only")
        except Exception as error:  # noqa: BLE001  # another package's code: anything can happen in it
            self._warn(f"The kernel provider '{provider.id}' cannot list its kernels: {error}")
        return offers

    def _is_stocks_own(self, spec: KernelSpec) -> bool:
        """Whether stock code runs a `kernel.json` as it is meant: an ordinary one's, a peer's with its provisioner."""
        stanza = spec.metadata.get("kernel_provisioner")
        named = stanza.get("provisioner_name") if isinstance(stanza, dict) else None
        return spec.lifecycle_manager == LOCAL or named in self._provisioners

    def warn_unlisted(self, offer: Offer) -> None:
        """Say that an offer has no name left."""
        self._warn(f"Kernel '{offer.kernel}' is not listed: other kernels have the names {' and '.join(offer.names)}")

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            self._log.warning("%s", sentence)
