"""Listing: kernels of our providers beside the ordinary ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any, NamedTuple

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from remote_kernel_provider.jupyter.server.offers import Offer, Offers
from remote_kernel_provider.jupyter.users import current_user
from remote_kernel_provider.kernelspecs.config_keys import LOCAL
from remote_kernel_provider.kernelspecs.stock import kernel_behind, leads_to_us, with_schema
from remote_kernel_provider.parameters.policy import allows_kernel

_ASKING_BASE: ContextVar[bool] = ContextVar("_ASKING_BASE", default=False)
"""Whether the configured class is at work: it calls its own methods, and is to hear nothing of ours."""


class _ReadSpec(NamedTuple):
    """A `kernel.json` as it was read, and what tells whether it has changed since."""

    signature: tuple[int, int, int] | None
    spec: Mapping[str, Any]

    def fresh(self, folder: str) -> _ReadSpec | None:
        """Return itself, or None when the file of this folder has to be read again."""
        return self if self.signature is not None and self.signature == _signature(folder) else None


_NOTHING_READ = _ReadSpec(None, {})


def _signature(folder: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(f"{folder}/kernel.json")  # noqa: PTH116  # thousands of files: a Path each would take long
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class RemoteSpecs(KernelSpecManager):
    """Offers the kernels of our providers beside the ordinary ones.

    A kernel that has a `kernel.json` is listed by the configured class, under its folder's name. This class adds the
    others, hides what the operator does not allow to the user who asks, and reads anew what has changed.
    """

    _displaced: Collection[str] = ()
    _read_specs: Mapping[str, _ReadSpec] = {}

    def find_kernel_specs(self) -> dict[str, str]:
        """Return the folder of each kernel, by name."""
        with _asking_base() as nested:
            found: dict[str, str] = super().find_kernel_specs()
        if nested:
            return found
        listed, left_out = self._listed()
        ordinary = {name: folder for name, folder in found.items() if folder not in left_out}
        return ordinary | {name: entry["resource_dir"] for name, entry in listed.items()}

    def get_all_specs(self) -> dict[str, Any]:
        """Return the folder and the spec of each kernel, by name."""
        return super().get_all_specs() if _ASKING_BASE.get() else self._listed()[0]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the spec of a kernel; of one that is refused to the user, too: its launch says why.

        Raises
        ------
        NoSuchKernel
            When there is none.
        """
        if _ASKING_BASE.get():
            return super().get_kernel_spec(kernel_name)
        name = kernel_name.lower()
        # Stock code would complain, each time, that a peer's provisioner is not here.
        offer = self._named(name) if name in self._displaced else None
        if offer is not None:
            return self._spec(offer)
        try:
            with _asking_base():
                spec = super().get_kernel_spec(kernel_name)
        except NoSuchKernel:
            offer = self._named(name)
            if offer is None:
                raise
            return self._spec(offer)
        if "process_proxy" in spec.metadata:
            offer = next((offer for offer in self._offers.find() if offer.takes_place_of(spec.resource_dir)), None)
            return spec if offer is None else self._spec(offer)
        if leads_to_us(spec.metadata):
            spec.metadata = with_schema(spec.metadata)
        return spec

    def lifecycle_managers(self) -> set[str]:
        """Return the backends that can have kernels of what is offered."""
        return {LOCAL, *(offer.spec.lifecycle_manager for offer in self._offers.find())}

    @cached_property
    def _offers(self) -> Offers:
        return Offers(self.config, self.log)

    def _listed(self) -> tuple[dict[str, Any], set[str]]:
        """Return what the user is offered, by name, and the folders that only the configured class would offer."""
        offers = self._offers.find()
        left_out = {offer.resource_dir for offer in offers if offer.displaces}
        self._displaced = {offer.names[0] for offer in offers if offer.displaces}
        user = current_user()
        listed, known = {}, set()
        for name, entry in self._ordinary(left_out).items():
            kernel = kernel_behind(entry["spec"]["metadata"])
            known.add(kernel)
            if not self._allows(kernel, user):
                left_out.add(entry["resource_dir"])
            elif entry["resource_dir"] not in left_out:
                listed[name] = entry
            if kernel:
                entry["spec"]["metadata"] = with_schema(entry["spec"]["metadata"])
        new = [offer for offer in offers if offer.kernel not in known and self._allows(offer.kernel, user)]
        for name, offer in self._names(new, listed).items():
            listed[name] = {"resource_dir": offer.resource_dir, "spec": self._spec(offer).to_dict()}
        return listed, left_out

    def _ordinary(self, left_out: Collection[str]) -> dict[str, Any]:
        """Return what the configured class lists, other folders than those."""
        with _asking_base():
            if not self._reads_as_stock:
                return super().get_all_specs()
            found, read = {}, {}
            # Stock code reads every spec at each listing and, for a subclass, searches all folders again for each.
            for name, folder in super().find_kernel_specs().items():
                if folder in left_out:
                    continue
                try:
                    read[folder] = self._read_specs.get(folder, _NOTHING_READ).fresh(folder) or self._read(name, folder)
                    spec = read[folder].spec
                    found[name] = {"resource_dir": folder, "spec": {**spec, "metadata": {**spec["metadata"]}}}
                except NoSuchKernel:
                    pass  # stock code has said why
                except Exception:  # as stock code: one broken spec hides no other
                    self.log.warning("Error loading kernelspec %r", name, exc_info=True)
            self._read_specs = read
            return found

    def _read(self, name: str, folder: str) -> _ReadSpec:
        signature = _signature(folder)  # before it is read: what changes meanwhile is read again
        return _ReadSpec(signature, self._get_kernel_spec_by_name(name, folder).to_dict())

    @cached_property
    def _reads_as_stock(self) -> bool:
        line = type(self).__mro__
        base: Any = line[line.index(RemoteSpecs) + 1]
        stock = KernelSpecManager
        return base.get_all_specs is stock.get_all_specs and base.get_kernel_spec is stock.get_kernel_spec

    def _allows(self, kernel: str, user: str) -> bool:
        settings = self._offers.settings
        return not kernel or settings is None or allows_kernel(kernel, user, settings)

    def _names(self, offers: Iterable[Offer], taken: Mapping[str, Any]) -> dict[str, Offer]:
        """Give each offer the first of its names that is free, and allowed by the stock setting."""
        named: dict[str, Offer] = {}
        allowed = self.allowed_kernelspecs
        for choice in (0, 1):
            left = []
            for offer in offers:
                name = offer.names[choice]
                if name in taken or name in named or (allowed and name not in allowed):
                    left.append(offer)
                else:
                    named[name] = offer
            offers = left
        if not allowed:
            for offer in offers:
                self._offers.warn_unlisted(offer)
        return named

    def _named(self, name: str) -> Offer | None:
        """Return the offer of a name that no ordinary kernel has."""
        offers = self._offers.find()
        return next((offer for choice in (0, 1) for offer in offers if offer.names[choice] == name), None)

    def _spec(self, offer: Offer) -> KernelSpec:
        return self.kernel_spec_class(resource_dir=offer.resource_dir, **offer.document())


@contextmanager
def _asking_base() -> Iterator[bool]:
    """Let the configured class speak for itself; yields whether it does already."""
    token = _ASKING_BASE.set(True)
    try:
        yield bool(token.old_value is True)
    finally:
        _ASKING_BASE.reset(token)
